//! Nothing is granted that the configuration does not grant; what it grants works.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{HOST, RUNTIME, ask, probe, ready};
use flagpost_exporter::Exporter;
use flagpost_plugin::PluginSpec;
use serde_json::json;

#[test]
fn a_plugin_sees_no_file_no_socket_no_stdin_and_no_environment_of_the_relay() {
    RUNTIME.block_on(async {
        assert_eq!(ask(&*ready(probe(json!({ "do": "files" }))).await).await, json!([false, false, false, false]));
        let sockets = ask(&*ready(probe(json!({ "do": "sockets", "address": "127.0.0.1:1" }))).await).await;
        assert!(sockets.as_array().unwrap().iter().all(serde_json::Value::is_string), "each is an error: {sockets}");
        assert_eq!(ask(&*ready(probe(json!({ "do": "stdin" }))).await).await, json!(0));
        assert_eq!(ask(&*ready(probe(json!({ "do": "env" }))).await).await, json!([]));
    });
}

#[test]
fn its_own_environment_configuration_and_call_reach_a_plugin() {
    RUNTIME.block_on(async {
        let env = BTreeMap::from([("ACME_REGION".to_owned(), "eu".to_owned())]);
        let exporter = ready(PluginSpec { env, ..probe(json!({ "do": "env" })) }).await;
        assert_eq!(ask(&exporter).await, json!([["ACME_REGION", "eu"]]));
        let exporter = ready(probe(json!({ "do": "call" }))).await;
        assert_eq!(ask(&exporter).await, json!({ "batch": "store-default-feature-1-n", "attempt": 1, "calls": 1 }));
        assert_eq!(ask(&exporter).await["calls"], 2, "the instance is warm");
    });
}

#[test]
fn events_arrive_field_by_field() {
    RUNTIME.block_on(async {
        let exporter = ready(probe(json!({ "do": "events" }))).await;
        let seen = ask(&exporter).await;
        let expected = r#"[Event::Feature(FeatureEvent { kind: "feature", context-kind: "user", user-key: "user-0", creation-date: 1700000000, key: "new-<b>", variation: "on", value-json: "{\"a\":[1,2.5,null]}", default: false, version: "v1", source: "SERVER", metadata-json: Some("{\"n\":0}") })]"#;
        assert_eq!(seen.as_str().unwrap(), expected);
        let batch = common::batch_of(flagpost_event::EventKind::Tracking, [common::tracking_line(0)]);
        let error = exporter.export(&batch).await.unwrap_err().to_string();
        let expected = r#"[Event::Tracking(TrackingEvent { kind: "tracking", context-kind: "user", user-key: "user-0", creation-date: 1700000001, key: "bought", evaluation-context-json: "{\"targetingKey\":\"user-0\"}", tracking-event-details-json: "{\"price\":9.5}" })]"#;
        assert_eq!(serde_json::from_str::<String>(&error).unwrap(), expected);
    });
}

#[test]
fn time_is_the_relays_clock() {
    #[derive(Debug)]
    struct Fixed;
    impl flagpost_event::Clock for Fixed {
        fn now(&self) -> std::time::SystemTime {
            std::time::UNIX_EPOCH + Duration::from_secs(1_234_567_890)
        }
    }
    RUNTIME.block_on(async {
        let temp = tempfile::tempdir().unwrap();
        let options = flagpost_plugin::HostOptions { clock: std::sync::Arc::new(Fixed), ..common::options(&temp.path().join("cache")) };
        let host = flagpost_plugin::PluginHost::start(options).unwrap();
        let exporter = common::load(&host, probe(json!({ "do": "clock" }))).await;
        assert_eq!(ask(&exporter).await, json!(1_234_567_890));
    });
}

#[test]
fn wrong_configuration_is_told_whole_and_loads_nothing() {
    let mut spec = probe(json!([1]));
    spec.allowed_hosts = vec!["*".to_owned(), "POST https://in.acme.dev".to_owned(), "in.acme.dev".to_owned()];
    spec.env.insert("A=B".to_owned(), String::new());
    spec.sha256 = Some("abc".to_owned());
    spec.max_events_per_call = Some(0);
    spec.limits.memory = 1;
    spec.limits.instances = 0;
    spec.limits.cpu = Duration::ZERO;
    let error = HOST.load(spec).unwrap_err();
    let keys: Vec<_> = error.problems.iter().map(|problem| problem.key.as_str()).collect();
    let expected = [
        "allowedHosts[0]",
        "allowedHosts[2]",
        "env",
        "config",
        "sha256",
        "maxEventsPerCall",
        "limits.memory",
        "limits.cpu",
        "limits.instances",
    ];
    assert_eq!(keys, expected, "{error}");
}

#[test]
fn the_memory_of_all_plugins_together_is_bounded_and_comes_back() {
    RUNTIME.block_on(async {
        let temp = tempfile::tempdir().unwrap();
        let options = flagpost_plugin::HostOptions { memory_budget: 300 << 20, ..common::options(&temp.path().join("cache")) };
        let host = flagpost_plugin::PluginHost::start(options).unwrap();
        let spec = || PluginSpec::new("acme", temp.path().join("missing.wasm"));
        let (first, _second) = (host.load(spec()).unwrap(), host.load(spec()).unwrap());
        let error = host.load(spec()).unwrap_err().to_string();
        let expected =
            "limits.memory: 128 MiB for 1 instance(s) of 128 MiB, beside the 256 MiB of the plugins before it, exceed the 300 MiB";
        assert!(error.contains(expected), "{error}");
        drop(first);
        // Its part comes back when its task has ended, which is a moment later.
        while host.load(spec()).is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
}

#[test]
fn the_standard_configuration_interface_reads_the_same_configuration() {
    RUNTIME.block_on(async {
        let wasm = wat::parse_str(include_str!("guests/config-store.wat")).unwrap();
        for (config, expected) in [(json!({ "region": "eu", "x": 1 }), "eu"), (json!({ "region": ["a", 1] }), r#"["a",1]"#)] {
            let exporter = ready(PluginSpec { config, ..PluginSpec::new("acme", common::file(&wasm)) }).await;
            assert_eq!(exporter.export(&common::features(1)).await.unwrap_err().to_string(), expected);
        }
    });
}
