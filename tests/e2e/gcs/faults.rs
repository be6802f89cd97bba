//! A service that ends, hangs, or whose answers are lost; a relay that is killed.

use flagpost_tests::servers::gcs::{self, Gcs};
use flagpost_tests::{Faults, Program, Rule, Setup, events, until};

use super::{exporter, lines, sorted};

async fn troubled(relay: &Program) -> String {
    relay.told("out", "retrying", "").await
}

/// Everything arrived, each event once: no object has a second one.
async fn complete(relay: &Program, gcs: &Gcs, bucket: &str, count: u64) {
    relay.complete("out", count).await;
    assert_eq!(lines(&gcs.objects(bucket).await), sorted(events(1..count + 1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_killed_or_hangs_in_the_middle_loses_nothing() {
    let Some(gcs) = gcs::own().await else { return };
    let bucket = gcs.bucket().await;
    let setup = Setup::new().with_exporters(&exporter("out", &bucket, gcs.url(), ""));
    let relay = Program::start(&setup).await;
    let post = async |from: u64| {
        for batch in events(from..from + 1_000).chunks(100) {
            relay.post(batch).await;
        }
    };
    post(1).await;
    gcs.kill();
    post(1_001).await;
    let told = troubled(&relay).await;
    assert!(told.contains(gcs.url()) && told.contains(&bucket), "{told}");
    gcs.restart().await;
    complete(&relay, &gcs, &bucket, 2_000).await;
    // It takes connections and answers nothing: only time-outs can tell.
    gcs.pause();
    post(2_001).await;
    let told = troubled(&relay).await;
    gcs.resume();
    assert!(told.contains("no answer within 3 s"), "{told}");
    complete(&relay, &gcs, &bucket, 3_000).await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_lost_make_no_second_object() {
    let Some(gcs) = gcs::shared().await else { return };
    let bucket = gcs.bucket().await;
    let faults = Faults::before(gcs.url()).await;
    let setup = Setup::new().with_exporters(&exporter("out", &bucket, &faults.url(""), ""));
    let relay = Program::start(&setup).await;
    let upload = || Rule::any().path("/upload/");
    let mut next = 1;
    for fault in [upload().reset_after(), upload().cut(), upload().reset(), upload().hang()] {
        faults.add(fault);
        relay.post(&events(next..next + 100)).await;
        next += 100;
        until("the fault was met", async || (faults.pending() == 0).then_some(())).await;
        complete(&relay, &gcs, &bucket, next - 1).await;
    }
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_killed_between_the_upload_and_its_answer_makes_no_second_object() {
    let Some(gcs) = gcs::shared().await else { return };
    let bucket = gcs.bucket().await;
    let faults = Faults::before(gcs.url()).await;
    let setup = Setup::new().with_exporters(&exporter("out", &bucket, &faults.url(""), "filename: '{{ .BatchId }}.json'"));
    let mut relay = Program::start(&setup).await;
    for round in 0..3u64 {
        let before = gcs.count(&bucket).await;
        let gate = faults.hold(Rule::any().path("/upload/"));
        relay.post(&events(round * 100 + 1..round * 100 + 101)).await;
        gate.reached().await;
        assert_eq!(gcs.count(&bucket).await, before + 1, "the object is there, and the relay does not know");
        relay.kill();
        gate.release();
        relay = Program::start(&setup).await;
        relay.drained(&["out"]).await;
        assert_eq!(gcs.count(&bucket).await, before + 1);
    }
    assert_eq!(lines(&gcs.objects(&bucket).await), sorted(events(1..301)), "each once");
    relay.stop().await;
}
