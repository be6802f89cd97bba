//! Collectors that end, hang, or cannot be reached.

use flagpost_tests::servers::{jaeger, unique};
use flagpost_tests::{Program, Setup, events, until};
use serde_json::json;

use super::{exporter, numbers};

/// Waits until both exporters have met the fault.
async fn troubled(relay: &Program) {
    for name in ["grpc", "http"] {
        let task = relay.in_state(name, "retrying").await;
        assert!(task["lastError"]["message"].as_str().is_some_and(|text| text.contains("127.0.0.1")), "{task}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_killed_or_hangs_loses_nothing_that_it_did_not_acknowledge() {
    let Some(server) = jaeger::own().await else { return };
    let services = [unique("grpc"), unique("http")];
    let exporters = exporter("grpc", &services[0], &server.grpc(), "grpc", "timeout: 1s")
        + &exporter("http", &services[1], &server.http(), "http/protobuf", "timeout: 1s");
    let setup = Setup::new().with_exporters(&exporters);
    let relay = Program::start(&setup).await;
    relay.post(&events(1..101)).await;
    relay.drained(&["grpc", "http"]).await;
    server.kill();
    relay.post(&events(101..301)).await;
    troubled(&relay).await;
    // Its memory is gone; what comes from now on had to wait for it.
    server.restart().await;
    let complete = async |last: u64| {
        let metrics = relay.drained(&["grpc", "http"]).await;
        for (name, service) in ["grpc", "http"].iter().zip(&services) {
            let counts = metrics.counts(name);
            assert_eq!((counts.delivered, counts.dead, counts.dropped), (last, 0, 0), "{name}");
            let spans = until("all are there", async || {
                let spans = server.spans(service).await;
                (numbers(&spans).len() as u64 == last - 100).then_some(spans)
            })
            .await;
            assert_eq!(numbers(&spans), (101..last + 1).collect(), "{name}");
        }
    };
    complete(300).await;
    // It takes connections and answers nothing: only time-outs can tell.
    server.pause();
    relay.post(&events(301..401)).await;
    troubled(&relay).await;
    server.resume();
    complete(400).await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_reset_stalls_or_is_cut_loses_nothing_and_a_retry_has_the_same_ids() {
    let Some(server) = jaeger::shared().await else { return };
    let (Some((grpc, to_grpc)), Some((http, to_http))) = (server.proxy(true).await, server.proxy(false).await) else { return };
    let services = [unique("grpc"), unique("http")];
    let exporters = exporter("grpc", &services[0], &to_grpc, "grpc", "timeout: 1s")
        + &exporter("http", &services[1], &to_http, "http/protobuf", "timeout: 1s");
    let setup = Setup::new().with_exporters(&exporters);
    let relay = Program::start(&setup).await;
    relay.post(&events(1..101)).await;
    relay.drained(&["grpc", "http"]).await;
    let faults = [
        ("reset_peer", "downstream", json!({ "timeout": 20 })),
        // The collector has the spans and its answer is lost.
        ("timeout", "downstream", json!({ "timeout": 0 })),
        ("limit_data", "upstream", json!({ "bytes": 700 })),
    ];
    let mut next = 101;
    for (kind, stream, attributes) in faults {
        for proxy in [&grpc, &http] {
            proxy.add(kind, stream, attributes.clone()).await;
        }
        relay.post(&events(next..next + 100)).await;
        troubled(&relay).await;
        for proxy in [&grpc, &http] {
            proxy.heal().await;
        }
        next += 100;
        relay.drained(&["grpc", "http"]).await;
    }
    for (name, service) in ["grpc", "http"].iter().zip(&services) {
        let metrics = relay.metrics().await;
        assert_eq!((metrics.counts(name).dead, metrics.counts(name).dropped), (0, 0), "{name}");
        let spans = until("all are there", async || {
            let spans = server.spans(service).await;
            (numbers(&spans).len() as u64 == next - 1).then_some(spans)
        })
        .await;
        let mut ids: Vec<(u64, &str, &str)> = spans.iter().map(|span| (span.number(), span.trace.as_str(), span.id.as_str())).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len() as u64, next - 1, "{name}: an event has one trace id and one span id, however often it came");
    }
    relay.stop().await;
}
