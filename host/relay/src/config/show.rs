//! Every value that holds, and where it comes from. Secrets, and whatever might be one, are not shown.

use std::collections::BTreeMap;

use flagpost_settings::{Data, Node, Place, Size, join};
use serde_json::Value;

use super::model::Config;
use super::schema;

/// A value that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// Its key's path, `exporters[0].outputDir`.
    pub path: String,
    /// The value as it is written in the file (`${NAME}` included) or held by the variable that is the key; `[redacted]` for a secret.
    pub value: String,
    /// Where it stands; [`Place::Nowhere`]: the default.
    pub place: Place,
}

const REDACTED: &str = "[redacted]";

/// All values of a configuration that holds and whose tree this is, and the defaults of those it does not have.
pub(super) fn effective(root: &Node, config: &Config) -> Vec<Effective> {
    let mut found = Vec::new();
    walk(schema::shape(), Some(root), "", &mut found);
    if !config.flag_sets.is_empty() {
        // Not used beside flag sets.
        found.retain(|value| !value.path.starts_with("exporter"));
    }
    resolve(&mut found, config);
    found
}

/// Puts what was decided in the place of defaults that depend on other things.
fn resolve(found: &mut Vec<Effective>, config: &Config) {
    let mut decided = BTreeMap::from([
        ("buffer.path".to_owned(), config.buffer.path.display().to_string()),
        ("buffer.maxBytes".to_owned(), Size(config.buffer.max_bytes).to_string()),
    ]);
    for (index, flag_set) in config.flag_sets.iter().enumerate() {
        decided.insert(format!("flagSets[{index}].name"), flag_set.name.clone());
    }
    // Every exporter has a kind, and they were walked in the order in which they were read.
    let exporters = found.iter().filter_map(|value| value.path.strip_suffix(".kind"));
    for (path, exporter) in exporters.zip(&config.exporters) {
        decided.insert(format!("{path}.name"), exporter.identity.exporter.clone());
        decided.insert(format!("{path}.maxBacklog"), Size(exporter.policy.max_backlog).to_string());
    }
    found.retain_mut(|value| {
        let default = value.place == Place::Nowhere;
        if let (true, Some(decided)) = (default, decided.remove(&value.path)) {
            value.value = decided;
        }
        !(default && value.path.ends_with(".maxEventsPerCall"))
    });
}

fn walk(shape: &Value, node: Option<&Node>, path: &str, found: &mut Vec<Effective>) {
    let node = node.filter(|node| !matches!(node.data, Data::Null));
    let Some(shape) = alternative(shape, node) else { return };
    let mut say = |value: String, place: &Place| found.push(Effective { path: path.to_owned(), value, place: place.clone() });
    if let Some(properties) = shape["properties"].as_object() {
        for (key, below) in properties {
            let entry = node.and_then(|node| node.get(key));
            // A section that is not there has no values when it is optional; others have their defaults.
            let optional = below["type"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "null"));
            if entry.is_none() && optional && below.get("properties").is_some() {
                continue;
            }
            walk(below, entry.map(|entry| &entry.value), &join(path, key), found);
        }
        return;
    }
    let Some(node) = node else {
        match (&shape["default"], &shape["x-default"]) {
            (Value::Null, Value::String(text)) => say(text.clone(), &Place::Nowhere),
            (Value::Null, _) => {}
            (Value::String(text), _) if text.is_empty() => {}
            (Value::String(text), _) => say(text.clone(), &Place::Nowhere),
            (default, _) => {
                let empty = default.as_array().is_some_and(Vec::is_empty) || default.as_object().is_some_and(serde_json::Map::is_empty);
                if !empty {
                    say(default.to_string(), &Place::Nowhere);
                }
            }
        }
        return;
    };
    match (&node.data, shape.get("items"), shape.get("additionalProperties")) {
        (Data::List(items), Some(of), _) => {
            for (index, item) in items.iter().enumerate() {
                walk(of, Some(item), &format!("{path}[{index}]"), found);
            }
        }
        (_, Some(of), _) => walk(of, Some(node), &format!("{path}[0]"), found),
        (Data::Map(entries), _, Some(of)) => {
            for entry in entries {
                walk(of, Some(&entry.value), &join(path, &entry.key), found);
            }
        }
        (Data::Scalar(scalar), ..) if !scalar.text.is_empty() => {
            // Free values are a plugin's or a library's own: nobody here knows which of them are secrets.
            let open = ["type", "anyOf", "const", "enum"].iter().any(|keyword| shape.get(keyword).is_some());
            let secret = shape["format"] == "password" || !open;
            let variable = matches!(node.place, Place::Variable(_));
            let shown = scalar.written.as_deref().filter(|_| !variable).unwrap_or(&scalar.text);
            say(if secret { REDACTED.to_owned() } else { without_secrets(path, shown) }, &node.place);
        }
        (Data::List(_) | Data::Map(_), ..) => say(REDACTED.to_owned(), &node.place),
        _ => {}
    }
}

/// Of a URL only where it leads: user, path and query of a webhook may be secrets. Any other text as it is.
fn without_secrets(path: &str, text: &str) -> String {
    match url::Url::parse(text) {
        Ok(url) if url.has_host() && path != "upstream.url" && !is_origin(&url) => match url.port() {
            Some(port) => format!("{}://{}:{port}/…", url.scheme(), url.host_str().unwrap_or_default()),
            None => format!("{}://{}/…", url.scheme(), url.host_str().unwrap_or_default()),
        },
        _ => text.to_owned(),
    }
}

/// Whether there is nothing in it but scheme, host and port.
fn is_origin(url: &url::Url) -> bool {
    matches!(url.path(), "" | "/")
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
}

/// The alternative that fits: by `kind` among exporters, else the section or, for a leaf, the whole.
fn alternative<'s>(shape: &'s Value, node: Option<&Node>) -> Option<&'s Value> {
    if let Some(kinds) = shape["oneOf"].as_array() {
        if kinds.iter().all(|kind| kind.get("const").is_some()) {
            return Some(shape);
        }
        let Data::Scalar(kind) = &node?.get("kind")?.value.data else { return None };
        return kinds.iter().find(|one| one["properties"]["kind"]["const"] == kind.text.as_str());
    }
    let sections = shape["anyOf"].as_array().into_iter().flatten();
    Some(sections.into_iter().find(|one| one.get("properties").is_some()).unwrap_or(shape))
}
