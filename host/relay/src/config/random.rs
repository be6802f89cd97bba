//! Whatever is in the file, reading it ends in a configuration or in problems.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use flagpost_exporter::{BuildContext, kinds};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Sources, from_text};

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
    "retriever",
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
    let sources = Sources { env: &|name| (name == "HOME").then(|| "/root".to_owned()), build: BuildContext::system() };
    if let Err(problems) = from_text(text, Path::new("."), &sources) {
        assert!(!problems.is_empty());
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
}
