//! The same configuration in three formats.

use super::*;

const YAML: &str = "
server:
  port: 8081
evaluation: none
buffer: { maxBytes: 1GiB }
exporters:
  - kind: webhook
    endpointUrl: http://h/
    flushInterval: 1500
    meta: { team: x }
    headers: { X-A: [a, b] }
  - kind: log
";

const TOML: &str = r#"
evaluation = "none"
[server]
port = 8081
[buffer]
maxBytes = "1GiB"
[[exporters]]
kind = "webhook"
endpointUrl = "http://h/"
flushInterval = 1500
meta.team = "x"
headers.X-A = ["a", "b"]
[[exporters]]
kind = "log"
"#;

const JSON: &str = r#"{
  "server": { "port": 8081 }, "evaluation": "none", "buffer": { "maxBytes": "1GiB" },
  "exporters": [
    { "kind": "webhook", "endpointUrl": "http://h/", "flushInterval": 1500, "meta": { "team": "x" }, "headers": { "X-A": ["a", "b"] } },
    { "kind": "log" }
  ]
}"#;

#[test]
fn the_format_makes_no_difference() {
    let read = |text, format| {
        let config = in_format(text, format, &[]).unwrap().config;
        assert_eq!(config.exporters[0].policy.flush_interval, Duration::from_millis(1500));
        format!("{config:?}")
    };
    let yaml = read(YAML, Format::Yaml);
    assert_eq!(yaml, read(TOML, Format::Toml));
    assert_eq!(yaml, read(JSON, Format::Json));
}

#[test]
fn a_mistake_has_its_line_in_every_format() {
    let cases = [
        (YAML.replace("8081", "no"), Format::Yaml, 3),
        (TOML.replace("8081", "'no'"), Format::Toml, 4),
        (JSON.replace("8081", "\"no\""), Format::Json, 2),
    ];
    for (text, format, line) in cases {
        let said = said(&in_format(&text, format, &[]));
        assert_eq!(said, [format!("{line}: server.port: expected a whole number, found `no`")], "{format:?}");
    }
    let cases = [
        (YAML.replace("kind: log", "kind: lgo"), Format::Yaml, 12),
        (TOML.replace("log", "lgo"), Format::Toml, 14),
        (JSON.replace("log", "lgo"), Format::Json, 5),
    ];
    for (text, format, line) in cases {
        let said = said(&in_format(&text, format, &[]));
        let expected = format!(
            "{line}: exporters[1].kind: exporter at index 1 validation failed: invalid exporter: kind \"lgo\" is not supported; did you mean `log`?"
        );
        assert_eq!(said, [expected], "{format:?}");
    }
}

#[test]
fn the_files_name_decides() {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [("c.yaml", YAML), ("c.yml", YAML), ("c.conf", YAML), ("c.toml", TOML), ("c.json", JSON)] {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        let sources = Sources { env: Environment::default(), build: BuildContext::system() };
        assert_eq!(load(&path, &sources).unwrap().config.server.port, 8081, "{name}");
    }
    let path = dir.path().join("broken.json");
    std::fs::write(&path, "{\n\"server\": {,}\n}").unwrap();
    let error = load(&path, &Sources { env: Environment::default(), build: BuildContext::system() }).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}:2: not valid JSON", path.display())), "{error}");
}
