//! A server that ends, hangs, or cannot be reached.

use flagpost_tests::servers::bigquery;
use flagpost_tests::{Program, Setup, events};
use serde_json::json;

use super::{FEATURE, below, direct, exporter, numbers};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_or_hangs_in_the_middle_loses_nothing() {
    let Some(server) = bigquery::own().await else { return };
    let dataset = server.dataset().await;
    server.make_table(&dataset, "inserted", FEATURE).await;
    server.make_table(&dataset, "events", FEATURE).await;
    let inserting = direct("inserted", &dataset, &server, "writeApi: insertAll").replace("tableName: events", "tableName: inserted");
    let setup = Setup::new().with_exporters(&(direct("out", &dataset, &server, "") + &inserting));
    let both = ["out", "inserted"];
    let relay = Program::start(&setup).await;
    let post = async |from: u64| {
        for batch in events(from..from + 1_000).chunks(100) {
            relay.post(batch).await;
        }
    };
    let complete = async |end: u64| {
        let metrics = relay.drained(&both).await;
        for name in both {
            let counts = metrics.counts(name);
            assert_eq!((counts.delivered, counts.dead, counts.dropped), (end - 1, 0, 0), "{name}");
        }
        for table in ["events", "inserted"] {
            let mut all = numbers(&server, &dataset, table).await;
            all.dedup();
            assert_eq!(all, below(end), "{table}");
        }
    };
    post(1).await;
    server.kill();
    post(1_001).await;
    for name in both {
        let task = relay.in_state(name, "retrying").await;
        assert!(task["lastError"]["message"].as_str().is_some_and(|text| text.contains("127.0.0.1")), "{task}");
    }
    server.restart().await;
    // This emulator forgets its streams, and with them whether it took what it did not answer: BigQuery does not.
    complete(2_001).await;

    // It takes connections and answers nothing: only time-outs can tell.
    let before = numbers(&server, &dataset, "events").await.len();
    server.pause();
    post(2_001).await;
    for name in both {
        let task = relay.in_state(name, "retrying").await;
        assert!(task["lastError"]["message"].as_str().is_some_and(|text| text.contains("within 5 s")), "{task}");
    }
    server.resume();
    complete(3_001).await;
    assert_eq!(numbers(&server, &dataset, "events").await.len(), before + 1_000, "each once");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_reset_stalls_or_is_cut_loses_nothing_and_doubles_nothing() {
    let Some(server) = bigquery::own().await else { return };
    let Some(proxy) = server.proxy().await else { return };
    let dataset = server.dataset().await;
    let setup = Setup::new().with_exporters(&exporter("out", &dataset, server.rest(), &server.proxied(), "autoMigrate: true"));
    let relay = Program::start(&setup).await;
    let mut next = 1;
    let mut post = async || {
        relay.post(&events(next..next + 100)).await;
        next += 100;
        next
    };
    let complete = async |end: u64| {
        let metrics = relay.drained(&["out"]).await;
        assert_eq!((metrics.counts("out").delivered, metrics.counts("out").dead), (end - 1, 0));
        assert_eq!(numbers(&server, &dataset, "events").await, below(end), "each once");
    };
    complete(post().await).await;
    let faults = [
        ("reset_peer", "downstream", json!({ "timeout": 20 })),
        ("timeout", "downstream", json!({ "timeout": 0 })),
        ("limit_data", "upstream", json!({ "bytes": 2_000 })),
    ];
    for (kind, stream, attributes) in faults {
        proxy.add(kind, stream, attributes).await;
        let end = post().await;
        relay.in_state("out", "retrying").await;
        proxy.heal().await;
        complete(end).await;
    }
    proxy.enable(false).await;
    let end = post().await;
    relay.in_state("out", "retrying").await;
    proxy.enable(true).await;
    complete(end).await;
    relay.stop().await;
}
