//! Who may send.

use std::fs;

use flagpost_tests::servers::{elasticmq, moto};
use flagpost_tests::{Program, Setup, events};

use super::exporter;
use crate::aws::{bodies, complete, messages, queue, sorted, told};

#[tokio::test(flavor = "multi_thread")]
async fn no_credentials_wrong_ones_and_missing_rights_are_told_and_lose_nothing() {
    let Some(moto) = moto::shared().await else { return };
    let access = moto.access();
    let queue = queue(access, false).await;
    let setup = Setup::new().with_exporters(&exporter(&queue, &access.endpoint, ""));
    let file = setup.path("credentials");
    let setup = setup.with_environment([
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_SHARED_CREDENTIALS_FILE", file.to_str().unwrap()),
    ]);
    let write = |key: &str, secret: &str| {
        let scratch = file.with_extension("part");
        fs::write(&scratch, format!("[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")).unwrap();
        fs::rename(scratch, &file).unwrap();
    };
    let relay = Program::start(&setup).await;
    relay.post(&events(1..31)).await;
    told(&relay, "misconfigured", "no credentials were found: set AWS_ACCESS_KEY_ID").await;
    // Each correction is noticed without a restart.
    write(&access.key, "not-the-secret");
    let message = told(&relay, "misconfigured", "SignatureDoesNotMatch").await;
    assert!(message.contains("check the credentials"), "{message}");
    let (key, secret) = moto.user(r#"{"Effect":"Allow","Action":"sqs:GetQueueAttributes","Resource":"*"}"#).await;
    write(&key, &secret);
    let message = told(&relay, "misconfigured", "AccessDenied").await;
    assert!(message.contains("give these credentials (or `assumeRole`) the right"), "{message}");
    assert_eq!(relay.metrics().await.counts("out").waiting, 30);
    write(&access.key, &access.secret);
    complete(&relay, 30).await;
    assert_eq!(sorted(bodies(messages(access, &queue, 30).await)), sorted(events(1..31)));
    for secret in [&secret, &access.secret, "not-the-secret"] {
        assert!(!relay.log().contains(secret) && !relay.get("/health/exporters").await.1.contains(secret));
    }
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_nobody_names_is_asked_for() {
    let Some(server) = elasticmq::shared().await else { return };
    let access = server.access();
    let queue = queue(access, false).await;
    let mut setup = Setup::new().with_exporters(&exporter(&queue, &access.endpoint, ""));
    let nowhere = setup.path("nothing").to_str().unwrap().to_owned();
    let environment = access.environment().into_iter().filter(|(name, _)| *name != "AWS_REGION");
    setup = setup.with_environment(environment).with_environment([("AWS_CONFIG_FILE", nowhere.as_str())]);
    let relay = Program::start(&setup).await;
    relay.post(&events(1..11)).await;
    told(&relay, "misconfigured", "no region is known: set `region`, or AWS_REGION").await;
    relay.stop().await;
    setup.set_exporters(&exporter(&queue, &access.endpoint, "region: eu-west-1"));
    let relay = Program::start(&setup).await;
    relay.drained(&["out"]).await;
    assert_eq!(sorted(bodies(messages(access, &queue, 10).await)), sorted(events(1..11)));
    relay.stop().await;
}
