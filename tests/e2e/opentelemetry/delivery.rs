//! What arrives, and as what.

use std::collections::BTreeSet;

use flagpost_tests::servers::{jaeger, unique};
use flagpost_tests::{Program, Setup, events, flagpost};
use serde_json::{Value, json};

use super::{exporter, numbers};

const ODD: &str = r#"{"kind":"feature","contextKind":"anonymousUser","userKey":"u-7","creationDate":1700000000,"key":"flag","variation":"SdkDefault","value":null,"default":true,"version":"1.2","source":"PROVIDER_CACHE","metadata":{"float":1.5,"list":[1,"x",null],"map":{"b":true},"n":-3,"text":"Zoë 🚀","yes":true}}"#;

const TRACKING: &str = r#"{"kind":"tracking","contextKind":"user","userKey":"t-1","creationDate":1700000000,"key":"checkout","evaluationContext":{"plan":"pro"},"trackingEventDetails":{"value":9.5}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn each_event_is_one_span_with_upstreams_attributes_over_either_protocol() {
    let Some(server) = jaeger::shared().await else { return };
    let services = [unique("grpc"), unique("http")];
    let own = "eventType: all\n    tracerName: mine\n    resourceAttributes: { zone: a }";
    let exporters =
        exporter("grpc", &services[0], &server.grpc(), "grpc", own) + &exporter("http", &services[1], &server.http(), "http/protobuf", own);
    let setup = Setup::new().with_exporters(&exporters);
    let relay = Program::start(&setup).await;
    relay.post(&[ODD.to_owned(), TRACKING.to_owned()]).await;
    for batch in events(1_001..2_001).chunks(100) {
        relay.post(batch).await;
    }
    let metrics = relay.drained(&["grpc", "http"]).await;
    for (name, service) in ["grpc", "http"].iter().zip(&services) {
        let counts = metrics.counts(name);
        assert_eq!((counts.delivered, counts.dead, counts.dropped), (1_002, 0, 0), "{name}");
        let spans = server.at_least(service, 1_002).await;
        assert_eq!(spans.len(), 1_002, "{name}: each once");
        let ids: BTreeSet<&str> = spans.iter().map(|span| span.trace.as_str()).collect();
        assert_eq!(ids.len(), 1_002, "{name}: each has a trace of its own");
        let (tracked, evaluated): (Vec<_>, Vec<_>) = spans.into_iter().partition(|span| span.name == "feature_flag.track");
        assert!(evaluated.iter().all(|span| span.name == "feature_flag.evaluate"));
        assert_eq!(numbers(&evaluated), (1_001..2_001).chain([7]).collect());
        let odd = evaluated.iter().find(|span| span.number() == 7).unwrap();
        assert_eq!(odd.start, 1_700_000_000_000_000);
        assert!(odd.duration > 0, "it ends when it is sent");
        let expected = [
            ("feature_flag.key", "string", json!("flag")),
            ("feature_flag.user_key", "string", json!("u-7")),
            ("feature_flag.context_kind", "string", json!("anonymousUser")),
            ("feature_flag.variation", "string", json!("SdkDefault")),
            ("feature_flag.default", "bool", json!(true)),
            ("feature_flag.version", "string", json!("1.2")),
            ("feature_flag.source", "string", json!("PROVIDER_CACHE")),
            ("feature_flag.metadata.float", "float64", json!(1.5)),
            ("feature_flag.metadata.list", "string", json!("[1 x <nil>]")),
            ("feature_flag.metadata.map", "string", json!("map[b:true]")),
            ("feature_flag.metadata.n", "int64", json!(-3)),
            ("feature_flag.metadata.text", "string", json!("Zoë 🚀")),
            ("feature_flag.metadata.yes", "bool", json!(true)),
            ("otel.status_code", "string", json!("ERROR")),
            ("otel.status_description", "string", json!("default value used")),
            ("otel.scope.name", "string", json!("mine")),
        ];
        for (key, kind, value) in expected {
            assert_eq!(odd.tags.get(key), Some(&(kind.to_owned(), value)), "{name}: {key}");
        }
        assert!(!odd.tags.contains_key("feature_flag.value"), "{odd:?}");
        assert_eq!(odd.resource["zone"], "a");
        let plain = evaluated.iter().find(|span| span.number() == 1_003).unwrap();
        assert_eq!(plain.tags["feature_flag.value"].1, json!(r#"{"a":[1,null],"b":"1003"}"#));
        assert_eq!(plain.tags["otel.status_code"].1, json!("OK"));
        assert_eq!(tracked.len(), 1);
        let tag = |key: &str| tracked[0].tags.get(key).map_or(Value::Null, |(_, value)| value.clone());
        assert_eq!((tag("feature_flag.tracking.key"), tag("feature_flag.tracking.user_key")), (json!("checkout"), json!("t-1")));
        assert_eq!((tag("feature_flag.tracking.context.plan"), tag("feature_flag.tracking.details.value")), (json!("pro"), json!(9.5)));
    }
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_example_is_taken_and_delivers() {
    let Some(server) = jaeger::shared().await else { return };
    let service = unique("upstream");
    // As upstream documents it, with the address of this collector.
    let head = format!(
        "evaluation: none
otel:
  exporter:
    otlp:
      endpoint: {}
      protocol: grpc
  resource:
    attributes:
      service.name: {service}
flagsets:
  - name: default
    apiKeys: [ key ]
    exporters:
      - kind: opentelemetry
        tracerName: go-feature-flag
",
        server.grpc()
    );
    let setup = Setup::new().with_head(&head);
    let checked = flagpost(&setup, &["validate", "--config", "flagpost.yaml", "--probe"]);
    assert!(checked.status.success() && !checked.text.contains("has no effect"), "{}", checked.text);
    assert!(checked.text.contains("probe ok: ") && checked.text.contains("sent a request without spans"), "{}", checked.text);
    let relay = Program::start(&setup).await;
    let http = flagpost_tests::client();
    let sent = http.post(relay.url("/v1/data/collector")).header("x-api-key", "key").header("content-type", "application/json");
    let answer = sent.body(flagpost_tests::body(&events(1..101))).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(numbers(&server.at_least(&service, 100).await), (1..101).collect());
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_of_opentelemetry_is_enough() {
    let Some(server) = jaeger::shared().await else { return };
    let service = unique("environment");
    let setup = Setup::new().with_exporters("  - { kind: opentelemetry, name: out }").with_environment([
        ("OTEL_EXPORTER_OTLP_ENDPOINT", server.http().as_str()),
        ("OTEL_SERVICE_NAME", service.as_str()),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test"),
    ]);
    let relay = Program::start(&setup).await;
    relay.post(&events(1..51)).await;
    relay.drained(&["out"]).await;
    let spans = server.at_least(&service, 50).await;
    assert_eq!(numbers(&spans), (1..51).collect());
    assert_eq!(spans[0].resource["deployment.environment"], "test");
    relay.stop().await;
}
