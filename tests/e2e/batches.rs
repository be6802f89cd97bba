//! The plain way: a batch in, the same bytes out.

use flagpost_tests::{Answer, Program, Setup, Target, assert_lines, event, events, json_files, lines_in, until};

#[tokio::test]
async fn a_batch_comes_out_of_the_file_exporter_byte_for_byte_and_in_order() {
    let setup = Setup::new().with_exporters("  - { kind: file, name: out, outputDir: out, flushInterval: 50, maxEventInMemory: 1000 }");
    let relay = Program::start(&setup).await;
    let all = events(1..2_501);
    for batch in all.chunks(700) {
        relay.post(batch).await;
    }
    let metrics = relay.drained(&["out"]).await;
    assert_eq!(metrics.counts("out").delivered, 2_500);
    assert_eq!(metrics.sum("flagpost_collector_events_total", &[]) as u64, 2_500);
    assert_lines(&lines_in(&setup.path("out")), &all);
    assert!(json_files(&setup.path("out")).len() >= 3, "a batch holds 1,000 events at most");
    relay.stop().await;
}

#[tokio::test]
async fn metrics_name_everything_that_an_operator_watches() {
    let setup = Setup::new().with_exporters("  - { kind: file, name: out, outputDir: out, flushInterval: 50 }");
    let relay = Program::start(&setup).await;
    relay.post(&events(1..11)).await;
    let metrics = relay.drained(&["out"]).await;
    for name in [
        "flagpost_exporter_waiting_events",
        "flagpost_exporter_waiting_bytes",
        "flagpost_exporter_oldest_age_seconds",
        "flagpost_exporter_delivered_total",
        "flagpost_exporter_retried_total",
        "flagpost_exporter_dead_total",
        "flagpost_exporter_attempt_seconds_count",
        "flagpost_exporter_last_success_timestamp_seconds",
        "flagpost_exporter_state",
        "flagpost_spool_sync_seconds_count",
        "flagpost_spool_group_bytes_count",
        "flagpost_spool_queue_age_seconds_count",
        "flagpost_spool_segments",
        "flagpost_spool_damaged_events_total",
        "flagpost_collector_events_total",
        "flagpost_collector_request_seconds_count",
        "flagpost_collector_dropped_total",
        "flagpost_exporter_dropped_total",
    ] {
        assert!(metrics.has(name), "{name}");
    }
    let labels = [("flag_set", "default"), ("exporter", "out"), ("kind", "file")];
    assert_eq!(metrics.sum("flagpost_exporter_delivered_total", &labels) as u64, 10);
    relay.stop().await;
}

#[tokio::test]
async fn a_webhook_gets_upstreams_body_in_order() {
    let target = Target::good().await;
    let exporter = format!(
        "  - {{ kind: webhook, name: hook, endpointUrl: \"{}\", flushInterval: 50, maxEventInMemory: 400, meta: {{ env: test }} }}",
        target.url("/events")
    );
    let setup = Setup::new().with_exporters(&exporter);
    let relay = Program::start(&setup).await;
    for batch in events(1..1_001).chunks(100) {
        relay.post(batch).await;
    }
    relay.drained(&["hook"]).await;
    assert_eq!(target.taken(), (1..1_001).collect::<Vec<_>>());
    let first = &target.received()[0];
    let body: serde_json::Value = serde_json::from_slice(&first.body).unwrap();
    assert_eq!((first.line.as_str(), body["meta"]["env"].as_str()), ("POST /events", Some("test")));
    assert_eq!(body["events"][0], serde_json::from_str::<serde_json::Value>(&event(1)).unwrap());
    relay.stop().await;
}

#[tokio::test]
async fn both_kinds_of_events_go_to_their_own_exporters() {
    let exporters = "
  - { kind: file, name: features, outputDir: features, flushInterval: 50 }
  - { kind: file, name: tracks, outputDir: tracks, eventType: tracking, flushInterval: 50 }
  - { kind: file, name: all, outputDir: all, eventType: all, flushInterval: 50 }";
    let setup = Setup::new().with_exporters(exporters);
    let relay = Program::start(&setup).await;
    let track = |n: u64| {
        format!(
            r#"{{"kind":"tracking","contextKind":"user","userKey":"t-{n}","creationDate":1700000000,"key":"checkout","evaluationContext":{{"a":1}},"trackingEventDetails":{{"value":{n}}}}}"#
        )
    };
    let mixed: Vec<String> = (1..101).map(|n| if n % 3 == 0 { track(n) } else { event(n) }).collect();
    relay.post(&mixed).await;
    relay.drained(&["features", "tracks", "all"]).await;
    let (tracks, features): (Vec<_>, Vec<_>) = mixed.into_iter().partition(|line| line.contains("\"tracking\""));
    assert_lines(&lines_in(&setup.path("features")), &features);
    assert_lines(&lines_in(&setup.path("tracks")), &tracks);
    let mut all = lines_in(&setup.path("all"));
    all.sort();
    let mut expected = [features, tracks].concat();
    expected.sort();
    assert_eq!(all, expected);
    relay.stop().await;
}

#[tokio::test]
async fn events_that_nobody_exports_are_taken_and_counted() {
    let setup = Setup::new().with_exporters("  - { kind: file, name: tracks, outputDir: out, eventType: tracking, flushInterval: 50 }");
    let relay = Program::start(&setup).await;
    relay.post(&events(1..11)).await;
    let metrics = relay.metrics().await;
    assert_eq!(metrics.sum("flagpost_collector_dropped_total", &[("reason", "no_exporter")]) as u64, 10);
    relay.stop().await;
}

#[tokio::test]
async fn a_relay_in_memory_delivers_the_same_and_says_what_it_loses() {
    let target = Target::start(|_| Answer::Status(500)).await;
    let exporters = format!(
        "  - {{ kind: file, name: out, outputDir: out, flushInterval: 50 }}\n  - {{ kind: webhook, name: bad, endpointUrl: \"{}\", flushInterval: 50 }}",
        target.url("/")
    );
    let head = "evaluation: none\nshutdownTimeout: 100ms\nbuffer: { type: memory, path: store, maxBytes: 32MiB }\n";
    let setup = Setup::new().with_head(head).with_exporters(&exporters);
    let relay = Program::start(&setup).await;
    let all = events(1..1_001);
    relay.post(&all).await;
    relay.drained(&["out"]).await;
    assert_lines(&lines_in(&setup.path("out")), &all);
    let log = setup.path("relay.log");
    relay.stop().await;
    let text = std::fs::read_to_string(log).unwrap();
    assert!(text.contains("1000") && text.contains("lost"), "{text}");
}

#[tokio::test]
async fn a_relay_in_memory_whose_target_hangs_goes_on_taking_events_and_drops_the_oldest() {
    let target = Target::start(|_| Answer::Hang).await;
    let hook =
        format!("  - {{ kind: webhook, name: hook, endpointUrl: \"{}\", flushInterval: 50, maxEventInMemory: 100 }}", target.url("/"));
    let head = "evaluation: none\nshutdownTimeout: 100ms\nbuffer: { type: memory, path: store, maxBytes: 8MiB }\n";
    let setup = Setup::new().with_head(head).with_exporters(&hook);
    let relay = Program::start(&setup).await;
    let http = flagpost_tests::client();
    // About 40 MiB: five times what fits.
    for first in (1..150_001).step_by(3_000) {
        let batch = events(first..first + 3_000);
        until("the events are taken", async || (relay.try_post(&http, &batch).await == Some(200)).then_some(())).await;
    }
    let counts = relay.metrics().await.counts("hook");
    assert_eq!((counts.accepted, counts.delivered), (150_000, 0));
    assert!(counts.dropped > 50_000, "{counts:?}");
    relay.stop().await;
}
