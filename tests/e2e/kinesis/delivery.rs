//! What arrives, where, and in how many calls.

use std::collections::{BTreeMap, BTreeSet};

use flagpost_tests::servers::moto;
use flagpost_tests::{Faults, Program, Rule, Setup, events, flagpost};

use super::exporter;
use crate::aws::{complete, data, distinct, feature, records, sorted, stream, tracking, user};

#[tokio::test(flavor = "multi_thread")]
async fn each_event_is_one_record_under_its_users_key_in_order_and_all_shards_are_used() {
    let Some(moto) = moto::shared().await else { return };
    let access = moto.access();
    let stream = stream(access, 4).await;
    let faults = Faults::before(&access.endpoint).await;
    let both = exporter(&stream, &faults.url(""), "eventType: all");
    let setup = Setup::new().with_exporters(&both).with_environment(access.environment());
    let relay = Program::start(&setup).await;
    let long = "ü".repeat(300);
    let odd: Vec<String> = ["", "Zoë 🚀", "a\"b\\c", " ", &long].iter().zip(0..).map(|(user, number)| feature(user, number)).collect();
    let ordered: Vec<String> = (0..400).map(|number| feature(&format!("user {}", number % 7), number)).collect();
    let batches = [odd, (1..200).map(tracking).collect(), events(1..2_001), ordered.clone()];
    for batch in &batches {
        relay.post(batch).await;
    }
    let all = batches.concat();
    complete(&relay, all.len() as u64).await;
    let found = records(access, &stream, all.len()).await;
    let mut shards: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for record in &found {
        let user = user(&record.data);
        let fits = match user.as_str() {
            "" => record.key == "default",
            user if user == long => record.key.starts_with("sha256-"),
            user => record.key == user,
        };
        assert!(fits, "{record:?}");
        shards.entry(user).or_default().insert(&record.shard);
    }
    assert!(shards.values().all(|shards| shards.len() == 1), "a user is on one shard");
    assert_eq!(shards.values().flatten().collect::<BTreeSet<_>>().len(), 4);
    for number in 0..7 {
        let of = |event: &&String| user(event) == format!("user {number}");
        let sent: Vec<&String> = ordered.iter().filter(of).collect();
        let found: Vec<&String> = found.iter().map(|record| &record.data).filter(of).collect();
        assert_eq!(found, sent, "the order of one user");
    }
    assert_eq!(sorted(data(found)), sorted(all.clone()), "each once, byte for byte");
    let calls = faults.matching(&Rule::any().header("x-amz-target", "Kinesis_20131202.PutRecords"));
    let sizes: Vec<usize> = calls.iter().map(|seen| seen.json()["Records"].as_array().unwrap().len()).collect();
    assert!(sizes.iter().all(|size| *size <= 500) && sizes.iter().sum::<usize>() == all.len(), "{sizes:?}");
    // Batches end where nothing more was there, so some calls are not full.
    assert!(sizes.len() <= all.len() / 500 + 20, "{sizes:?}");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_holds_five_mebibytes_at_most() {
    let Some(moto) = moto::shared().await else { return };
    let access = moto.access();
    let stream = stream(access, 2).await;
    let faults = Faults::before(&access.endpoint).await;
    let setup = Setup::new().with_exporters(&exporter(&stream, &faults.url(""), "")).with_environment(access.environment());
    let relay = Program::start(&setup).await;
    let large: Vec<String> = (1..9).map(|number| crate::aws::large(number, 900_000)).collect();
    relay.post(&large).await;
    complete(&relay, 8).await;
    assert_eq!(distinct(data(records(access, &stream, 8).await)).0, sorted(large));
    for call in faults.seen() {
        let records = call.json()["Records"].as_array().unwrap().clone();
        let bytes: usize = records.iter().map(|record| record["Data"].as_str().unwrap().len() / 4 * 3).sum();
        assert!(bytes <= 5 << 20, "{bytes}");
    }
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_example_delivers_and_one_constant_key_is_upstreams_placement() {
    let Some(moto) = moto::shared().await else { return };
    let access = moto.access();
    let (named, constant) = (stream(access, 3).await, stream(access, 3).await);
    let arn = |name: &str| format!("arn:aws:kinesis:eu-west-1:123456789012:stream/{name}");
    let yaml = format!(
        "  - {{ kind: kinesis, name: named, streamName: {named}, streamArn: '{}' }}\n  - {{ kind: kinesis, name: constant, streamArn: '{}', partitionKey: default }}\n",
        arn("another-one"),
        arn(&constant)
    );
    let setup = Setup::new().with_exporters(&yaml).with_environment(access.environment());
    let setup = setup.with_environment([("AWS_ENDPOINT_URL_KINESIS", access.endpoint.as_str())]);
    let checked = flagpost(&setup, &["validate", "--config", "flagpost.yaml"]);
    assert!(checked.status.success(), "{}", checked.text);
    let relay = Program::start(&setup).await;
    relay.post(&events(1..301)).await;
    relay.drained(&["named", "constant"]).await;
    assert_eq!(sorted(data(records(access, &named, 300).await)), sorted(events(1..301)));
    let found = records(access, &constant, 300).await;
    assert!(found.iter().all(|record| record.key == "default" && record.shard == found[0].shard));
    assert_eq!(data(found), events(1..301), "one shard is one order");
    relay.stop().await;
}
