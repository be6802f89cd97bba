//! What the README shows is what is there.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

fn file(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)).unwrap()
}

/// The blocks of that language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let start = format!("```{language}\n");
    text.split(start.as_str()).skip(1).map(|rest| rest.split("```\n").next().unwrap().to_owned()).collect()
}

#[test]
fn its_plugin_is_the_example_itself() {
    let shown = blocks(&file("README.md"), "rust,ignore");
    assert_eq!(shown.len(), 1);
    assert!(file("examples/exporters/rust/src/lib.rs").contains(&shown[0]), "the README shows another plugin:\n{}", shown[0]);
}

#[test]
fn its_configuration_is_valid() {
    let shown = blocks(&file("README.md"), "yaml");
    assert!(!shown.is_empty());
    let sources = flagpost::config::Sources {
        env: [("WEBHOOK_SECRET", "secret"), ("OTLP_TOKEN", "secret")].into_iter().collect(),
        ..flagpost::config::Sources::system()
    };
    for text in shown {
        let read = flagpost::config::from_text(&text, flagpost::config::Format::Yaml, Path::new("."), &sources);
        assert!(read.is_ok(), "{:?}\n{text}", read.err());
    }
}
