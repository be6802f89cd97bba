//! Plugins that are wrong, in every way that has a name; and what heals them.

use std::collections::HashSet;

use flagpost_tests::{Guest, Program, Setup, Target, assert_lines, events, example_plugin, guest, lines_in, until};
use serde_json::Value;
use sha2::{Digest, Sha256};

const FILE: &str = "  - { kind: file, name: out, outputDir: out, flushInterval: 20 }\n";

fn with_plugin(keys: &str) -> Setup {
    let wasm =
        format!("  - {{ kind: wasm, name: plugin, path: plugin.wasm, flushInterval: 20, retry: {{ initial: 5ms, max: 50ms }}, {keys} }}\n");
    Setup::new().with_exporters(&format!("{wasm}{FILE}"))
}

/// The other exporter delivers, and the plugin's events wait.
async fn the_other_delivers(setup: &Setup, relay: &Program) {
    relay.post(&events(1..501)).await;
    let counts = relay.drained(&["out"]).await.counts("plugin");
    assert_eq!((counts.waiting, counts.delivered, counts.dead, counts.dropped), (500, 0, 0, 0));
    assert_lines(&lines_in(&setup.path("out")), &events(1..501));
}

/// Waits until the plugin is invalid, and checks that the reason says all of `words`.
async fn is_invalid(relay: &Program, words: &[&str]) {
    let task = relay.in_state("plugin", "invalid").await;
    let reason = task["reason"].as_str().unwrap_or_else(|| panic!("no reason: {task}")).to_owned();
    for word in words {
        assert!(reason.contains(word), "`{word}` is not in: {reason}");
    }
}

/// A plugin that cannot run: named in the health route, the other exporter delivers on, a good file heals it.
async fn invalid_then_healed(setup: &Setup, words: &[&str]) {
    let relay = Program::start(setup).await;
    is_invalid(&relay, words).await;
    the_other_delivers(setup, &relay).await;
    setup.plugin("plugin.wasm", guest(Guest::Takes, true));
    let counts = relay.drained(&["plugin"]).await.counts("plugin");
    assert_eq!((counts.delivered, counts.dead, counts.dropped), (500, 0, 0));
    relay.in_state("plugin", "running").await;
    relay.stop().await;
}

#[tokio::test]
async fn a_missing_file_is_named_and_heals_when_it_appears() {
    invalid_then_healed(&with_plugin(""), &["plugin.wasm"]).await;
}

#[tokio::test]
async fn something_that_is_no_component_is_named_and_heals() {
    let setup = with_plugin("");
    setup.plugin("plugin.wasm", "#!/bin/sh\necho this is no component\n");
    invalid_then_healed(&setup, &["component"]).await;
}

#[tokio::test]
async fn a_core_module_is_named_and_heals() {
    let setup = with_plugin("");
    setup.plugin("plugin.wasm", guest(Guest::Module, true));
    invalid_then_healed(&setup, &["module", "component"]).await;
}

#[tokio::test]
async fn another_world_is_named_with_what_was_expected_and_heals() {
    let setup = with_plugin("");
    setup.plugin("plugin.wasm", guest(Guest::OtherWorld, true));
    invalid_then_healed(&setup, &["flagpost:plugin/exporter@0.1.0", "run"]).await;
}

#[tokio::test]
async fn another_version_of_the_interface_is_named_and_heals() {
    let setup = with_plugin("");
    setup.plugin("plugin.wasm", guest(Guest::OtherVersion, true));
    invalid_then_healed(&setup, &["flagpost:plugin/exporter@9.9.0", "0.1.0"]).await;
}

#[tokio::test]
async fn a_wrong_digest_is_named_with_both_digests_and_the_right_file_heals() {
    let good = guest(Guest::Takes, true);
    let expected = hex::encode(Sha256::digest(&good));
    let other = guest(Guest::Rejects, true);
    let setup = with_plugin(&format!("sha256: \"{expected}\""));
    setup.plugin("plugin.wasm", &other);
    invalid_then_healed(&setup, &[&expected, &hex::encode(Sha256::digest(&other))]).await;
}

/// A plugin whose calls end badly: retried, with the named error, and nothing is condemned.
async fn fails_with(kind: Guest, keys: &str, counter: &str, words: &[&str]) -> Value {
    let setup = with_plugin(keys);
    setup.plugin("plugin.wasm", guest(kind, true));
    let relay = Program::start(&setup).await;
    the_other_delivers(&setup, &relay).await;
    until(&format!("{counter} rises"), async || (relay.metrics().await.sum(counter, &[]) >= 1.0).then_some(())).await;
    let task = until("the error is told", async || {
        let task = relay.exporter("plugin").await;
        task["lastError"]["message"].is_string().then_some(task)
    })
    .await;
    let message = task["lastError"]["message"].as_str().unwrap();
    for word in words {
        assert!(message.contains(word), "`{word}` is not in: {message}");
    }
    relay.stop().await;
    task
}

#[tokio::test]
async fn an_infinite_loop_is_ended_and_named() {
    fails_with(Guest::Loops, "limits: { cpu: 50ms, timeout: 5s }", "flagpost_plugin_cpu_exceeded_total", &["CPU", "limits.cpu"]).await;
}

#[tokio::test]
async fn a_memory_bomb_is_refused_and_named() {
    fails_with(Guest::Bombs, "limits: { memory: 16MiB }", "flagpost_plugin_memory_refused_total", &["memory", "limits.memory"]).await;
}

#[tokio::test]
async fn a_trap_is_named() {
    fails_with(Guest::Traps, "", "flagpost_plugin_traps_total", &["unreachable"]).await;
}

#[tokio::test]
async fn a_plugin_without_bulk_gets_events_as_they_come() {
    let setup = with_plugin("");
    setup.plugin("plugin.wasm", guest(Guest::Takes, false));
    let relay = Program::start(&setup).await;
    relay.in_state("plugin", "running").await;
    relay.post(&events(1..51)).await;
    let metrics = relay.drained(&["plugin"]).await;
    assert_eq!(metrics.counts("plugin").delivered, 50);
    assert_eq!(metrics.sum("flagpost_plugin_calls_total", &[]) as u64, 50, "one event per call");
    relay.stop().await;
}

#[tokio::test]
async fn a_plugin_that_is_required_and_missing_ends_the_program() {
    let wasm = "  - { kind: wasm, name: plugin, path: plugin.wasm }";
    let setup = Setup::new().with_head("evaluation: none\nplugins: { required: true }\n").with_exporters(wasm);
    let mut relay = Program::spawn(&setup);
    let status = relay.ended().await;
    assert!(!status.success());
    assert!(relay.log().contains("plugin.wasm"), "{}", relay.log());
}

#[tokio::test]
async fn the_example_in_rust_posts_what_the_file_exporter_writes() {
    let target = Target::good().await;
    let keys = format!(
        "config: {{ endpoint: \"{0}\", key: s3cret }}, allowedHosts: [ \"POST {1}\" ], allowedNetworks: [ 127.0.0.0/8 ]",
        target.url("/in"),
        target.url("")
    );
    let setup = with_plugin(&keys);
    setup.plugin("plugin.wasm", std::fs::read(example_plugin()).unwrap());
    let relay = Program::start(&setup).await;
    let all = events(1..201);
    relay.post(&all).await;
    let metrics = relay.drained(&["plugin", "out"]).await;
    assert_eq!(metrics.counts("plugin").delivered, 200);
    assert_lines(&lines_in(&setup.path("out")), &all);
    let received = target.received();
    assert_eq!((received[0].line.as_str(), &received[0].headers["authorization"]), ("POST /in", &"Bearer s3cret".parse().unwrap()));
    let ids: HashSet<_> = received.iter().map(|request| request.headers["idempotency-key"].clone()).collect();
    assert_eq!(ids.len(), received.len(), "each batch has an id of its own");
    let posted: Vec<Value> = received.iter().flat_map(|request| serde_json::from_slice::<Vec<Value>>(&request.body).unwrap()).collect();
    let expected: Vec<Value> = all.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(posted, expected);
    relay.stop().await;
}

#[tokio::test]
async fn a_host_that_is_not_allowed_is_refused_with_the_lines_to_paste_and_nothing_is_lost() {
    let target = Target::good().await;
    let setup = with_plugin(&format!("config: {{ endpoint: \"{}\" }}", target.url("/in")));
    setup.plugin("plugin.wasm", std::fs::read(example_plugin()).unwrap());
    let relay = Program::start(&setup).await;
    the_other_delivers(&setup, &relay).await;
    let task = relay.in_state("plugin", "misconfigured").await;
    let text = task.to_string();
    assert!(text.contains("allowedHosts") && text.contains(&target.url("")), "{text}");
    assert_eq!(target.requests(), 0);
    assert_eq!(relay.metrics().await.counts("plugin").waiting, 500);
    relay.stop().await;
}

/// The managed guest that is kept with its interface: takes everything, as JSON lines; `schema` is that of its configuration.
fn managed(schema: &str) -> Vec<u8> {
    let text = include_str!("../../host/plugin/tests/guests/managed-exporter-0.1.0.wat");
    let (head, module) = text.split_once("(core module").expect("the guest has a module");
    let data = format!(r#"(data (i32.const 0) "{}") (data (i32.const 600) "acme")"#, schema.replace('"', "\\\""));
    let words = [600, 4, 0, 0, 0, schema.len(), 0, 0, 2, 0, 0];
    let describe: String =
        words.iter().enumerate().map(|(at, word)| format!("(i32.store (i32.const {}) (i32.const {word}))", 1024 + 4 * at)).collect();
    let module = module.replace("DATA", &data).replace("DESCRIBE", &describe).replace("CONFIGURE", "").replace("CLOSE", "");
    let module = module.replace("EXPORT", "(i32.store8 (i32.const 1024) (i32.const 0))");
    wat::parse_str(format!("{head}(core module{module}")).expect("the tests' own text is well formed")
}

#[tokio::test]
async fn a_configuration_that_the_plugins_schema_refuses_is_told_with_its_line_and_the_events_wait() {
    let setup = with_plugin("config: { endpont: s3cret-value }");
    setup.plugin("plugin.wasm", managed(r#"{"properties":{"endpoint":{}},"additionalProperties":false}"#));
    let relay = Program::start(&setup).await;
    let task = relay.in_state("plugin", "invalid").await;
    let reason = task["reason"].as_str().unwrap();
    assert!(
        reason.contains("refuses its configuration: line ") && reason.contains(": config.endpont: the plugin knows no such key"),
        "{reason}"
    );
    assert_eq!(task["plugin"]["diagnostics"][0]["path"], "config.endpont", "{task}");
    assert!(!relay.log().contains("s3cret-value") && !task.to_string().contains("s3cret-value"));
    the_other_delivers(&setup, &relay).await;
    relay.stop().await;
}

#[tokio::test]
async fn a_plugin_of_the_full_contract_delivers() {
    let setup = with_plugin("config: { endpoint: x }");
    setup.plugin("plugin.wasm", managed(r#"{"properties":{"endpoint":{"type":"string"}},"additionalProperties":false}"#));
    let relay = Program::start(&setup).await;
    relay.post(&events(1..501)).await;
    let counts = relay.drained(&["plugin", "out"]).await.counts("plugin");
    assert_eq!((counts.delivered, counts.waiting, counts.dead), (500, 0, 0));
    let task = relay.exporter("plugin").await;
    assert_eq!((task["plugin"]["title"].as_str(), task["plugin"]["encoding"].as_str()), (Some("acme"), Some("json-lines")), "{task}");
    relay.stop().await;
}

#[tokio::test]
async fn credentials_that_the_relay_holds_reach_the_destination_and_no_log() {
    let target = Target::good().await;
    let keys = format!(
        "config: {{ endpoint: \"{0}\" }}, allowedHosts: [ \"POST {1}\" ], allowedNetworks: [ 127.0.0.0/8 ], secrets: {{ LOGIN: {{ file: login, hosts: [ \"{1}\" ], as: basic }} }}",
        target.url("/in"),
        target.url("")
    );
    let setup = with_plugin(&keys);
    std::fs::write(setup.path("login"), "anna:hunter22\n").unwrap();
    setup.plugin("plugin.wasm", std::fs::read(example_plugin()).unwrap());
    let relay = Program::start(&setup).await;
    relay.post(&events(1..11)).await;
    assert_eq!(relay.drained(&["plugin"]).await.counts("plugin").delivered, 10);
    assert_eq!(target.received()[0].headers["authorization"], "Basic YW5uYTpodW50ZXIyMg==");
    let task = relay.exporter("plugin").await;
    assert_eq!(task["plugin"]["grants"]["secrets"]["LOGIN"], "basic", "{task}");
    assert!(!relay.log().contains("hunter22") && !task.to_string().contains("hunter22"));
    relay.stop().await;
}
