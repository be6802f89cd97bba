//! Lost answers and kills: with the Storage Write API each event is one row.

use flagpost_tests::servers::bigquery;
use flagpost_tests::{Program, Setup, events, until};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use super::{FEATURE, below, direct, exporter, numbers};

const KNOWN: &str = "the rows are in the table since an earlier attempt; they are not written again";

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_killed_between_append_and_answer_writes_nothing_twice() {
    let Some(server) = bigquery::own().await else { return };
    let Some(proxy) = server.proxy().await else { return };
    let dataset = server.dataset().await;
    server.make_table(&dataset, "events", FEATURE).await;
    let yaml = exporter("out", &dataset, server.rest(), &server.proxied(), "").replace("timeout: 5s", "timeout: 30s");
    let setup = Setup::new().with_exporters(&yaml);
    let mut relay = Program::start(&setup).await;
    relay.post(&events(1..101)).await;
    relay.drained(&["out"]).await;
    let mut next = 101;
    // The second kill meets a stream that has ended meanwhile: it still says what is in it.
    for ended in [false, true] {
        let (mut seen, mut rounds) = (0, 0);
        while seen == 0 {
            // On a busy machine the kill may come too late; then another round is made.
            assert!(rounds < 10, "no kill of ten came after the append and before its answer");
            rounds += 1;
            let before = relay.log().matches(KNOWN).count();
            // What the server answers takes its time from now on.
            proxy.add("latency", "downstream", json!({ "latency": 1_500 })).await;
            relay.post(&events(next..next + 100)).await;
            next += 100;
            until("the rows are in the table", async || (server.count(&dataset, "events").await == next - 1).then_some(())).await;
            relay.kill();
            proxy.heal().await;
            if ended {
                server.finalize(&dataset).await;
            }
            relay = Program::start(&setup).await;
            let metrics = relay.drained(&["out"]).await;
            assert_eq!((metrics.counts("out").dead, metrics.counts("out").dropped), (0, 0));
            assert_eq!(numbers(&server, &dataset, "events").await, below(next), "each once");
            seen = relay.log().matches(KNOWN).count() - before;
        }
    }
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_at_any_time_are_survived() {
    let Some(server) = bigquery::shared().await else { return };
    let dataset = server.dataset().await;
    let own = "autoMigrate: true\n    maxEventInMemory: 100";
    let setup = Setup::new().with_exporters(&direct("out", &dataset, &server, own));
    let mut random = StdRng::seed_from_u64(11);
    let mut next = 1;
    for _ in 0..8 {
        let relay = Program::start(&setup).await;
        let until_killed = 1 + random.random_range(0..12);
        for _ in 0..until_killed {
            relay.post(&events(next..next + 100)).await;
            next += 100;
        }
        // At any time of whatever it does, not after it.
        tokio::time::sleep(std::time::Duration::from_millis(random.random_range(0..200))).await;
        relay.kill();
    }
    let relay = Program::start(&setup).await;
    let metrics = relay.drained(&["out"]).await;
    assert_eq!((metrics.counts("out").dead, metrics.counts("out").dropped), (0, 0));
    assert_eq!(numbers(&server, &dataset, "events").await, below(next), "each once");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_ended_is_left_for_another() {
    let Some(server) = bigquery::own().await else { return };
    let dataset = server.dataset().await;
    let setup = Setup::new().with_exporters(&direct("out", &dataset, &server, "autoMigrate: true"));
    let relay = Program::start(&setup).await;
    relay.post(&events(1..101)).await;
    relay.drained(&["out"]).await;
    server.finalize(&dataset).await;
    relay.post(&events(101..201)).await;
    relay.drained(&["out"]).await;
    assert_eq!(numbers(&server, &dataset, "events").await, below(201), "each once");
    assert!(relay.log().contains("the write stream is gone; the batch begins another"));
    assert_eq!(server.streams(&dataset).await.iter().filter(|(_, state)| state == "OPEN").count(), 1);
    relay.stop().await;
}
