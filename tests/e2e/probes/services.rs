//! Probes of services: what is there, what is missing, who may not, and where nobody is.

use flagpost_tests::servers::azurite::{self, ACCOUNT, KEY};
use flagpost_tests::servers::bigquery::{self, BigQuery};
use flagpost_tests::servers::bucket::Bucket;
use flagpost_tests::servers::elasticmq;
use flagpost_tests::servers::kafka::{self, Listener};
use flagpost_tests::servers::{gcs, jaeger, moto, pubsub, seaweedfs, unique};
use flagpost_tests::{Faults, Rule, Setup, flagpost, free_port};

use super::line;
use crate::aws::{queue, stream};

/// An address where nobody is.
fn nobody() -> String {
    format!("http://127.0.0.1:{}", free_port())
}

/// Probes exporters: each one's name, its keys, and what is said of it; nothing for a good one.
fn probed<'a>(environment: impl IntoIterator<Item = (&'a str, &'a str)>, exporters: &[(&str, String, &[&str])]) {
    let keys = exporters.iter().map(|(name, keys, _)| format!("  - {{ name: {name}, {keys} }}\n"));
    let setup = Setup::new().with_environment(environment).with_exporters(&keys.collect::<String>());
    let finished = tokio::task::block_in_place(|| flagpost(&setup, &["validate", "--config", "flagpost.yaml", "--probe"]));
    for (name, _, said) in exporters {
        let line = line(&finished.text, name);
        let begins = if said.is_empty() { "probe ok: " } else { "probe failed: " };
        assert!(line.starts_with(begins) && said.iter().all(|text| line.contains(text)), "expected {said:?}: {line}");
    }
    let all_good = exporters.iter().all(|(_, _, said)| said.is_empty());
    assert_eq!(finished.status.success(), all_good, "{}", finished.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_tells_buckets_rights_and_credentials_apart() {
    let Some(server) = seaweedfs::shared().await else { return };
    let access = server.access();
    let (bucket, missing, nobody) = (Bucket::make(access).await, Bucket::unmade(access), nobody());
    let of = |bucket: &Bucket, endpoint: &str| format!("kind: s3, bucket: {}, endpoint: '{endpoint}', timeout: 3s", bucket.name);
    let cases: &[(&str, String, &[&str])] = &[
        ("good", of(&bucket, &access.endpoint), &[]),
        ("missing", of(&missing, &access.endpoint), &[&missing.name, "create the bucket, or correct `bucket`"]),
        ("down", of(&bucket, &nobody), &[&bucket.name, "refused"]),
    ];
    probed(access.environment(), cases);
    let mut wrong = access.clone();
    wrong.secret = "not-the-secret".to_owned();
    probed(wrong.environment(), &[("wrong", of(&bucket, &access.endpoint), &["check the credentials"])]);
    let reader = server.reader();
    probed(reader.environment(), &[("reader", of(&bucket, &access.endpoint), &["AccessDenied"])]);
    assert!(bucket.keys().await.is_empty(), "a probe is no object");
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_tells_containers_and_credentials_apart() {
    let Some(server) = azurite::shared().await else { return };
    let (container, missing, nobody) = (server.container().await, server.unmade(), nobody());
    let of = |container: &str, key: &str, endpoint: &str| {
        format!(
            "kind: azureBlobStorage, container: {container}, accountName: {ACCOUNT}, accountKey: '{key}', endpoint: '{endpoint}', timeout: 3s"
        )
    };
    let there = server.endpoint();
    let cases: &[(&str, String, &[&str])] = &[
        ("good", of(&container.name, KEY, &there), &[]),
        ("missing", of(&missing.name, KEY, &there), &[&missing.name, "create the container, or correct `container`"]),
        ("wrong", of(&container.name, "aHVudGVyMmh1bnRlcjI=", &there), &["HTTP 403", "`accountKey`"]),
        ("down", of(&container.name, KEY, &format!("{nobody}/{ACCOUNT}")), &[&container.name, "refused"]),
    ];
    probed([], cases);
    assert!(container.blobs().await.is_empty(), "a probe is no blob");
}

#[tokio::test(flavor = "multi_thread")]
async fn google_storage_tells_buckets_and_refusals_apart() {
    let Some(server) = gcs::shared().await else { return };
    let (bucket, missing, nobody) = (server.bucket().await, unique("missing"), nobody());
    let (stranger, forbidden) = (Faults::before(server.url()).await, Faults::before(server.url()).await);
    stranger.add(Rule::any().always().answer(401, r#"{"error":{"code":401,"message":"who are you"}}"#));
    forbidden.add(Rule::any().always().answer(403, r#"{"error":{"code":403,"message":"you may not"}}"#));
    let of = |bucket: &str, endpoint: &str| format!("kind: googleStorage, bucket: {bucket}, endpoint: '{endpoint}', timeout: 3s");
    let cases: &[(&str, String, &[&str])] = &[
        ("good", of(&bucket, server.url()), &[]),
        ("missing", of(&missing, server.url()), &[&missing, "create the bucket, or correct `bucket`"]),
        ("stranger", of(&bucket, &stranger.url("")), &["who are you", "check the credentials"]),
        ("forbidden", of(&bucket, &forbidden.url("")), &["you may not", "storage.objects.create"]),
        ("down", of(&bucket, &nobody), &[&bucket, "refused"]),
    ];
    probed([], cases);
    assert_eq!(server.count(&bucket).await, 0, "a probe is no object");
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_tells_topics_apart_from_brokers_that_are_not_there() {
    let Some(broker) = kafka::shared().await else { return };
    let (topic, missing, port) = (broker.topic(1, &[]).await, unique("missing"), free_port());
    let of = |topic: &str, address: &str| {
        format!("kind: kafka, kafka: {{ topic: {topic}, addresses: [ '{address}' ], properties: {{ socket.timeout.ms: 3000 }} }}")
    };
    let (there, nobody) = (broker.address(Listener::Plain), format!("127.0.0.1:{port}"));
    let cases: &[(&str, String, &[&str])] = &[
        ("good", of(&topic, &there), &[]),
        ("missing", of(&missing, &there), &["create the topic, or correct `kafka.topic`"]),
        ("down", of(&topic, &nobody), &[&nobody]),
    ];
    probed([], cases);
}

#[tokio::test(flavor = "multi_thread")]
async fn kinesis_tells_streams_rights_and_credentials_apart() {
    let Some(server) = moto::shared().await else { return };
    let access = server.access();
    let (name, missing, nobody) = (stream(access, 1).await, unique("missing"), nobody());
    let of = |stream: &str, endpoint: &str| format!("kind: kinesis, streamName: {stream}, endpoint: '{endpoint}'");
    let cases: &[(&str, String, &[&str])] = &[
        ("good", of(&name, &access.endpoint), &[]),
        ("missing", of(&missing, &access.endpoint), &[&missing, "create the stream, or correct `streamName`"]),
        ("down", of(&name, &nobody), &[&name, "refused"]),
    ];
    probed(access.environment(), cases);
    let mut wrong = access.clone();
    wrong.secret = "not-the-secret".to_owned();
    probed(wrong.environment(), &[("wrong", of(&name, &access.endpoint), &["check the credentials"])]);
    (wrong.key, wrong.secret) = server.user(r#"{"Effect":"Allow","Action":"kinesis:PutRecords","Resource":"*"}"#).await;
    probed(wrong.environment(), &[("reader", of(&name, &access.endpoint), &["AccessDenied", "give these credentials"])]);
}

#[tokio::test(flavor = "multi_thread")]
async fn sqs_tells_queues_rights_and_credentials_apart() {
    let Some(server) = moto::shared().await else { return };
    let access = server.access();
    let (url, nobody) = (queue(access, false).await, nobody());
    let missing = format!("{url}-missing");
    let of = |queue: &str, endpoint: &str| format!("kind: sqs, queueUrl: '{queue}', endpoint: '{endpoint}'");
    let cases: &[(&str, String, &[&str])] = &[
        ("good", of(&url, &access.endpoint), &[]),
        ("missing", of(&missing, &access.endpoint), &[&missing, "create the queue, or correct `queueUrl`"]),
        ("down", of(&url, &nobody), &[&url, "refused"]),
    ];
    probed(access.environment(), cases);
    let mut wrong = access.clone();
    wrong.secret = "not-the-secret".to_owned();
    probed(wrong.environment(), &[("wrong", of(&url, &access.endpoint), &["check the credentials"])]);
    (wrong.key, wrong.secret) = server.user(r#"{"Effect":"Allow","Action":"sqs:SendMessage","Resource":"*"}"#).await;
    probed(wrong.environment(), &[("sender", of(&url, &access.endpoint), &["AccessDenied", "give these credentials"])]);
    let Some(other) = elasticmq::shared().await else { return };
    let other = other.access();
    let url = queue(other, false).await;
    probed(other.environment(), &[("other", of(&url, &other.endpoint), &[])]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pubsub_tells_topics_apart_from_emulators_that_are_not_there() {
    let Some(server) = pubsub::shared().await else { return };
    let (topic, missing, nobody) = (server.topic().await, unique("missing"), nobody());
    let of = |topic: &str, endpoint: &str| {
        format!("kind: pubsub, projectID: {}, topic: {topic}, endpoint: '{endpoint}', timeout: 3s", pubsub::PROJECT)
    };
    let there = format!("http://{}", server.address());
    let cases: &[(&str, String, &[&str])] = &[
        ("good", of(&topic, &there), &[]),
        ("missing", of(&missing, &there), &[&missing, "create the topic"]),
        ("down", of(&topic, &nobody), &[&topic]),
    ];
    probed([], cases);
}

#[tokio::test(flavor = "multi_thread")]
async fn bigquery_tells_tables_columns_and_refusals_apart() {
    let Some(server) = bigquery::shared().await else { return };
    let (dataset, missing, nobody) = (server.dataset().await, BigQuery::unused_dataset(), nobody());
    server.make_table(&dataset, "events", &[("kind", "STRING")]).await;
    let forbidden = Faults::before(server.rest()).await;
    forbidden
        .add(Rule::any().always().answer(403, r#"{"error":{"code":403,"message":"you may not","errors":[{"reason":"accessDenied"}]}}"#));
    let good = "good_events";
    let columns = crate::bigquery::FEATURE;
    server.make_table(&dataset, good, columns).await;
    for way in ["storage", "insertAll"] {
        let of = |dataset: &str, table: &str, rest: &str, grpc: &str| {
            format!(
                "kind: bigquery, projectID: p, datasetID: {dataset}, tableName: {table}, endpoint: '{rest}', storageEndpoint: '{grpc}', \
                 timeout: 5s, writeApi: {way}"
            )
        };
        let (rest, grpc) = (server.rest(), server.grpc());
        let gone: &[&str] = &[&missing, "create the table"];
        let mut cases: Vec<(&str, String, &[&str])> = vec![
            ("good", of(&dataset, good, rest, grpc), &[]),
            ("missing", of(&missing, good, rest, grpc), gone),
            ("narrow", of(&dataset, "events", rest, grpc), &["it has no column"]),
            ("down", of(&dataset, good, &nobody, &nobody), &["127.0.0.1"]),
        ];
        if way == "insertAll" {
            cases.push(("forbidden", of(&dataset, good, &forbidden.url(""), grpc), &["you may not", "bigquery.tables.updateData"]));
        }
        probed([], &cases);
    }
    assert_eq!(server.count(&dataset, good).await, 0, "a probe is no row");
}

#[tokio::test(flavor = "multi_thread")]
async fn opentelemetry_tells_collectors_and_credentials_apart() {
    let Some(server) = jaeger::shared().await else { return };
    let (service, nobody, strict) = (unique("probed"), nobody(), Faults::before(&server.http()).await);
    strict.add(Rule::any().always().answer(401, "who are you"));
    let of = |endpoint: &str, protocol: &str| {
        format!("kind: opentelemetry, endpoint: '{endpoint}', protocol: {protocol}, serviceName: {service}, timeout: 3s")
    };
    let cases: &[(&str, String, &[&str])] = &[
        ("http", of(&server.http(), "http/protobuf"), &[]),
        ("grpc", of(&server.grpc(), "grpc"), &[]),
        ("strict", of(&strict.url(""), "http/protobuf"), &["who are you", "check the credentials in `headers`"]),
        ("down-http", of(&nobody, "http/protobuf"), &["127.0.0.1"]),
        ("down-grpc", of(&nobody, "grpc"), &["127.0.0.1"]),
    ];
    probed([], cases);
    assert!(server.spans(&service).await.is_empty(), "a probe is no span");
}
