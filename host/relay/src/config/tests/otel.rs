//! Where exporters of kind `opentelemetry` take their endpoint from.

use super::{said, with};

/// The example of upstream's documentation.
const UPSTREAM: &str = "
evaluation: none
otel:
  exporter:
    otlp:
      endpoint: http://otel-collector:4317
      protocol: grpc
  resource:
    attributes:
      service.name: relay-proxy
flagsets:
  - name: default
    apiKeys: [ key ]
    exporters:
      - kind: opentelemetry
        tracerName: go-feature-flag
";

#[test]
fn upstreams_example_is_taken_and_nothing_is_said_of_its_otel() {
    let loaded = with(UPSTREAM, &[]);
    let said = said(&loaded);
    assert!(said.len() == 1 && said[0].contains("flagSets[0].name: warning: `default` is the flag set of"), "{said:?}");
    assert_eq!(loaded.unwrap().config.exporters[0].kind, "opentelemetry");
}

#[test]
fn an_endpoint_comes_from_the_file_or_the_environment_and_its_mistakes_name_where_they_stand() {
    let exporter = "exporters: [{ kind: opentelemetry, eventType: all }]\n";
    for (file, env) in [
        ("openTelemetryOtlpEndpoint: http://c:4318\n", vec![]),
        ("otel: { exporter: { otlp: { endpoint: 'http://c:4318' } } }\n", vec![]),
        ("", vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318")]),
        ("", vec![("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:4318/x"), ("OTEL_RESOURCE_ATTRIBUTES", "a=b,c=d")]),
        // What the SDK knows and this program does not need.
        ("", vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"), ("OTEL_METRICS_EXPORTER", "none"), ("OTEL_BSP_MAX_QUEUE_SIZE", "1")]),
    ] {
        let loaded = with(&format!("evaluation: none\n{file}{exporter}"), &env);
        assert_eq!(said(&loaded), [""; 0], "{file} {env:?}");
    }
    let table = [
        (vec![], "2: exporters[0].endpoint: no endpoint: upstream exports nothing then, and says nothing"),
        (
            vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "c:4317")],
            "2: exporters[0].endpoint: `OTEL_EXPORTER_OTLP_ENDPOINT` is no URL of a collector",
        ),
    ];
    for (env, expected) in table {
        let said = said(&with(&format!("evaluation: none\n{exporter}"), &env));
        assert!(said.len() == 1 && said[0].starts_with(expected), "{said:?}");
    }
    let env = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
    ];
    let said = said(&with(&format!("evaluation: none\n{exporter}"), &env));
    assert!(
        said.iter().any(|line| line.starts_with("environment variable OTEL_EXPORTER_OTLP_HEADERS: warning: a part of it is not used")),
        "{said:?}"
    );
    assert!(said.iter().any(|line| line.starts_with("environment variable OTEL_EXPORTER_OTLP_TIMEOUT: warning: not used")), "{said:?}");
    assert!(said.iter().all(|line| !line.contains("hunter2")));
}

#[test]
fn a_misspelt_key_of_otel_is_told_where_it_would_have_counted() {
    let file = "evaluation: none\notel: { exporter: { otlp: { endpoint: 'http://c', protocl: grpc } } }\nexporters: [{ kind: opentelemetry, eventType: all }]\n";
    let said = said(&with(file, &[]));
    assert!(said.len() == 1 && said[0].contains("otel.exporter.otlp.protocl") && said[0].contains("did you mean `protocol`?"), "{said:?}");
}

#[test]
fn an_exporter_is_another_one_when_what_it_has_in_common_with_others_changes() {
    let exporters = |endpoint: &str| {
        let text = format!(
            "evaluation: none\notel: {{ exporter: {{ otlp: {{ endpoint: '{endpoint}' }} }} }}\nexporters: [{{ kind: opentelemetry }}, {{ kind: log }}]\n"
        );
        with(&text, &[]).unwrap().config.exporters
    };
    let (before, same, changed) = (exporters("http://c:1"), exporters("http://c:1"), exporters("http://c:2"));
    assert!(before[0].does_the_same(&same[0]) && before[1].does_the_same(&same[1]));
    assert!(!before[0].does_the_same(&changed[0]), "a reload replaces it");
    assert!(before[1].does_the_same(&changed[1]), "and leaves the others alone");
}
