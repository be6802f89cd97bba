//! Upstream's deprecated keys: put where their successors stand, with a word about it.

use flagpost_settings::{Data, Meaning, Node, Problems, Scalar};

use super::tree::{is_set, member, take};

/// What a deprecated key means today.
pub(crate) enum Today {
    /// This key, unless it is set itself.
    Key(&'static str, &'static str),
    /// More items of this list.
    Items(&'static str, &'static str),
    /// `server.mode: lambda` when it is true.
    Lambda,
    /// Nothing here, and why.
    Nothing(&'static str, &'static str),
}

use Today::{Items, Key, Lambda, Nothing};

/// Upstream's aliases.
pub(crate) const ALIASES: &[(&str, Today)] = &[
    ("listen", Key("server", "port")),
    ("host", Key("server", "host")),
    ("monitoringPort", Key("server", "monitoringPort")),
    ("apiKeys", Items("authorizedKeys", "evaluation")),
    ("startAsAwsLambda", Lambda),
    ("awsLambdaAdapter", Nothing("server.awsLambdaAdapter", "the relay does not run as a lambda")),
    ("awsApiGatewayBasePath", Nothing("server.awsApiGatewayBasePath", "the relay does not run as a lambda")),
    ("enableSwagger", Nothing("swagger.enabled", "there is no Swagger page")),
    ("notifier", Nothing("notifiers", "flags are evaluated by the relay behind `upstream.url`")),
];

/// Moves what deprecated keys say to where it is said today.
pub(crate) fn apply(root: &mut Node, problems: &mut Problems) {
    for (old, today) in ALIASES {
        let Some(entry) = take(root, old) else { continue };
        let mut warn = |successor: &str, more: &str| {
            problems.warning(entry.key.as_str(), &entry.place, format!("deprecated{more}"), format!("use `{successor}`"));
        };
        match today {
            Key(section, key) => {
                warn(&format!("{section}.{key}"), "");
                let target = member(member(root, section, &entry.place), key, &entry.place);
                if !is_set(Some(target)) {
                    *target = entry.value;
                }
            }
            Items(section, key) => {
                warn(&format!("{section}.{key}"), "");
                let target = member(member(root, section, &entry.place), key, &entry.place);
                let place = target.place.clone();
                let mut items = into_items(std::mem::replace(target, Node::null()));
                items.extend(into_items(entry.value));
                *target = Node { place, data: Data::List(items) };
            }
            Lambda => {
                warn("server.mode", "");
                let no = matches!(&entry.value.data, Data::Scalar(scalar)
                    if matches!(scalar.meaning, Meaning::Bool(false) | Meaning::Integer(0))
                        || matches!(scalar.text.to_ascii_lowercase().as_str(), "" | "0" | "f" | "false"));
                let target = member(member(root, "server", &entry.place), "mode", &entry.place);
                if !no && is_set(Some(&entry.value)) && !is_set(Some(target)) {
                    let mode = Scalar { text: "lambda".to_owned(), written: None, meaning: Meaning::Text };
                    *target = Node { place: entry.place, data: Data::Scalar(mode) };
                }
            }
            Nothing(successor, why) => warn(successor, &format!(", and has no effect here: {why}")),
        }
    }
}

fn into_items(node: Node) -> Vec<Node> {
    match node.data {
        Data::Null => Vec::new(),
        Data::List(items) => items,
        _ => vec![node],
    }
}
