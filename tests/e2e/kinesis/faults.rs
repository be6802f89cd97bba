//! A stream that ends, hangs, or cannot be reached; and a relay that is killed.

use flagpost_tests::servers::{line_faults, moto};
use flagpost_tests::{Faults, Program, Rule, Setup, events};

use super::exporter;
use crate::aws::{complete, data, distinct, make_stream, records, sorted, stream, told, troubled};

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_killed_or_hangs_in_the_middle_loses_nothing() {
    let Some(moto) = moto::own().await else { return };
    let access = moto.access();
    let stream = stream(access, 2).await;
    let setup = Setup::new().with_exporters(&exporter(&stream, &access.endpoint, "")).with_environment(access.environment());
    let relay = Program::start(&setup).await;
    relay.post(&events(1..301)).await;
    complete(&relay, 300).await;
    assert_eq!(sorted(data(records(access, &stream, 300).await)), sorted(events(1..301)));
    moto.kill();
    relay.post(&events(301..601)).await;
    troubled(&relay).await;
    // It forgets everything, the stream too.
    moto.restart().await;
    told(&relay, "misconfigured", "create the stream").await;
    make_stream(access, &stream, 2).await;
    complete(&relay, 600).await;
    // It takes connections and answers nothing: only time-outs can tell.
    moto.pause();
    relay.post(&events(601..901)).await;
    told(&relay, "retrying", "timeout").await;
    moto.resume();
    complete(&relay, 900).await;
    assert_eq!(distinct(data(records(access, &stream, 600).await)).0, sorted(events(301..901)));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_reset_stalls_or_is_cut_loses_nothing() {
    let Some(moto) = moto::own().await else { return };
    let Some((proxy, access)) = moto.proxied().await else { return };
    let stream = stream(moto.access(), 2).await;
    let setup = Setup::new().with_exporters(&exporter(&stream, &access.endpoint, "")).with_environment(access.environment());
    let relay = Program::start(&setup).await;
    relay.post(&events(1..101)).await;
    complete(&relay, 100).await;
    let bear = async |last| complete(&relay, last).await;
    proxy.torments(&relay, &line_faults(), async || drop(troubled(&relay).await), bear).await;
    assert_eq!(distinct(data(records(moto.access(), &stream, 500).await)).0, sorted(events(1..501)));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_killed_in_the_middle_loses_nothing_and_repeats_little() {
    let Some(moto) = moto::shared().await else { return };
    let access = moto.access();
    let stream = stream(access, 2).await;
    let faults = Faults::before(&access.endpoint).await;
    let setup = Setup::new().with_exporters(&exporter(&stream, &faults.url(""), "")).with_environment(access.environment());
    let relay = Program::start(&setup).await;
    let gate = faults.hold(Rule::any());
    relay.post(&events(1..2_001)).await;
    // The service has it, the relay does not know.
    gate.reached().await;
    relay.kill();
    gate.release();
    let relay = Program::start(&setup).await;
    relay.drained(&["out"]).await;
    let (found, twice) = distinct(data(records(access, &stream, 2_000).await));
    assert_eq!(found, sorted(events(1..2_001)));
    assert!((1..=500).contains(&twice), "the one call that was under way, and no more: {twice}");
    relay.stop().await;
}
