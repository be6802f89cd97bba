//! The plugins of `plugins/`: each against a real server of its kind, read back by another client, or, where nobody can run one, against the rules that
//! its service documents ([`recorded`]); and through `flagpost plugin test` with the answers that no server gives on request.

mod amplitude;
mod clickhouse;
mod datadog;
mod loki;
mod mixpanel;
mod opensearch;
mod posthog;
mod project;
mod recorded;
mod redis;
mod segment;

use std::fs;

use flagpost_tests::servers::victorialogs::{VictoriaLogs, messages};
use flagpost_tests::{Program, Setup, events, first_party};
use serde_json::Value;

/// An exporter that runs a first-party plugin, quick to notice what goes wrong and quick to try again. `keys` are further lines of YAML.
fn exporter(plugin: &str, keys: &str) -> String {
    let own: String = keys.lines().map(|line| format!("    {}\n", line.trim())).collect();
    format!(
        "  - kind: wasm\n    name: out\n    path: {plugin}.wasm\n    flushInterval: 20\n    retry: {{ initial: 20ms, max: 200ms }}\n{own}"
    )
}

/// A relay with that exporter.
fn setup(plugin: &str, keys: &str) -> Setup {
    let setup = Setup::new().with_exporters(&exporter(plugin, keys));
    setup.plugin(&format!("{plugin}.wasm"), fs::read(first_party(plugin)).unwrap());
    setup
}

/// Events in canonical form, as values, in the order of their texts.
fn values<S: AsRef<str>>(events: &[S]) -> Vec<Value> {
    sorted(events.iter().map(|event| serde_json::from_str(event.as_ref()).unwrap()).collect())
}

/// Values in the order of their texts.
fn sorted(mut values: Vec<Value>) -> Vec<Value> {
    values.sort_by_cached_key(Value::to_string);
    values
}

/// Events that come while the server is away are there when it is back, as what `query` finds.
async fn outlives_a_restart(server: &VictoriaLogs, setup: &Setup, query: &str) {
    let relay = Program::start(setup).await;
    relay.post(&events(1..101)).await;
    relay.complete("out", 100).await;
    server.stop().await;
    relay.post(&events(101..201)).await;
    relay.told("out", "retrying", "").await;
    server.restart().await;
    relay.complete("out", 200).await;
    let mut found = messages(&server.at_least(query, 200).await);
    found.dedup();
    assert_eq!(found, flagpost_tests::sorted(events(1..201)));
    relay.stop().await;
}
