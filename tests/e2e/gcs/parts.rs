//! Objects that are larger than one request: uploads in parts, what becomes of them in trouble, and what they cost in memory.

use flagpost_tests::servers::gcs::{self, Gcs};
use flagpost_tests::{Faults, Program, Rule, Seen, Setup, event, until};
use http::Method;

use super::{exporter, lines, sorted};

/// So many events of about 10 kB each.
fn large(numbers: std::ops::Range<u64>) -> Vec<String> {
    let pad = "x".repeat(10_000);
    numbers
        .map(|number| event(number * 5).replace(r#""source":"SERVER""#, &format!(r#""source":"SERVER","metadata":{{"pad":"{pad}"}}"#)))
        .collect()
}

/// An exporter that writes one object per 15 MB of events.
fn large_objects(bucket: &str, url: &str) -> String {
    let own = "maxEventInMemory: 1500\n    filename: '{{ .BatchId }}.json'";
    exporter("out", bucket, url, own).replace("flushInterval: 50", "flushInterval: 600000").replace("timeout: 3s", "timeout: 20s")
}

async fn post(relay: &Program, events: &[String]) {
    for batch in events.chunks(250) {
        relay.post(batch).await;
    }
}

fn part() -> Rule {
    Rule::any().method(Method::PUT).path("upload_id=")
}

fn last() -> Rule {
    part().when(|seen: &Seen| seen.header("content-range").rsplit('/').next().is_some_and(|total| total != "*"))
}

async fn whole(gcs: &Gcs, bucket: &str, events: &[String]) {
    let objects = gcs.objects(bucket).await;
    assert_eq!(lines(&objects), sorted(events.to_vec()), "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_many_megabytes_is_sent_in_parts_and_never_held_as_a_whole() {
    let Some(gcs) = gcs::shared().await else { return };
    let bucket = gcs.bucket().await;
    let faults = Faults::before(gcs.url()).await;
    // Its CSV is twice as large as the batch: over 20 MiB.
    let double = r#"format: csv
    csvTemplate: "{{ json .Metadata }};{{ json .Metadata }}\n""#;
    let yaml = large_objects(&bucket, &faults.url("")).replace(".json'", &format!(".csv'\n    {double}"));
    let setup = Setup::new().with_exporters(&yaml);
    let relay = Program::start(&setup).await;
    let events = large(1..1_501);
    post(&relay, &events).await;
    relay.drained(&["out"]).await;
    let objects = gcs.objects(&bucket).await;
    assert_eq!(objects.len(), 1);
    let object = &objects[0];
    assert!(object.bytes.len() > 20 << 20, "{}", object.bytes.len());
    assert_eq!(object.lines().len(), 1_500);
    assert_eq!(
        object.about["metadata"]["flagpostbatch"].as_str(),
        Some(format!("{}@out", object.name.trim_end_matches(".csv").replace("%2F", "/")).as_str())
    );
    let parts = faults.matching(&part());
    assert!(parts.len() > 4 && parts.iter().all(|part| part.body.len() <= 5 << 20), "{}", parts.len());
    let (last, others) = parts.split_last().unwrap();
    assert!(others.iter().all(|part| part.body.len().is_multiple_of(256 << 10)), "the service takes no others");
    assert!(last.header("x-goog-hash").starts_with("crc32c="), "{last:?}");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_breaks_in_the_middle_is_given_up_and_made_anew() {
    let Some(gcs) = gcs::shared().await else { return };
    let bucket = gcs.bucket().await;
    let faults = Faults::before(gcs.url()).await;
    let setup = Setup::new().with_exporters(&large_objects(&bucket, &faults.url("")));
    let relay = Program::start(&setup).await;
    let mut all = Vec::new();
    for fault in [part().answer(503, "busy"), part().reset(), last().reset_after(), last().answer(410, ""), part().answer(308, "")] {
        faults.add(fault);
        let from = all.len() as u64 + 1;
        let events = large(from..from + 1_500);
        post(&relay, &events).await;
        until("the fault was met", async || (faults.pending() == 0).then_some(())).await;
        relay.drained(&["out"]).await;
        all.extend(events);
        whole(&gcs, &bucket, &all).await;
    }
    assert_eq!(gcs.count(&bucket).await, 5);
    assert!(!faults.matching(&Rule::any().method(Method::DELETE)).is_empty(), "uploads were given up");
    let counts = relay.metrics().await.counts("out");
    assert_eq!((counts.delivered, counts.dead, counts.dropped), (7_500, 0, 0));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_killed_in_an_upload_or_after_it_makes_one_object() {
    let Some(gcs) = gcs::shared().await else { return };
    let bucket = gcs.bucket().await;
    let faults = Faults::before(gcs.url()).await;
    let setup = Setup::new().with_exporters(&large_objects(&bucket, &faults.url("")));
    let mut relay = Program::start(&setup).await;
    let mut all = Vec::new();
    for (held, there) in [(part(), 0), (last(), 1)] {
        let before = gcs.count(&bucket).await;
        let gate = faults.hold(held);
        let from = all.len() as u64 + 1;
        let events = large(from..from + 1_500);
        post(&relay, &events).await;
        gate.reached().await;
        relay.kill();
        gate.release();
        assert_eq!(gcs.count(&bucket).await, before + there);
        relay = Program::start(&setup).await;
        relay.drained(&["out"]).await;
        all.extend(events);
        assert_eq!(gcs.count(&bucket).await, before + 1);
        whole(&gcs, &bucket, &all).await;
    }
    relay.stop().await;
}
