//! What a stream will not take: partly, for a while, or for ever.

use flagpost_tests::servers::moto;
use flagpost_tests::{Faults, Program, Rule, Setup, events, until};
use serde_json::{Value, json};

use super::exporter;
use crate::aws::{complete, data, death, large, make_stream, records, sorted, stream, told};

/// The data of each call's records that a proxy saw, as it was sent.
fn calls(faults: &Faults) -> Vec<Vec<Value>> {
    let sent = faults.matching(&Rule::any().header("x-amz-target", "PutRecords"));
    sent.iter().map(|seen| seen.json()["Records"].as_array().unwrap().clone()).collect()
}

/// Keeps the second and the fourth record of the next call from the server, and answers for it that they failed.
fn failing() -> Rule {
    let request = |mut request: Value| {
        let records = request["Records"].as_array_mut().unwrap();
        records.remove(3);
        records.remove(1);
        request
    };
    let answer = |mut answer: Value| {
        let failed = |code: &str| json!({ "ErrorCode": code, "ErrorMessage": "Rate exceeded for shard shardId-000000000000" });
        let records = answer["Records"].as_array_mut().unwrap();
        records.insert(1, failed("ProvisionedThroughputExceededException"));
        records.insert(3, failed("InternalFailure"));
        answer["FailedRecordCount"] = 2.into();
        answer
    };
    Rule::any().rewrite_both(request, answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_call_that_failed_in_part_only_that_part_is_sent_again_before_anything_else() {
    let Some(moto) = moto::own().await else { return };
    let access = moto.access();
    let stream = stream(access, 1).await;
    let faults = Faults::before(&access.endpoint).await;
    let setup = Setup::new().with_exporters(&exporter(&stream, &faults.url(""), "")).with_environment(access.environment());
    let relay = Program::start(&setup).await;
    faults.add(failing());
    relay.post(&events(1..21)).await;
    complete(&relay, 20).await;
    let calls = calls(&faults);
    assert_eq!(calls[1], [calls[0][1].clone(), calls[0][3].clone()], "exactly what failed");
    assert_eq!(calls.iter().map(Vec::len).sum::<usize>(), 22);
    let found = data(records(access, &stream, 20).await);
    assert_eq!(sorted(found.clone()), sorted(events(1..21)), "each once");
    // They stand behind those of their call that went well, and before whatever came later.
    let (second, fourth) = (events(2..3).remove(0), events(4..5).remove(0));
    let at = calls[0].len() - 2;
    assert_eq!(found[at..at + 2], [second, fourth]);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn throttling_and_errors_of_the_service_pass() {
    let Some(moto) = moto::shared().await else { return };
    let access = moto.access();
    let stream = stream(access, 1).await;
    let faults = Faults::before(&access.endpoint).await;
    let setup = Setup::new().with_exporters(&exporter(&stream, &faults.url(""), "")).with_environment(access.environment());
    let relay = Program::start(&setup).await;
    let throttled = r#"{"__type":"ProvisionedThroughputExceededException","message":"Rate exceeded for shard shardId-000000000000"}"#;
    let faulty = [
        Rule::any().answer(400, throttled),
        Rule::any().answer(500, r#"{"__type":"InternalFailure"}"#),
        Rule::any().answer_with(503, &[("retry-after", "1")], "no JSON at all"),
        Rule::any().reset(),
    ];
    let mut next = 1;
    for rule in faulty {
        // The SDK tries once more by itself.
        faults.add(rule.times(4));
        relay.post(&events(next..next + 10)).await;
        next += 10;
        until("the fault was met", async || (faults.pending() == 0).then_some(())).await;
        complete(&relay, next - 1).await;
    }
    assert_eq!(data(records(access, &stream, 40).await), events(1..41), "in order, each once");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_too_large_are_dead_alone_by_our_limit_or_by_the_services() {
    let Some(moto) = moto::shared().await else { return };
    let access = moto.access();
    let (here, there) = (stream(access, 2).await, stream(access, 2).await);
    let exporters = exporter(&here, &access.endpoint, "maxRecordSize: 20KiB")
        // moto takes a mebibyte: what is allowed here is refused there, the whole call with it.
        + &exporter(&there, &access.endpoint, "maxRecordSize: 10MiB").replace("name: out", "name: there");
    let head = "evaluation: none\ncollector: { maxEvent: 4MiB }\n";
    let setup = Setup::new().with_head(head).with_exporters(&exporters).with_environment(access.environment());
    let relay = Program::start(&setup).await;
    let mut all = events(1..51);
    all.insert(20, large(1, 1_100_000));
    relay.post(&all).await;
    // What vouches for the destination when a batch was nothing but the large event.
    relay.post(&events(51..61)).await;
    let metrics = relay.drained(&["out", "there"]).await;
    for (name, stream) in [("out", &here), ("there", &there)] {
        let counts = metrics.counts(name);
        assert_eq!((counts.delivered, counts.dead, counts.dropped), (60, 1, 0), "{name}");
        assert_eq!(sorted(data(records(access, stream, 60).await)), sorted(events(1..61)), "{name}: each once");
    }
    assert!(death(&relay).contains("the stream takes 20480 (`maxRecordSize`)") || relay.log().contains("20480"), "{}", death(&relay));
    assert!(relay.log().contains("Member must have length less than or equal to 1048576"));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_made_later_gets_everything() {
    let Some(moto) = moto::shared().await else { return };
    let access = moto.access();
    let name = flagpost_tests::servers::unique("later");
    let setup = Setup::new().with_exporters(&exporter(&name, &access.endpoint, "")).with_environment(access.environment());
    let relay = Program::start(&setup).await;
    relay.post(&events(1..101)).await;
    let message = told(&relay, "misconfigured", "create the stream, or correct `streamName`").await;
    assert!(message.contains(&name), "{message}");
    assert_eq!(relay.metrics().await.counts("out").waiting, 100);
    make_stream(access, &name, 2).await;
    relay.post(&events(101..121)).await;
    complete(&relay, 120).await;
    assert_eq!(sorted(data(records(access, &name, 120).await)), sorted(events(1..121)));
    relay.stop().await;
}
