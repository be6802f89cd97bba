//! Which values hold, and where they come from.

use super::*;

fn values(text: &str, env: &[(&str, &str)]) -> Vec<(String, String, Place)> {
    with(text, env).unwrap().values.into_iter().map(|value| (value.path, value.value, value.place)).collect()
}

fn one<'v>(values: &'v [(String, String, Place)], path: &str) -> (&'v str, Place) {
    let (_, value, place) = values.iter().find(|(found, ..)| found == path).unwrap_or_else(|| panic!("{path} is not among {values:#?}"));
    (value, place.clone())
}

#[test]
fn every_value_has_its_source() {
    let text = "
server: { port: '${PORT}' }
listen: 7
host: 10.0.0.1
evaluation: none
exporters:
  - kind: webhook
    endpointUrl: https://u:p@h/x?token=t
";
    let env = [("PORT", "8080"), ("SERVER_MONITORINGPORT", "9090"), ("BUFFER_PATH", "/b"), ("EXPORTERS_0_META_TEAM", "x")];
    let values = values(text, &env);
    let table = [
        ("server.port", "${PORT}", Place::Line(2)),
        ("server.host", "10.0.0.1", Place::Line(4)),
        ("server.monitoringPort", "9090", Place::Variable("SERVER_MONITORINGPORT".into())),
        ("buffer.path", "/b", Place::Variable("BUFFER_PATH".into())),
        ("buffer.minFree", "512MiB", Place::Nowhere),
        ("buffer.maxBytes", "4GiB", Place::Nowhere),
        ("logLevel", "info", Place::Nowhere),
        ("exporters[0].kind", "webhook", Place::Line(7)),
        ("exporters[0].name", "webhook-6a8d8f86", Place::Nowhere),
        ("exporters[0].maxBacklog", "4GiB", Place::Nowhere),
        ("exporters[0].retry.initial", "500ms", Place::Nowhere),
        ("exporters[0].endpointUrl", "https://h/…", Place::Line(8)),
        ("exporters[0].meta.team", "x", Place::Variable("EXPORTERS_0_META_TEAM".into())),
    ];
    for (path, value, place) in table {
        if path == "exporters[0].name" {
            // Its form is pinned elsewhere.
            assert!(one(&values, path).0.starts_with("webhook-"));
            continue;
        }
        assert_eq!(one(&values, path), (value, place), "{path}");
    }
    assert!(!values.iter().any(|(path, ..)| path.starts_with("upstream") || path == "listen"), "{values:#?}");
    assert_eq!(one(&self::values("upstream: { url: 'http://r' }", &[]), "upstream.connectTimeout"), ("5s", Place::Nowhere));
}

#[test]
fn no_secret_is_shown_whatever_its_source() {
    let text = "
authorizedKeys: { evaluation: [hunter2], admin: ['${S}'] }
collector: { webhookSecret: hunter2 }
flagSets:
  - name: a
    apiKeys: hunter2
    exporters:
      - { kind: webhook, endpointUrl: 'https://hunter2:x@h/', secret: hunter2, headers: { A: [hunter2], B: hunter2 } }
      - { kind: wasm, path: a.wasm, config: { deep: [hunter2] }, env: { A: hunter2 } }
";
    let env = [
        ("S", "hunter2"),
        ("FLAGSETS_0_APIKEYS", "hunter2,hunter3"),
        ("FLAGSETS_0_EXPORTERS_1_ENV_B", "hunter2"),
        ("FLAGSETS_0_EXPORTERS_0_HEADERS_C", "hunter2"),
    ];
    let loaded = with(text, &env).unwrap();
    let shown = format!("{:?} {:?} {:?}", loaded.values, loaded.warnings, loaded.config);
    assert!(!shown.contains("hunter"), "{shown}");
    let redacted: Vec<&str> = loaded.values.iter().filter(|value| value.value == "[redacted]").map(|value| value.path.as_str()).collect();
    for path in [
        "authorizedKeys.evaluation[0]",
        "authorizedKeys.admin[0]",
        "flagSets[0].apiKeys[1]",
        "flagSets[0].exporters[0].secret",
        "flagSets[0].exporters[0].headers.B",
        "flagSets[0].exporters[1].config",
        "flagSets[0].exporters[1].env.A",
    ] {
        assert!(redacted.iter().any(|found| found.starts_with(path)), "{path}: {redacted:?}");
    }
}

#[test]
fn beside_flag_sets_top_level_exporters_hold_nothing() {
    let text = "exporters: [{ kind: log }]\nflagSets: [{ apiKeys: [k], exporters: [{ kind: log }] }]\n";
    let values = values(text, &[]);
    assert!(!values.iter().any(|(path, ..)| path.starts_with("exporters")), "{values:#?}");
    assert!(one(&values, "flagSets[0].name").0.starts_with("flagset-"));
    assert_eq!(one(&values, "flagSets[0].exporters[0].name").0, "log-e3b0c442");
}
