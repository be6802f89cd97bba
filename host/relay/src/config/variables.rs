//! Environment variables as a source of keys: upstream's grammar, applied to the tree of the file.
//!
//! `SERVER_PORT` is `server.port`, `EXPORTERS_0_META_TEAM` is the member `team` of `exporters[0].meta`. Where a name leads is read off the
//! JSON schema, so that a variable finds the file's own key in whatever case it is written (upstream: a `FLAGSETS_…` variable hides the file's
//! `flagSets`), and so that one that leads nowhere does no harm: the environment is shared with others. A variable counts only if its name
//! begins with a known key; where it leads nowhere from there, that is a warning, since somebody may have meant it.

use std::collections::BTreeSet;
use std::sync::Arc;

use flagpost_settings::{Data, Meaning, Node, Place, Problems, Scalar, did_you_mean, list, same_key};
use serde_json::Value;

use super::keys::{INERT, is_retriever};
use super::sources::Environment;
use super::{schema, tree};

/// Lists end somewhere: a larger index is a mistake.
const MAX_INDEX: usize = 999;

/// Applies the variables whose names begin with `prefix`. The empty prefix is upstream's default: then every variable may be meant.
pub(super) fn apply(root: &mut Node, prefix: &str, environment: &Environment, problems: &mut Problems) {
    let shape = schema::shape();
    let mut services = BTreeSet::new();
    for (name, value) in environment.iter() {
        let Some(rest) = name.strip_prefix(prefix).filter(|rest| !rest.is_empty()) else { continue };
        let place = Place::Variable(Arc::from(name));
        let segments: Vec<&str> = rest.split('_').collect();
        let known = property(&[shape], segments[0]);
        let Some((first, _)) = known else {
            if !prefix.is_empty() {
                let known = names(&[shape]);
                let near = did_you_mean(segments[0], &known);
                problems.warning("", place, "begins with no known key: the variable is not used", near);
            }
            continue;
        };
        if prefix.is_empty() && !is_retriever(first) && INERT.iter().any(|(key, _)| *key == first) {
            // `DEBUG`, `VERSION`, `ENVIRONMENT`: without effect here and far more often somebody else's.
            continue;
        }
        if is_service_variable(&segments, value) {
            services.insert(segments[0].to_owned());
            continue;
        }
        match resolve(&[shape], &segments, name) {
            Ok(steps) => set(root, &steps, rest, name, value, &place),
            Err(Lost { message, fix }) => problems.warning("", place, format!("{message}: the variable is not used"), fix),
        }
    }
    for service in services {
        let variable = format!("{prefix}{service}_PORT");
        let message = format!(
            "Kubernetes sets variables like `{variable}=tcp://…` for a service called `{}`: they are not used",
            format!("{prefix}{service}").to_ascii_lowercase().replace('_', "-")
        );
        let fix = "set `enableServiceLinks: false` in the pod, give the service another name, or set `envVariablePrefix`";
        problems.warning("", Place::Variable(Arc::from(variable)), message, fix);
    }
}

/// Whether Kubernetes made the variable for a service whose name is a key: `SERVER_PORT=tcp://10.0.0.1:80`, `SERVER_SERVICE_HOST`.
fn is_service_variable(segments: &[&str], value: &str) -> bool {
    match segments[1..] {
        ["PORT"] => ["tcp://", "udp://", "sctp://"].iter().any(|start| value.starts_with(start)),
        ["PORT", number, protocol, ..] => number.parse::<u16>().is_ok() && matches!(protocol, "TCP" | "UDP" | "SCTP"),
        ["SERVICE", "HOST"] | ["SERVICE", "PORT", ..] => true,
        _ => false,
    }
}

/// One step from a value to one below it.
#[derive(Debug, PartialEq)]
enum Step {
    Key(String),
    Index(usize),
    /// The value is a list, and the variable holds all of it.
    Whole,
}

/// Why a variable leads nowhere.
struct Lost {
    message: String,
    fix: String,
}

/// The way from the root to the value that the variable names.
fn resolve(root: &[&Value], segments: &[&str], name: &str) -> Result<Vec<Step>, Lost> {
    let mut steps = Vec::new();
    let mut shapes: Vec<&Value> = root.to_vec();
    let mut rest = segments;
    while let Some((segment, after)) = rest.split_first() {
        if let Some(items) = items(&shapes) {
            let Ok(index) = segment.parse::<usize>() else {
                let before = &name[..name.len() - rest.join("_").len()];
                let message = format!("`{}` is a list, and the name has no index", below(&steps));
                return Err(Lost { message, fix: format!("write `{before}0_{}`", rest.join("_")) });
            };
            if index > MAX_INDEX {
                return Err(Lost { message: format!("the index {index} is beyond {MAX_INDEX}"), fix: "count from 0".to_owned() });
            }
            steps.push(Step::Index(index));
            shapes = items;
        } else if let Some((key, value)) = property(&shapes, segment) {
            steps.push(Step::Key(key.to_owned()));
            shapes = value;
        } else if let Some(members) = members(&shapes) {
            // Variables of a plugin are names of variables; upstream's maps are lower-case when they come from the environment.
            let verbatim = matches!(steps.last(), Some(Step::Key(key)) if key == "env");
            let spelled = |text: &str| if verbatim { text.to_owned() } else { text.to_ascii_lowercase() };
            if members.iter().all(|member| is_free(member)) {
                steps.extend(rest.iter().map(|segment| Step::Key(spelled(segment))));
            } else {
                steps.push(Step::Key(spelled(&rest.join("_"))));
                if self::items(&members).is_some() {
                    steps.push(Step::Whole);
                }
            }
            return Ok(steps);
        } else {
            let known = names(&shapes);
            let at = if steps.is_empty() { String::new() } else { format!(" below `{}`", below(&steps)) };
            let fix = match did_you_mean(segment, &known) {
                near if near.is_empty() && !known.is_empty() => format!("known there: {}", list(&known)),
                near => near,
            };
            return Err(Lost { message: format!("there is no key `{}`{at}", segment.to_ascii_lowercase()), fix });
        }
        rest = after;
    }
    match items(&shapes) {
        Some(items) if !names(&items).is_empty() => {
            let key = if names(&items).contains(&"kind") { "KIND" } else { "NAME" };
            Err(Lost { message: format!("`{}` is a list of sections", below(&steps)), fix: format!("write `{name}_0_{key}` and so on") })
        }
        Some(_) => {
            steps.push(Step::Whole);
            Ok(steps)
        }
        None if !alternatives(&shapes).iter().all(|shape| is_free(shape)) && (!names(&shapes).is_empty() || members(&shapes).is_some()) => {
            Err(Lost { message: format!("`{}` is a section, not a value", below(&steps)), fix: format!("write `{name}_` and a key of it") })
        }
        None => Ok(steps),
    }
}

/// Puts the value at the end of the way.
fn set(root: &mut Node, steps: &[Step], rest: &str, name: &str, value: &str, place: &Place) {
    let leaf = |text: &str| Node {
        place: place.clone(),
        data: match text {
            "" => Data::Null,
            _ => Data::Scalar(Scalar { text: text.to_owned(), written: Some(format!("${{{name}}}")), meaning: Meaning::Text }),
        },
    };
    let mut node = root;
    let mut indexed = false;
    for step in steps {
        node = match step {
            Step::Key(key) => tree::member(node, key, place),
            Step::Index(index) => {
                indexed = true;
                tree::item(node, *index, place)
            }
            Step::Whole => {
                let items = match value {
                    "" => Vec::new(),
                    // Upstream trims only below an index.
                    _ if is_split(rest) => value.split(',').map(|item| leaf(if indexed { item.trim() } else { item })).collect(),
                    _ => vec![leaf(value)],
                };
                *node = Node { place: place.clone(), data: Data::List(items) };
                return;
            }
        };
    }
    *node = leaf(value);
}

/// The lists that upstream splits at commas.
fn is_split(rest: &str) -> bool {
    rest.ends_with("KAFKA_ADDRESSES")
        || rest.ends_with("APIKEYS")
        || rest.starts_with("AUTHORIZEDKEYS_EVALUATION")
        || rest.starts_with("AUTHORIZEDKEYS_ADMIN")
}

/// `exporters[0].meta`.
fn below(steps: &[Step]) -> String {
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Key(key) if path.is_empty() => path.push_str(key),
            Step::Key(key) => {
                path.push('.');
                path.push_str(key);
            }
            Step::Index(index) => path.push_str(&format!("[{index}]")),
            Step::Whole => {}
        }
    }
    path
}

/// The alternatives a schema consists of.
fn alternatives<'s>(shapes: &[&'s Value]) -> Vec<&'s Value> {
    let mut all = Vec::new();
    for shape in shapes {
        let of = ["anyOf", "oneOf"].iter().filter_map(|key| shape[*key].as_array()).flatten();
        let below: Vec<&Value> = of.filter(|one| one["type"] != "null").collect();
        if below.is_empty() {
            all.push(*shape);
        } else {
            all.extend(alternatives(&below));
        }
    }
    all
}

/// The property that `segment` names in any case, in its declared spelling, and what it may be.
fn property<'s>(shapes: &[&'s Value], segment: &str) -> Option<(&'s str, Vec<&'s Value>)> {
    let mut found: Option<(&str, Vec<&Value>)> = None;
    for shape in alternatives(shapes) {
        let entries = shape["properties"].as_object().into_iter().flatten();
        for (key, value) in entries.filter(|(key, _)| same_key(key, segment)) {
            found.get_or_insert((key, Vec::new())).1.push(value);
        }
    }
    found
}

/// All properties.
fn names<'s>(shapes: &[&'s Value]) -> Vec<&'s str> {
    let properties = alternatives(shapes).into_iter().filter_map(|shape| shape["properties"].as_object());
    properties.flatten().map(|(key, _)| key.as_str()).collect::<BTreeSet<_>>().into_iter().collect()
}

/// What the items of a list may be.
fn items<'s>(shapes: &[&'s Value]) -> Option<Vec<&'s Value>> {
    let items: Vec<&Value> = alternatives(shapes).into_iter().filter_map(|shape| shape.get("items")).collect();
    (!items.is_empty()).then_some(items)
}

/// What the members of an open map may be.
fn members<'s>(shapes: &[&'s Value]) -> Option<Vec<&'s Value>> {
    let open = |shape: &&'s Value| {
        shape.get("additionalProperties").filter(|members| **members != Value::Bool(false)).or(is_free(shape).then_some(*shape))
    };
    let members: Vec<&Value> = alternatives(shapes).iter().filter_map(open).collect();
    (!members.is_empty()).then_some(members)
}

/// Whether anything may stand there.
fn is_free(shape: &Value) -> bool {
    const SAYING: [&str; 8] = ["type", "properties", "items", "anyOf", "oneOf", "enum", "const", "additionalProperties"];
    SAYING.iter().all(|keyword| shape.get(keyword).is_none())
}
