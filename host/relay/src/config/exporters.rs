//! `exporter` and `exporters`, at the top level and in flag sets: keys that every exporter has here, the rest by its kind.

use std::collections::BTreeSet;
use std::path::PathBuf;

use flagpost_event::EventKind;
use flagpost_exporter::{BuildContext, KindInfo, kinds};
use flagpost_settings::{self as settings, Data, Entry, Node, Place, Problem, Problems, decode, fields, join};
use flagpost_spool::Identity;
use serde_json::Value;

use super::common::Common;
use super::model::{DEFAULT_FLAG_SET, ExporterConfig, Fingerprint, Target};
use super::sources::Environment;
use super::{identity, wasm};

/// Upstream's names of Parquet codecs, exact and case-sensitive. It checks them for every kind.
const CODECS: [&str; 8] = ["UNCOMPRESSED", "SNAPPY", "GZIP", "LZO", "BROTLI", "LZ4", "ZSTD", "LZ4_RAW"];

/// What begins each of upstream's sentences about exporters, and so marks them.
const UPSTREAMS: &str = "invalid exporter: ";

/// What exporters need to know of the rest.
pub(crate) struct Surroundings<'a> {
    /// `buffer.maxBytes`.
    pub(crate) max_bytes: u64,
    /// Where bare plugin names are.
    pub(crate) plugins_dir: PathBuf,
    /// What plugin paths with a `/` are relative to.
    pub(crate) base: PathBuf,
    /// Where plugins' secrets come from.
    pub(crate) env: &'a Environment,
    /// What built-in kinds are built with.
    pub(crate) build: &'a BuildContext,
}

/// Where exporters are listed: the root, or a flag set.
pub(crate) struct Scope<'n> {
    /// The flag set's path; empty at the root.
    pub(crate) path: String,
    /// What has the keys `exporter` and `exporters`.
    pub(crate) node: &'n Node,
    /// The flag set's name.
    pub(crate) flag_set: String,
}

/// An exporter as it is written.
struct Written<'n> {
    path: String,
    node: &'n Node,
    flag_set: &'n str,
    /// What upstream puts before its sentences about it.
    wrapper: String,
}

/// All exporters of all scopes, in the file's order: `exporter` first in each, as upstream has it.
pub(crate) fn exporters(scopes: &[Scope<'_>], around: &Surroundings<'_>, problems: &mut Problems) -> Vec<ExporterConfig> {
    let written: Vec<Written<'_>> = scopes.iter().flat_map(|scope| written(scope, problems)).collect();
    let budget = if written.len() == 1 { around.max_bytes } else { around.max_bytes / 2 };
    let mut found: Vec<(Place, ExporterConfig)> = Vec::new();
    for written in written {
        let mut said = Problems::default();
        let exporter = one(&written, budget, around, &mut said);
        for mut problem in said.finish().0 {
            if problem.message.starts_with(UPSTREAMS) {
                problem.message = format!("{}{}", written.wrapper, problem.message);
            }
            problems.push(problem);
        }
        let Some(exporter) = exporter else { continue };
        let twin = found
            .iter()
            .find(|(_, other)| other.identity == exporter.identity && other.events.iter().any(|kind| exporter.events.contains(kind)));
        if let Some((place, _)) = twin {
            let message = format!(
                "the same exporter as the one on {place}: both are `{}`, so their places in the log are one",
                exporter.identity.exporter
            );
            problems.error(written.path, &written.node.place, message, "give each a `name` of its own");
            continue;
        }
        found.push((written.node.place.clone(), exporter));
    }
    found.into_iter().map(|(_, exporter)| exporter).collect()
}

fn written<'n>(scope: &'n Scope<'n>, problems: &mut Problems) -> Vec<Written<'n>> {
    let outer = if scope.flag_set == DEFAULT_FLAG_SET { String::new() } else { format!("flagset {}: ", scope.flag_set) };
    let written = |path: String, node, wrapper| Written { path, node, flag_set: &scope.flag_set, wrapper };
    let mut all = Vec::new();
    if let Some(entry) = scope.node.get("exporter") {
        let path = join(&scope.path, "exporter");
        match &entry.value.data {
            Data::Null => {}
            Data::List(_) => problems.error(path, &entry.place, "expected one exporter, found a list", "call the key `exporters`"),
            _ => all.push(written(path, &entry.value, outer.clone())),
        }
    }
    if let Some(entry) = scope.node.get("exporters") {
        let items = match &entry.value.data {
            Data::Null => &[],
            Data::List(items) => items.as_slice(),
            // Upstream takes a map for a list of one.
            _ => std::slice::from_ref(&entry.value),
        };
        for (index, item) in items.iter().enumerate() {
            let wrapper = format!("{outer}exporter at index {index} validation failed: ");
            all.push(written(format!("{}[{index}]", join(&scope.path, "exporters")), item, wrapper));
        }
    }
    all
}

/// Says which events nobody reads; only of a configuration that holds, since a wrong exporter may be the one that would.
pub(crate) fn warn_unread(scopes: &[Scope<'_>], exporters: &[ExporterConfig], problems: &mut Problems) {
    if problems.has_errors() {
        return;
    }
    for scope in scopes {
        for kind in EventKind::ALL {
            if !exporters.iter().any(|exporter| exporter.identity.flag_set == scope.flag_set && exporter.events.contains(&kind)) {
                let message =
                    format!("no exporter takes {kind} events: they are answered with 200, counted as `no_exporter`, and not kept");
                let place = scope.node.get("exporters").map_or(&scope.node.place, |entry| &entry.place);
                let place = if scope.path.is_empty() && scope.node.get("exporters").is_none() { &Place::Nowhere } else { place };
                problems.warning(join(&scope.path, "exporters"), place, message, "");
            }
        }
    }
}

fn one(written: &Written<'_>, budget: u64, around: &Surroundings<'_>, problems: &mut Problems) -> Option<ExporterConfig> {
    let Written { path, node, .. } = written;
    if !matches!(node.data, Data::Map(_) | Data::Null) {
        let message = format!("expected an exporter's keys, found {}", node.describe());
        problems.error(path, &node.place, message, "write `- kind: file` and its keys");
        return None;
    }
    let (common, rest) = split(node);
    let common: Common = decode(&common, path, problems);
    let policy = common.policy(budget, path, node, problems);
    let events = common.event_type.kinds();
    let kind = text(node, "kind");
    let (target, location, made_of) = if kind == wasm::KIND {
        let own = own_keys(path, &node.place, &kind, fields::<wasm::Wasm>(), rest, problems);
        let (target, location) = wasm::target(path, &own, common.max_events_per_call, around, problems)?;
        (target, location, None)
    } else {
        native(path, node, find_kind(path, node, &kind, problems)?, rest, (common.name.as_deref(), &events), around, problems)?
    };
    if let Target::Wasm(spec) = &target
        && spec.limits.instances > 1
        && common.ordered != Some(false)
    {
        let place = node.place_at("limits.instances").unwrap_or(&node.place);
        let message = format!("{} instances, and one at a time would be used: batches are sent in order", spec.limits.instances);
        let fix = "set `ordered: false` if events may arrive in another order, or remove `instances`";
        problems.error(join(path, "limits.instances"), place, message, fix);
    }
    let exporter = match &common.name {
        Some(name) if name.len() > 100 || name.contains(|c: char| c.is_control() || c == '/') => {
            let place = node.get("name").map_or(&node.place, |entry| &entry.place);
            problems.error(join(path, "name"), place, "a name has 1 to 100 characters and no `/`", "choose another name");
            return None;
        }
        Some(name) => name.clone(),
        None => unnamed(&kind, &location),
    };
    let target = target.named(written.flag_set, &exporter, &events);
    let identity = Identity { flag_set: written.flag_set.to_owned(), exporter };
    Some(ExporterConfig { identity, kind, events, policy, target, made_of })
}

/// The node with the keys that every exporter has, and the other entries.
fn split(node: &Node) -> (Node, Vec<&Entry>) {
    let known = fields::<Common>();
    let (common, rest): (Vec<&Entry>, Vec<&Entry>) = node.entries().iter().partition(|entry| settings::find(known, &entry.key).is_some());
    (Node { place: node.place.clone(), data: Data::Map(common.into_iter().cloned().collect()) }, rest)
}

/// The entries that the kind takes, in its spelling; the others are complained about.
fn own_keys(path: &str, place: &Place, kind: &str, known: &[&'static str], rest: Vec<&Entry>, problems: &mut Problems) -> Node {
    let upstreams: BTreeSet<&str> = kinds().iter().flat_map(|info| (info.keys)().iter().copied()).collect();
    let upstreams: Vec<&str> = upstreams.into_iter().collect();
    let mut own: Vec<Entry> = Vec::new();
    for entry in rest {
        let path = join(path, &entry.key);
        if let Some(name) = settings::find(known, &entry.key) {
            match own.iter().find(|other| other.key == name) {
                Some(other) => {
                    let message = format!("`{}` was given before, on {}", entry.key, other.place);
                    problems.error(path, &entry.place, message, "keep one of the two");
                }
                None => own.push(Entry { key: name.to_owned(), ..entry.clone() }),
            }
        } else if settings::find(&upstreams, &entry.key).is_some() {
            // Upstream takes each of its keys for every kind and uses those that fit.
            problems.warning(path, &entry.place, format!("has no effect on kind \"{kind}\""), "");
        } else if !settings::is_private(&entry.key) {
            let all: Vec<&str> = known.iter().chain(fields::<Common>()).copied().collect();
            problems.push(settings::unknown(&path, &entry.key, &entry.place, &all));
        }
    }
    Node { place: place.clone(), data: Data::Map(own) }
}

fn find_kind(path: &str, node: &Node, kind: &str, problems: &mut Problems) -> Option<&'static KindInfo> {
    if let Some(info) = kinds().iter().find(|info| info.name == kind) {
        return Some(info);
    }
    let place = node.get("kind").map_or(&node.place, |entry| &entry.place);
    let names: Vec<&str> = kinds().iter().map(|info| info.name).chain([wasm::KIND]).collect();
    let fix = match settings::did_you_mean(kind, &names) {
        near if near.is_empty() => format!("known kinds: {}", settings::list(&names)),
        near => near,
    };
    problems.error(join(path, "kind"), place, format!("{UPSTREAMS}kind \"{kind}\" is not supported"), fix);
    None
}

/// Values of the keys that say where data goes.
pub(crate) type Location = Vec<(&'static str, Value)>;

fn native(
    path: &str,
    node: &Node,
    info: &'static KindInfo,
    rest: Vec<&Entry>,
    (name, events): (Option<&str>, &[EventKind]),
    around: &Surroundings<'_>,
    problems: &mut Problems,
) -> Option<(Target, Location, Option<Fingerprint>)> {
    let codec = text(node, "parquetCompressionCodec");
    if !codec.is_empty() && !CODECS.contains(&codec.as_str()) {
        let place = node.get("parquetCompressionCodec").map_or(&node.place, |entry| &entry.place);
        let message = format!("{UPSTREAMS}\"parquetCompressionCodec\" err: not a valid CompressionCodec string");
        problems.error(join(path, "parquetCompressionCodec"), place, message, format!("use one of {}", settings::list(&CODECS)));
    }
    let own = own_keys(path, &node.place, info.name, (info.keys)(), rest, problems);
    let value = |key: &'static str| Some((key, identity::written(at(&own, key)?)));
    let location: Location = info.location_keys.iter().filter_map(|key| value(key)).collect();
    let exporter = name.map_or_else(|| unnamed(info.name, &location), str::to_owned);
    let context = BuildContext { exporter, events: events.to_vec(), ..around.build.clone() };
    let (target, found) = match (info.build)(&own, &context) {
        Ok(built) => (Some(Target::Native(built.exporter)), built.warnings),
        Err(error) => (None, error.problems),
    };
    for problem in found {
        // The kind itself is none of its own keys.
        let place = if problem.path == "kind" { node.place_at("kind").cloned().unwrap_or(problem.place) } else { problem.place };
        problems.push(Problem { path: join(path, &problem.path), place, message: own.hide(problem.message), ..problem });
    }
    target.map(|target| (target, location, Some(Fingerprint::of(&own))))
}

/// What an exporter without a name is called.
fn unnamed(kind: &str, location: &Location) -> String {
    let location: Vec<(&str, &Value)> = location.iter().map(|(key, value)| (*key, value)).collect();
    identity::unnamed(kind, &location)
}

/// The value at `a.b`.
fn at<'n>(node: &'n Node, path: &str) -> Option<&'n Node> {
    path.split('.').try_fold(node, |node, key| node.get(key).map(|entry| &entry.value))
}

fn text(node: &Node, key: &str) -> String {
    match node.get(key).map(|entry| &entry.value.data) {
        Some(Data::Scalar(scalar)) => scalar.text.clone(),
        _ => String::new(),
    }
}
