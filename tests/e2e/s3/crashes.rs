//! The relay is killed between an upload and its commit: no second object, no lost event, no upload that is left over.

use flagpost_tests::servers::bucket::Bucket;
use flagpost_tests::servers::seaweedfs;
use flagpost_tests::{Faults, Program, Rule, events};
use http::Method;

use super::{exporter, setup};
use crate::objects::{complete, padded, sorted};

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_killed_before_it_hears_of_its_object_makes_no_second_one() {
    let Some(server) = seaweedfs::shared().await else { return };
    let bucket = Bucket::make(server.access()).await;
    let faults = Faults::before(&server.access().endpoint).await;
    let setup = setup(server.access(), &exporter("out", &bucket, &faults.url(""), ", path: p"));
    for round in 0..4 {
        let relay = Program::start(&setup).await;
        let gate = faults.hold(Rule::any().method(Method::PUT).path(&bucket.name));
        relay.post(&events(round * 100 + 1..round * 100 + 101)).await;
        gate.reached().await;
        relay.kill();
        gate.release();
        let relay = Program::start(&setup).await;
        complete(&relay, "out", round * 100 + 100).await;
        assert_eq!(bucket.lines().await, sorted(events(1..round * 100 + 101)), "each once");
        assert_eq!(bucket.keys().await.len() as u64, round + 1, "one object for one batch");
        relay.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_killed_in_an_upload_in_parts_leaves_one_object_and_no_upload() {
    let Some(server) = seaweedfs::shared().await else { return };
    let bucket = Bucket::make(server.access()).await;
    let faults = Faults::before(&server.access().endpoint).await;
    // One batch: three parts.
    let own = ", path: p, flushInterval: 3600000, maxEventInMemory: 600";
    let yaml = exporter("out", &bucket, &faults.url(""), own).replace("flushInterval: 20, ", "").replace("timeout: 3s", "timeout: 20s");
    let setup = setup(server.access(), &yaml);
    let call = |method: Method, text: &str| Rule::any().method(method).path(&bucket.name).path(text);
    let moments = [call(Method::POST, "?uploads"), call(Method::PUT, "partNumber=2"), call(Method::POST, "uploadId=")];
    let mut all = Vec::new();
    for (round, moment) in (0..).zip(moments) {
        let relay = Program::start(&setup).await;
        let batch: Vec<String> = (round * 600 + 1..round * 600 + 601).map(|number| padded(number, 20_000)).collect();
        let gate = faults.hold(moment);
        relay.post(&batch).await;
        gate.reached().await;
        relay.kill();
        gate.release();
        let relay = Program::start(&setup).await;
        complete(&relay, "out", round * 600 + 600).await;
        all.extend(batch);
        assert_eq!(bucket.lines().await, sorted(all.clone()), "each once");
        assert_eq!(bucket.keys().await.len() as u64, round + 1, "one object for one batch");
        assert_eq!(bucket.uploads().await, Vec::<String>::new());
        relay.stop().await;
    }
}
