//! Objects that are larger than what the relay holds of them.

use flagpost_tests::servers::bucket::Bucket;
use flagpost_tests::servers::seaweedfs;
use flagpost_tests::{Faults, Program, Rule};
use http::Method;
use serde_json::json;

use super::{exporter, setup};
use crate::objects::{complete, padded};

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_megabytes_go_through_in_parts_of_five() {
    const EVENTS: u64 = 4_000;
    let Some(server) = seaweedfs::shared().await else { return };
    let bucket = Bucket::make(server.access()).await;
    let faults = Faults::before(&server.access().endpoint).await;
    let copies = "{{ .Metadata.pad }}".repeat(24);
    let own = format!(r#", path: p, format: csv, csvTemplate: "{copies}\n", flushInterval: 3600000, maxEventInMemory: {EVENTS}"#);
    let yaml = exporter("out", &bucket, &faults.url(""), &own).replace("flushInterval: 20, ", "").replace("timeout: 3s", "timeout: 30s");
    let relay = Program::start(&setup(server.access(), &yaml)).await;
    let events: Vec<String> = (0..EVENTS).map(|number| padded(number, 1_000)).collect();
    let (last, first) = events.split_last().unwrap();
    relay.post(first).await;
    let before = relay.peak_memory();
    relay.post(&[last]).await;
    complete(&relay, "out", EVENTS).await;
    let grown = relay.peak_memory() - before;
    let keys = bucket.keys().await;
    assert_eq!(keys.len(), 1, "{keys:?}");
    let size = 24_001 * EVENTS;
    let found = server.access().call("s3", "head_object", json!({ "Bucket": bucket.name, "Key": keys[0] })).await;
    assert_eq!(found["ContentLength"], json!(size));
    let parts = faults.matching(&Rule::any().method(Method::PUT).path("partNumber="));
    assert_eq!(parts.len() as u64, size.div_ceil(5 << 20));
    assert!(parts.iter().all(|part| part.body.len() <= 5 << 20));
    // Three parts and what the allocator keeps of them; the object is ninety-six.
    assert!(grown < 48 << 20, "{grown} bytes more");
    relay.stop().await;
}
