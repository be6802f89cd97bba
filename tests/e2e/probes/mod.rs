//! Probes: whether targets are there, asked without an event.

mod services;

use std::fs;
use std::net::TcpListener;

use flagpost_tests::{Program, Setup, Target, events, flagpost, free_port, until};
use serde_json::Value;

/// The line about an exporter.
fn line<'t>(text: &'t str, exporter: &str) -> &'t str {
    let found = text.lines().find(|line| line.starts_with("probe ") && line.contains(&format!(": {exporter} (")));
    found.unwrap_or_else(|| panic!("nothing about {exporter}:\n{text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn validate_probes_every_exporter_and_says_of_each_what_was_tried_and_what_to_do() {
    let (target, nobody) = (Target::good().await, free_port());
    let good = format!(
        "  - {{ kind: file, name: lake, outputDir: out }}
  - {{ kind: file, name: twin, outputDir: out }}
  - {{ kind: log, name: lines }}
  - {{ kind: webhook, name: hook, endpointUrl: \"{}\" }}
",
        target.url("/")
    );
    let bad = format!(
        "  - {{ kind: file, name: blocked, outputDir: in-the-way/out }}
  - {{ kind: webhook, name: down, endpointUrl: \"http://127.0.0.1:{nobody}/secret-path\" }}
  - {{ kind: wasm, name: absent, path: absent.wasm }}
"
    );
    let mut setup = Setup::new().with_exporters(&good);
    fs::write(setup.path("in-the-way"), "").unwrap();
    let arguments = ["validate", "--config", "flagpost.yaml", "--probe"];
    let finished = flagpost(&setup, &arguments);
    assert!(finished.status.success(), "{}", finished.text);
    for exporter in ["lake", "twin", "lines", "hook"] {
        assert!(line(&finished.text, exporter).starts_with("probe ok: "), "{}", finished.text);
    }
    assert!(line(&finished.text, "hook").contains("connected to the server"), "{}", finished.text);
    assert_eq!(fs::read_dir(setup.path("out")).unwrap().count(), 0, "nothing is left");

    setup.set_exporters(&(good + &bad));
    let finished = flagpost(&setup, &arguments);
    assert_eq!(finished.status.code(), Some(1), "{}", finished.text);
    assert!(line(&finished.text, "lake").starts_with("probe ok: "), "one that fails hides no other: {}", finished.text);
    for (exporter, came_back, advice) in
        [("blocked", "in-the-way", "check `outputDir`"), ("down", "refused", "check `endpointUrl`"), ("absent", "absent.wasm", "")]
    {
        let line = line(&finished.text, exporter);
        assert!(line.starts_with("probe failed: ") && line.contains(came_back) && line.contains(advice), "{line}");
    }
    assert!(!finished.text.contains("secret-path"), "{}", finished.text);
    let finished = flagpost(&setup, &["validate", "--config", "flagpost.yaml", "--probe", "--json"]);
    assert_eq!(finished.status.code(), Some(1));
    // Warnings are in the object, too: there is nothing else.
    let report: Value = serde_json::from_str(&finished.text).unwrap();
    let of = |name: &str| report["exporters"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap()["probe"].clone();
    assert_eq!((&report["valid"], &of("hook")["ok"], &of("down")["ok"]), (&Value::from(true), &Value::from(true), &Value::from(false)));
    assert!(of("down")["message"].as_str().is_some_and(|text| text.contains("refused")), "{report}");
    assert_eq!(target.requests(), 0, "a probe is no request");
    let finished = flagpost(&setup, &["validate", "--config", "flagpost.yaml"]);
    assert!(finished.status.success() && !finished.text.contains("probe "), "only when it is asked for: {}", finished.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_shows_what_the_last_probe_found_and_asks_again() {
    let target = Target::good().await;
    let port = free_port();
    let exporters = format!(
        "  - {{ kind: webhook, name: up, endpointUrl: \"{}\", eventType: all }}
  - {{ kind: webhook, name: down, endpointUrl: \"http://127.0.0.1:{port}/\", flushInterval: 20, retry: {{ initial: 20ms, max: 100ms }} }}",
        target.url("/")
    );
    let setup = Setup::new().with_head("evaluation: none\nprobes: true\n").with_exporters(&exporters);
    let relay = Program::start(&setup).await;
    let probe = async |exporter: &str, ok: bool| {
        until("the probe is shown", async || {
            let probe = relay.exporter(exporter).await["probe"].clone();
            (probe["ok"] == ok && probe["atUnixMillis"].is_u64()).then_some(probe)
        })
        .await
    };
    assert!(probe("up", true).await["tried"].as_str().is_some_and(|text| text.contains("connected")));
    let found = probe("down", false).await;
    assert!(found["message"].as_str().is_some_and(|text| text.contains("refused") && text.contains("check `endpointUrl`")), "{found}");
    assert_eq!(target.requests(), 0, "a probe is no request");
    let told = relay.log().lines().filter(|line| line.contains("the probe of an exporter failed")).count();
    assert_eq!(told, 1, "{}", relay.log());
    relay.post(&events(1..11)).await;
    relay.in_state("down", "retrying").await;
    // Somebody listens there from now on; whether the events can be delivered is another matter.
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let found = probe("down", true).await;
    assert!(found["message"].is_null(), "{found}");
    drop(listener);
    // A reload: what is new is asked, what stays keeps its answer.
    let before = probe("up", true).await;
    let mut setup = setup;
    let later = "\n  - { kind: file, name: later, outputDir: later }";
    setup.set_exporters(&(exporters + later));
    until("the new exporter is there", async || relay.get("/health/exporters").await.1.contains("\"later\"").then_some(())).await;
    assert!(probe("later", true).await["tried"].as_str().is_some_and(|text| text.contains("made a file")));
    assert_eq!(probe("up", true).await, before);
    relay.kill();
}
