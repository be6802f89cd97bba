//! What every first-party plugin has beside its source: a schema that is the one in its directory, and a `test/` that `flagpost plugin test` plays.

use std::fs;
use std::path::{Path, PathBuf};

use flagpost_tests::{Author, Setup, first_party};

/// The directories of first-party plugins.
fn directories() -> Vec<(String, PathBuf)> {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("plugins");
    let mut found: Vec<_> = fs::read_dir(plugins)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().join("Cargo.toml").is_file())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .collect();
    found.sort();
    assert!(found.len() >= 5, "{found:?}");
    found
}

#[test]
fn each_plugin_sends_what_its_golden_file_shows_and_understands_the_answers() {
    let setup = Setup::new();
    let author = Author::at(setup.directory());
    let mut played = 0;
    for (name, directory) in directories() {
        let golden = directory.join("test/golden.txt");
        if !golden.is_file() {
            // What speaks over a socket has no requests to answer: its test is its server.
            // And what is no plugin but a part of some has none either.
            assert!(["analytics", "redis"].contains(&name.as_str()), "{name}");
            continue;
        }
        let file = |name: &str| directory.join("test").join(name).display().to_string();
        let wasm = first_party(&name).display().to_string();
        let (events, config, replies, golden) = (file("events.jsonl"), file("config.yaml"), file("replies.yaml"), file("golden.txt"));
        // Not every event is delivered: some answers say that one never can be.
        let finished = author.run(&["test", &wasm, "--events", &events, "--config", &config, "--replies", &replies, "--golden", &golden]);
        assert!(finished.text.contains("golden.txt: the same"), "{name}:\n{}", finished.text);
        assert!(!finished.text.contains("no request came for"), "{name}:\n{}", finished.text);
        played += 1;
    }
    assert!(played >= 4);
}
