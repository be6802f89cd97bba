//! The relay is killed between an upload and its commit: no second blob, no lost event, no block that is left over.

use flagpost_tests::servers::azurite::{self, ACCOUNT};
use flagpost_tests::{Faults, Program, Rule, Setup, events};
use http::Method;

use super::exporter;
use crate::objects::{complete, padded, sorted};

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_killed_before_it_hears_of_its_blob_makes_no_second_one() {
    let Some(server) = azurite::shared().await else { return };
    let container = server.container().await;
    let faults = Faults::before(server.url()).await;
    let setup = Setup::new().with_exporters(&exporter("out", &container, &faults.url(&format!("/{ACCOUNT}")), ""));
    for round in 0..4 {
        let relay = Program::start(&setup).await;
        let gate = faults.hold(Rule::any().method(Method::PUT).path(&container.name));
        relay.post(&events(round * 100 + 1..round * 100 + 101)).await;
        gate.reached().await;
        relay.kill();
        gate.release();
        let relay = Program::start(&setup).await;
        complete(&relay, "out", round * 100 + 100).await;
        assert_eq!(container.lines().await, sorted(events(1..round * 100 + 101)), "each once");
        assert_eq!(container.blobs().await.len() as u64, round + 1, "one blob for one batch");
        relay.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_killed_among_blocks_leaves_one_blob_and_no_block() {
    let Some(server) = azurite::shared().await else { return };
    let container = server.container().await;
    let faults = Faults::before(server.url()).await;
    // One batch: three blocks.
    let yaml = exporter("out", &container, &faults.url(&format!("/{ACCOUNT}")), ", flushInterval: 3600000, maxEventInMemory: 600");
    let yaml = yaml.replace("flushInterval: 20, ", "").replace("timeout: 3s", "timeout: 20s");
    let setup = Setup::new().with_exporters(&yaml);
    let mut all = Vec::new();
    for (round, moment) in (0..).zip(["blockid=", "comp=blocklist"]) {
        let relay = Program::start(&setup).await;
        let batch: Vec<String> = (round * 600 + 1..round * 600 + 601).map(|number| padded(number, 20_000)).collect();
        let gate = faults.hold(Rule::any().method(Method::PUT).path(moment));
        relay.post(&batch).await;
        gate.reached().await;
        relay.kill();
        gate.release();
        let relay = Program::start(&setup).await;
        complete(&relay, "out", round * 600 + 600).await;
        all.extend(batch);
        assert_eq!(container.lines().await, sorted(all.clone()), "each once");
        let blobs = container.blobs().await;
        assert_eq!(blobs.len() as u64, round + 1, "one blob for one batch");
        for blob in blobs {
            assert_eq!(container.uncommitted(&blob.name).await, 0);
        }
        relay.stop().await;
    }
}
