//! What a cursor belongs to, over restarts with a changed configuration.

use flagpost_tests::{Answer, Program, Setup, Target, assert_lines, events, lines_in, sorted};

#[tokio::test]
async fn exporters_may_be_reordered_removed_added_again_and_renamed() {
    let target = Target::start(|_| Answer::Status(503)).await;
    let a = "  - { kind: file, outputDir: a, flushInterval: 20 }";
    let b = "  - { kind: file, name: b, outputDir: b, flushInterval: 20 }";
    let c = format!(
        "  - {{ kind: webhook, name: c, endpointUrl: \"{}\", flushInterval: 20, retry: {{ initial: 5ms, max: 20ms }} }}",
        target.url("/")
    );
    let mut setup = Setup::new().with_exporters(&[a, b, &c].join("\n"));

    let relay = Program::start(&setup).await;
    let unnamed = relay.metrics().await.exporters().into_iter().find(|name| name.starts_with("file-")).expect("named after its place");
    relay.post(&events(1..101)).await;
    relay.drained(&[&unnamed, "b"]).await;
    relay.stop().await;

    // Another order, other intervals: the same exporters.
    setup.set_exporters(&[&c, &b.replace("20 }", "30, maxEventInMemory: 7 }"), a].join("\n"));
    let relay = Program::start(&setup).await;
    assert_eq!(relay.metrics().await.counts("c").waiting, 100);
    relay.post(&events(101..201)).await;
    relay.drained(&[&unnamed, "b"]).await;
    relay.stop().await;

    // Removed: its events are held.
    setup.set_exporters(&[b, &c].join("\n"));
    let relay = Program::start(&setup).await;
    relay.post(&events(201..301)).await;
    let metrics = relay.drained(&["b"]).await;
    assert_eq!(metrics.counts(&unnamed).waiting, 100);
    assert_eq!(relay.exporter(&unnamed).await["state"], "orphaned");
    assert_eq!(lines_in(&setup.path("a")).len(), 200);
    relay.stop().await;

    // Added again: it resumes.
    setup.set_exporters(&[a, b, &c].join("\n"));
    let relay = Program::start(&setup).await;
    relay.drained(&[&unnamed]).await;
    assert_lines(&lines_in(&setup.path("a")), &events(1..301));
    relay.stop().await;

    // Renamed: somebody else, who begins at the head; nothing is sent twice into the same place.
    setup.set_exporters(&[&a.replace("outputDir", "name: renamed, outputDir"), b, &c].join("\n"));
    let relay = Program::start(&setup).await;
    relay.post(&events(301..401)).await;
    let metrics = relay.drained(&["renamed", "b"]).await;
    assert_eq!(metrics.counts("renamed").accepted, 100);
    relay.stop().await;

    for place in ["a", "b"] {
        assert_lines(&sorted(lines_in(&setup.path(place))), &sorted(events(1..401)));
    }
}

#[tokio::test]
async fn a_new_exporter_begins_at_the_head() {
    let mut setup = Setup::new().with_exporters("  - { kind: file, name: old, outputDir: old, flushInterval: 20 }");
    let relay = Program::start(&setup).await;
    relay.post(&events(1..101)).await;
    relay.drained(&["old"]).await;
    relay.stop().await;
    setup.set_exporters(
        "  - { kind: file, name: new, outputDir: new, flushInterval: 20 }\n  - { kind: file, name: old, outputDir: old, flushInterval: 20 }",
    );
    let relay = Program::start(&setup).await;
    relay.post(&events(101..201)).await;
    relay.drained(&["old", "new"]).await;
    assert_lines(&lines_in(&setup.path("old")), &events(1..201));
    assert_lines(&lines_in(&setup.path("new")), &events(101..201));
    relay.stop().await;
}

#[tokio::test]
async fn an_exporter_that_is_gone_for_too_long_loses_its_events_and_they_are_counted() {
    let target = Target::start(|_| Answer::Status(503)).await;
    let hook = format!("  - {{ kind: webhook, name: hook, endpointUrl: \"{}\", flushInterval: 20 }}", target.url("/"));
    let file = "  - { kind: file, name: out, outputDir: out, flushInterval: 20 }";
    let head = "evaluation: none\nbuffer: { path: store, minFree: 1MiB, keepRemoved: 1ms }\n";
    let mut setup = Setup::new().with_head(head).with_exporters(&[&hook, file].join("\n"));
    let relay = Program::start(&setup).await;
    relay.post(&events(1..101)).await;
    relay.drained(&["out"]).await;
    relay.stop().await;
    setup.set_exporters(file);
    let relay = Program::start(&setup).await;
    let counts = flagpost_tests::until("the removed exporter's events are given up", async || {
        let metrics = relay.metrics().await;
        let removed = metrics.sum("flagpost_exporter_dropped_total", &[("exporter", "hook"), ("reason", "removed")]);
        (removed > 0.0).then(|| metrics.counts("hook"))
    })
    .await;
    assert_eq!((counts.accepted, counts.dropped, counts.waiting, counts.delivered), (100, 100, 0, 0));
    // It stays readable, and what comes later is not its own.
    relay.post(&events(101..111)).await;
    let metrics = relay.drained(&["out"]).await;
    assert_eq!(metrics.counts("hook"), counts);
    assert_eq!(relay.exporter("hook").await["state"], "removed");
    relay.stop().await;
}
