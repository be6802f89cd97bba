//! Whatever is in the file, reading it ends in a configuration or in problems.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use flagpost_exporter::{BuildContext, kinds};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Environment, Format, Severity, Sources, from_text};

/// Words that mean something somewhere, so that random trees reach deep.
const WORDS: &[&str] = &[
    "server",
    "host",
    "port",
    "mode",
    "upstream",
    "url",
    "evaluation",
    "none",
    "pluginsDir",
    "plugins",
    "required",
    "buffer",
    "type",
    "memory",
    "ack",
    "disk",
    "path",
    "maxBytes",
    "4GiB",
    "minFree",
    "lockTimeout",
    "30s",
    "keepRemoved",
    "shutdownTimeout",
    "logLevel",
    "debug",
    "logFormat",
    "collector",
    "maxBody",
    "maxEvents",
    "exporter",
    "exporters",
    "kind",
    "file",
    "log",
    "webhook",
    "wasm",
    "s3",
    "name",
    "a.wasm",
    "eventType",
    "all",
    "flushInterval",
    "maxEventInMemory",
    "retry",
    "initial",
    "max",
    "maxBacklog",
    "whenFull",
    "block",
    "config",
    "env",
    "allowedHosts",
    "POST https://a.example",
    "allowedNetworks",
    "10.0.0.0/8",
    "limits",
    "cpu",
    "instances",
    "sha256",
    "outputDir",
    "filename",
    "format",
    "endpointUrl",
    "http://a.example",
    "secret",
    "meta",
    "headers",
    "${HOME}",
    "$${x}",
    "${",
    "<<",
    "x-y",
    "flagSets",
    "apiKeys",
    "retriever",
    "unixsocket",
    "unixSocketPath",
    "monitoringPort",
    "tls",
    "cert",
    "key",
    "authorizedKeys",
    "admin",
    "listen",
    "startAsAwsLambda",
    "envVariablePrefix",
    "webhookSecret",
    "kafka",
    "addresses",
];

fn word() -> impl Strategy<Value = String> {
    prop_oneof![9 => prop::sample::select(WORDS).prop_map(str::to_owned), 1 => ".{0,6}"]
}

fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        word().prop_map(Value::String),
        any::<i64>().prop_map(|number| json!(number)),
        any::<f64>().prop_map(|number| json!(number)),
        any::<bool>().prop_map(Value::Bool),
        Just(Value::Null),
    ];
    leaf.prop_recursive(5, 60, 8, |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            3 => prop::collection::vec((word(), inner), 0..8).prop_map(|entries| Value::Object(entries.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// An environment that names keys, or nearly.
fn environment() -> impl Strategy<Value = Environment> {
    let segment = prop_oneof![
        6 => prop::sample::select(WORDS).prop_map(str::to_ascii_uppercase),
        3 => (0u32..3).prop_map(|index| index.to_string()),
        1 => "[A-Z0-9_\\-]{0,6}",
    ];
    let name =
        (prop::sample::select(vec!["", "EXPORTERS_0_", "FLAGSETS_1_", "SERVER_", "EXPORTER_"]), prop::collection::vec(segment, 1..5));
    let name = name.prop_map(|(start, segments)| format!("{start}{}", segments.join("_")));
    prop::collection::vec((name, prop_oneof![word(), Just("tcp://1.2.3.4:5".to_owned())]), 0..8)
        .prop_map(|variables| variables.into_iter().collect())
}

/// What TOML can say of the tree: it has no null.
fn as_toml(tree: &Value) -> Option<String> {
    fn value(tree: &Value) -> Option<String> {
        Some(match tree {
            Value::Null => return None,
            Value::Bool(_) | Value::Number(_) => tree.to_string(),
            Value::String(text) => Value::String(text.clone()).to_string(),
            Value::Array(items) => format!("[{}]", items.iter().filter_map(value).collect::<Vec<_>>().join(", ")),
            Value::Object(members) => format!("{{ {} }}", pairs(members).join(", ")),
        })
    }
    fn pairs(members: &Map<String, Value>) -> Vec<String> {
        members.iter().filter_map(|(key, of)| Some(format!("{} = {}", Value::String(key.clone()), value(of)?))).collect()
    }
    Some(pairs(tree.as_object()?).join("\n"))
}

/// A file with exporters of every kind that is served, each with keys of all of them.
fn exporters() -> impl Strategy<Value = Value> {
    let names: Vec<&str> = kinds().iter().map(|info| info.name).chain(["wasm", "s3", ""]).collect();
    let keys: Vec<&str> = kinds().iter().flat_map(|info| (info.keys)().iter().copied()).chain(WORDS.iter().copied()).collect();
    let exporter =
        (prop::sample::select(names), prop::collection::vec((prop::sample::select(keys), tree()), 0..6)).prop_map(|(kind, entries)| {
            let entries = entries.into_iter().map(|(key, value)| (key.to_owned(), value)).chain([("kind".to_owned(), json!(kind))]);
            Value::Object(entries.collect::<Map<_, _>>())
        });
    prop::collection::vec(exporter, 0..4).prop_map(|exporters| json!({ "exporters": exporters }))
}

fn read(text: &str) {
    for format in [Format::Yaml, Format::Toml, Format::Json] {
        with(text, format, Environment::from_iter([("HOME", "/root")]));
    }
}

fn with(text: &str, format: Format, env: Environment) {
    if let Err(problems) = from_text(text, format, Path::new("."), &Sources { env, build: BuildContext::system() }) {
        assert!(problems.iter().any(|problem| problem.severity == Severity::Error));
    }
}

proptest! {
    #[test]
    fn random_text_is_read_or_refused(text in prop_oneof!["\\PC{0,80}", "[\\[\\]{}:,#&*!|>'\"%@`\\- \\n\\ta-c0-9?~<]{0,120}"]) {
        read(&text);
    }

    #[test]
    fn random_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn random_exporters_are_read_or_refused(file in exporters()) {
        read(&file.to_string());
    }

    #[test]
    fn random_trees_are_read_or_refused(tree in tree()) {
        read(&tree.to_string());
    }

    #[test]
    fn random_trees_are_read_or_refused_as_toml(tree in prop_oneof![tree(), exporters()]) {
        if let Some(text) = as_toml(&tree) {
            read(&text);
        }
    }

    #[test]
    fn random_variables_are_applied_or_told(file in prop_oneof![tree(), exporters()], env in environment()) {
        with(&file.to_string(), Format::Json, env.clone());
        with("", Format::Yaml, env);
    }
}
