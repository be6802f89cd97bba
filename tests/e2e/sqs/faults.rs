//! A queue that ends, hangs, or cannot be reached; and a relay that is killed.

use flagpost_tests::servers::{elasticmq, line_faults};
use flagpost_tests::{Faults, Program, Rule, Setup, events};

use super::exporter;
use crate::aws::{bodies, complete, distinct, messages, queue, sorted, told, troubled};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_or_hangs_in_the_middle_loses_nothing() {
    let Some(server) = elasticmq::own().await else { return };
    let access = server.access();
    let queue = queue(access, false).await;
    let setup = Setup::new().with_exporters(&exporter(&queue, &access.endpoint, "")).with_environment(access.environment());
    let relay = Program::start(&setup).await;
    relay.post(&events(1..301)).await;
    server.kill();
    relay.post(&events(301..601)).await;
    troubled(&relay).await;
    server.restart().await;
    complete(&relay, 600).await;
    // It takes connections and answers nothing: only time-outs can tell.
    server.pause();
    relay.post(&events(601..901)).await;
    told(&relay, "retrying", "timeout").await;
    server.resume();
    complete(&relay, 900).await;
    assert_eq!(distinct(bodies(messages(access, &queue, 900).await)).0, sorted(events(1..901)));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_reset_stalls_or_is_cut_loses_nothing() {
    let Some(server) = elasticmq::own().await else { return };
    let Some((proxy, access)) = server.proxied().await else { return };
    let queue = queue(server.access(), false).await;
    let setup = Setup::new().with_exporters(&exporter(&queue, &access.endpoint, "")).with_environment(access.environment());
    let relay = Program::start(&setup).await;
    relay.post(&events(1..101)).await;
    complete(&relay, 100).await;
    let bear = async |last| complete(&relay, last).await;
    proxy.torments(&relay, &line_faults(), async || drop(troubled(&relay).await), bear).await;
    assert_eq!(distinct(bodies(messages(server.access(), &queue, 500).await)).0, sorted(events(1..501)));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_killed_in_the_middle_loses_nothing_and_repeats_little() {
    let Some(server) = elasticmq::shared().await else { return };
    let access = server.access();
    let queue = queue(access, false).await;
    let faults = Faults::before(&access.endpoint).await;
    let setup = Setup::new().with_exporters(&exporter(&queue, &faults.url(""), "")).with_environment(access.environment());
    let relay = Program::start(&setup).await;
    let gate = faults.hold(Rule::any());
    relay.post(&events(1..3_001)).await;
    // The queue has these messages, the relay does not know.
    gate.reached().await;
    relay.kill();
    gate.release();
    let relay = Program::start(&setup).await;
    relay.drained(&["out"]).await;
    let (found, twice) = distinct(bodies(messages(access, &queue, 3_000).await));
    assert_eq!(found, sorted(events(1..3_001)));
    assert!((1..=1_000).contains(&twice), "what was under way, and no more: {twice}");
    relay.stop().await;
}
