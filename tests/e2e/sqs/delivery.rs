//! What arrives, as what, and in how many calls.

use flagpost_tests::servers::{elasticmq, moto};
use flagpost_tests::{Faults, Program, Rule, Setup, events, flagpost};
use serde_json::{Value, json};

use super::exporter;
use crate::aws::{bodies, complete, distinct, feature, messages, queue, sorted, tracking};

/// The entries of the calls that a proxy saw.
fn calls(faults: &Faults) -> Vec<Vec<Value>> {
    let sent = faults.matching(&Rule::any().header("x-amz-target", "AmazonSQS.SendMessageBatch"));
    sent.iter().map(|seen| seen.json()["Entries"].as_array().unwrap().clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_is_one_message_with_its_json_and_upstreams_attribute_ten_to_a_call() {
    let Some(moto) = moto::shared().await else { return };
    let access = moto.access();
    let queue = queue(access, false).await;
    let faults = Faults::before(&access.endpoint).await;
    let both = exporter(&queue, &faults.url(""), "eventType: all");
    let setup = Setup::new().with_exporters(&both).with_environment(access.environment());
    let relay = Program::start(&setup).await;
    let odd: Vec<String> = ["", "Zoë 🚀", "a\"b\\c", " "].iter().zip(0..).map(|(user, number)| feature(user, number)).collect();
    let batches = [odd, (1..60).map(tracking).collect(), events(1..301)];
    for batch in &batches {
        relay.post(batch).await;
    }
    let all = batches.concat();
    complete(&relay, all.len() as u64).await;
    let found = messages(access, &queue, all.len()).await;
    for message in &found {
        assert_eq!(message.attributes, json!({ "emitter": { "StringValue": "GO Feature Flag", "DataType": "String" } }), "{message:?}");
    }
    assert_eq!(sorted(bodies(found)), sorted(all.clone()), "each once, byte for byte");
    let sizes: Vec<usize> = calls(&faults).iter().map(Vec::len).collect();
    assert!(sizes.iter().all(|size| *size <= 10) && sizes.iter().sum::<usize>() == all.len(), "{sizes:?}");
    // Batches end where nothing more was there, so some calls are not full.
    assert!(sizes.len() <= all.len() / 10 + 20, "{} calls for {} events", sizes.len(), all.len());
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_holds_a_mebibyte_at_most() {
    let Some(server) = elasticmq::shared().await else { return };
    let access = server.access();
    let queue = queue(access, false).await;
    let faults = Faults::before(&access.endpoint).await;
    let head = "evaluation: none\ncollector: { maxEvent: 2MiB }\n";
    let setup = Setup::new().with_head(head).with_exporters(&exporter(&queue, &faults.url(""), "")).with_environment(access.environment());
    let relay = Program::start(&setup).await;
    let large: Vec<String> = (1..8).map(|number| crate::aws::large(number, 400_000)).collect();
    relay.post(&large).await;
    complete(&relay, 7).await;
    assert_eq!(distinct(bodies(messages(access, &queue, 7).await)).0, sorted(large));
    for call in calls(&faults) {
        let bytes: usize = call.iter().map(|entry| entry["MessageBody"].as_str().unwrap().len()).sum();
        assert!(bytes <= 1 << 20, "{bytes}");
    }
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_example_is_taken_and_delivers_where_the_environment_says() {
    let Some(moto) = moto::shared().await else { return };
    let access = moto.access();
    let queue = queue(access, false).await;
    let yaml = format!("  - kind: sqs\n    queueUrl: {queue}\n");
    let setup = Setup::new().with_exporters(&yaml).with_environment(access.environment());
    let setup = setup.with_environment([("AWS_ENDPOINT_URL_SQS", access.endpoint.as_str())]);
    let checked = flagpost(&setup, &["validate", "--config", "flagpost.yaml"]);
    assert!(checked.status.success(), "{}", checked.text);
    let relay = Program::start(&setup).await;
    relay.post(&events(1..101)).await;
    assert_eq!(sorted(bodies(messages(access, &queue, 100).await)), sorted(events(1..101)));
    relay.stop().await;
}
