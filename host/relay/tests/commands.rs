//! `flagpost validate` and `flagpost schema`, as they are called.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

use serde_json::{Value, json};

/// Runs it in a directory with this file, and with nothing in its environment but these variables.
fn flagpost(arguments: &[&str], file: &str, env: &[(&str, &str)]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("f.yaml"), file).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_flagpost"));
    command.args(arguments).current_dir(dir.path()).env_clear().envs(env.iter().copied()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const TEN: &str = "server: { port: eighty, hosst: a }
upstream: { url: relay }
buffer: { maxBytes: 4 gigs }
logLevel: loud
logFormat: xml
exporters:
  - kind: fil
  - kind: webhook
  - { kind: log, flushIntervall: 5 }
  - { kind: log, name: a, whenFull: explode }
collector: { bodyTimeout: 30 }
";

#[test]
fn all_mistakes_are_said_at_once_each_with_its_place() {
    let output = flagpost(&["validate", "--config", "f.yaml"], TEN, &[("SERVER_MONITORINGPORT", "x")]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    let expected = [
        "f.yaml:1: server.port: ",
        "f.yaml:1: server.hosst: ",
        "f.yaml:2: upstream.url: ",
        "f.yaml:3: buffer.maxBytes: ",
        "f.yaml:4: logLevel: ",
        "f.yaml:5: logFormat: ",
        "f.yaml:7: exporters[0].kind: ",
        "f.yaml:8: exporters[1].endpointUrl: ",
        "f.yaml:9: exporters[2].flushIntervall: ",
        "f.yaml:10: exporters[3].whenFull: ",
        "f.yaml:11: collector.bodyTimeout: ",
        "environment variable SERVER_MONITORINGPORT: server.monitoringPort: ",
    ];
    for start in expected {
        assert!(said.lines().any(|line| line.starts_with(start)), "{start}: {said}");
    }
    assert_eq!(said.lines().count(), expected.len(), "{said}");
    assert!(output.stdout.is_empty());
}

#[test]
fn machines_get_one_object() {
    let output = flagpost(&["validate", "--config", "f.yaml", "--json"], TEN, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["file"], &report["valid"]), (&json!("f.yaml"), &json!(false)));
    let problems = report["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 11, "{report:#}");
    let level = problems.iter().find(|problem| problem["path"] == "logLevel").unwrap();
    assert_eq!((&level["line"], &level["severity"], &level["variable"]), (&json!(4), &json!("error"), &Value::Null));
    assert_eq!(level["message"], "unrecognized level: \"loud\"");

    let file = "evaluation: none\nexporters: [{ kind: log, name: a, eventType: all }]\n";
    let output = flagpost(&["validate", "--config", "f.yaml", "--json", "--show-source"], file, &[("SERVER_PORT", "8080")]);
    assert_eq!(output.status.code(), Some(0));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["valid"], &report["problems"]), (&json!(true), &json!([])));
    assert_eq!(report["exporters"], json!([{ "flagSet": "default", "name": "a", "kind": "log" }]));
    let value = |path: &str| report["values"].as_array().unwrap().iter().find(|value| value["path"] == path).cloned().unwrap();
    assert_eq!(
        value("server.port"),
        json!({"path": "server.port", "value": "8080", "line": null, "variable": "SERVER_PORT", "default": false})
    );
    assert_eq!(value("exporters[0].name")["line"], 2);
    assert_eq!(value("logLevel"), json!({"path": "logLevel", "value": "info", "line": null, "variable": null, "default": true}));
}

#[test]
fn every_value_is_shown_with_its_source_and_no_secret() {
    let file = "evaluation: none\nauthorizedKeys: { admin: hunter2 }\nexporters: [{ kind: file, outputDir: out }]\n";
    let output =
        flagpost(&["validate", "--config", "f.yaml", "--show-source"], file, &[("APIKEYS", "hunter3"), ("SERVER_HOST", "127.0.0.1")]);
    assert_eq!(output.status.code(), Some(0));
    let shown = text(&output.stdout);
    for line in [
        "f.yaml: valid, 1 exporter",
        "  file-07aee987 (file)",
        "authorizedKeys.admin = [redacted]    (f.yaml:2)",
        "authorizedKeys.evaluation[0] = [redacted]    (env APIKEYS)",
        "exporters[0].outputDir = out    (f.yaml:3)",
        "server.host = 127.0.0.1    (env SERVER_HOST)",
        "server.port = 1031    (default)",
    ] {
        let line = line.replace("admin = ", "admin[0] = ");
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }
    assert!(!format!("{shown}{}", text(&output.stderr)).contains("hunter"), "{shown}");
}

#[test]
fn the_schema_is_json_and_the_reference_is_markdown() {
    let output = flagpost(&["schema"], "", &[]);
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(output.status.code(), Some(0));
    let output = flagpost(&["schema", "--markdown"], "", &[]);
    assert!(text(&output.stdout).starts_with("# Configuration reference\n"));
}
