//! Who may not, what is not there, and names that somebody else has.

use std::fs;

use flagpost_tests::servers::bucket::Bucket;
use flagpost_tests::servers::{moto, seaweedfs};
use flagpost_tests::{Program, events};

use super::{exporter, setup};
use crate::objects::{complete, now, sorted};

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_are_refused_are_an_alarm_and_heal_when_they_are_corrected() {
    let Some(server) = moto::shared().await else { return };
    let bucket = Bucket::make(server.access()).await;
    let access = server.access();
    let setup = flagpost_tests::Setup::new().with_exporters(&exporter("out", &bucket, &access.endpoint, ", path: p"));
    let file = setup.path("credentials");
    let write = |key: &str, secret: &str| {
        fs::write(&file, format!("[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")).unwrap();
    };
    write("AKIANOBODYKNOWS00000", "hunter2hunter2");
    let setup = setup.with_environment([
        ("AWS_SHARED_CREDENTIALS_FILE", file.to_str().unwrap()),
        ("AWS_REGION", &access.region),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ]);
    let relay = Program::start(&setup).await;
    relay.post(&events(1..101)).await;
    let said = async |code: &str| {
        flagpost_tests::until(code, async || {
            let task = relay.in_state("out", "misconfigured").await;
            task["lastError"]["message"].as_str().filter(|said| said.contains(code) && said.contains("check the credentials")).map(|_| ())
        })
        .await;
    };
    said("InvalidAccessKeyId").await;
    write(&access.key, "hunter2hunter2");
    said("SignatureDoesNotMatch").await;
    assert_eq!(relay.metrics().await.counts("out").waiting, 100);
    write(&access.key, &access.secret);
    complete(&relay, "out", 100).await;
    assert_eq!(bucket.lines().await, sorted(events(1..101)));
    assert!(!relay.log().contains("hunter2"));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_may_only_read_condemns_no_event() {
    let Some(server) = seaweedfs::shared().await else { return };
    let bucket = Bucket::make(server.access()).await;
    let relay = Program::start(&setup(&server.reader(), &exporter("out", &bucket, &server.access().endpoint, ", path: p"))).await;
    relay.post(&events(1..101)).await;
    let task = relay.in_state("out", "misconfigured").await;
    assert!(task["lastError"]["message"].as_str().unwrap().contains("AccessDenied"), "{task}");
    let counts = relay.metrics().await.counts("out");
    assert_eq!((counts.waiting, counts.dead), (100, 0));
    assert_eq!(bucket.keys().await, Vec::<String>::new());
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_made_later_gets_everything() {
    let Some(server) = seaweedfs::shared().await else { return };
    let bucket = Bucket::unmade(server.access());
    let relay = Program::start(&setup(server.access(), &exporter("out", &bucket, &server.access().endpoint, ", path: p"))).await;
    relay.post(&events(1..501)).await;
    let task = relay.in_state("out", "misconfigured").await;
    let said = task["lastError"]["message"].as_str().unwrap();
    assert!(said.contains(&bucket.name) && said.contains("create the bucket, or correct `bucket`"), "{said}");
    assert_eq!(relay.metrics().await.counts("out").waiting, 500);
    bucket.create().await;
    relay.post(&events(501..601)).await;
    complete(&relay, "out", 600).await;
    assert_eq!(bucket.lines().await, sorted(events(1..601)));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_others_keep_their_names() {
    let Some(server) = seaweedfs::shared().await else { return };
    let bucket = Bucket::make(server.access()).await;
    let relay = Program::start(&setup(
        server.access(),
        &exporter("out", &bucket, &server.access().endpoint, ", path: p, filename: '{{ .Timestamp}}'"),
    ))
    .await;
    let taken: Vec<String> = (0..20).map(|second| format!("p/{}", now() + second)).collect();
    for key in &taken {
        bucket.put(key, "theirs").await;
    }
    relay.post(&events(1..101)).await;
    complete(&relay, "out", 100).await;
    let (theirs, ours): (Vec<_>, Vec<_>) = bucket.objects().await.into_iter().partition(|object| taken.contains(&object.key));
    assert!(theirs.len() == 20 && theirs.iter().all(|object| object.bytes == b"theirs"));
    let lines: Vec<String> =
        ours.iter().flat_map(|object| String::from_utf8_lossy(&object.bytes).lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    assert_eq!(sorted(lines), sorted(events(1..101)));
    relay.stop().await;
}
