//! Who may write, and as whom.

use std::fs;

use flagpost_tests::servers::moto;
use flagpost_tests::{Program, Setup, events};

use super::exporter;
use crate::aws::{complete, data, records, sorted, stream, told};

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_told_and_lose_nothing() {
    let Some(moto) = moto::shared().await else { return };
    let access = moto.access();
    let stream = stream(access, 1).await;
    let setup = Setup::new().with_exporters(&exporter(&stream, &access.endpoint, ""));
    let file = setup.path("credentials");
    let write = |key: &str, secret: &str| {
        let scratch = file.with_extension("part");
        fs::write(&scratch, format!("[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")).unwrap();
        fs::rename(scratch, &file).unwrap();
    };
    write("AKIANOBODY", "not-the-secret");
    let setup = setup.with_environment([
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_SHARED_CREDENTIALS_FILE", file.to_str().unwrap()),
    ]);
    let relay = Program::start(&setup).await;
    relay.post(&events(1..101)).await;
    // moto says this in XML, although Kinesis speaks JSON.
    let message = told(&relay, "misconfigured", "InvalidClientTokenId").await;
    assert!(message.contains("check the credentials"), "{message}");
    write(&access.key, "not-the-secret");
    told(&relay, "misconfigured", "SignatureDoesNotMatch").await;
    assert_eq!(relay.metrics().await.counts("out").waiting, 100);
    assert!(!relay.log().contains("not-the-secret"));
    write(&access.key, &access.secret);
    complete(&relay, 100).await;
    assert_eq!(data(records(access, &stream, 100).await), events(1..101));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_taken_on_and_its_rights_are_what_counts() {
    let Some(moto) = moto::shared().await else { return };
    let access = moto.access();
    let stream = stream(access, 1).await;
    // May do nothing but take on roles.
    let (key, secret) = moto.user(r#"{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}"#).await;
    let writer = moto.role(r#"{"Effect":"Allow","Action":["kinesis:PutRecords","kinesis:DescribeStreamSummary"],"Resource":"*"}"#).await;
    let reader = moto.role(r#"{"Effect":"Allow","Action":"kinesis:GetRecords","Resource":"*"}"#).await;
    let role = |arn: &str| exporter(&stream, &access.endpoint, &format!("assumeRole: {{ arn: '{arn}', sessionName: relay }}"));
    let mut setup = Setup::new().with_exporters(&role(&reader)).with_environment([
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", key.as_str()),
        ("AWS_SECRET_ACCESS_KEY", secret.as_str()),
        ("AWS_ENDPOINT_URL_STS", access.endpoint.as_str()),
    ]);
    let relay = Program::start(&setup).await;
    relay.post(&events(1..51)).await;
    let message = told(&relay, "misconfigured", "AccessDenied").await;
    assert!(message.contains("relay"), "the session's name: {message}");
    relay.stop().await;
    // Another role is the same place.
    setup.set_exporters(&role(&writer));
    let relay = Program::start(&setup).await;
    relay.drained(&["out"]).await;
    assert_eq!(sorted(data(records(access, &stream, 50).await)), sorted(events(1..51)));
    relay.stop().await;
}
