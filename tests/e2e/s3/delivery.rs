//! What arrives, where, and as what.

use std::fs;

use flagpost_tests::servers::boto::Access;
use flagpost_tests::servers::bucket::Bucket;
use flagpost_tests::servers::{moto, seaweedfs};
use flagpost_tests::{Program, Setup, events, flagpost};
use serde_json::json;

use super::{exporter, setup};
use crate::objects::{is_default_name, sorted, tracking};
use crate::readers::read_back;

#[tokio::test(flavor = "multi_thread")]
async fn each_batch_is_one_object_with_upstreams_name_and_its_owner() {
    // moto shows names as they are; SeaweedFS would leave the slash out.
    let Some(server) = moto::shared().await else { return };
    let bucket = Bucket::make(server.access()).await;
    let both = exporter("both", &bucket, &server.access().endpoint, ", eventType: all");
    let relay = Program::start(&setup(server.access(), &both)).await;
    let trackings: Vec<String> = (1..200).map(tracking).collect();
    for batch in [&events(1..501), &trackings, &events(501..1_001)] {
        relay.post(batch).await;
    }
    relay.drained(&["both"]).await;
    let objects = bucket.objects().await;
    for object in &objects {
        // Upstream joins with a slash even without a path.
        assert!(is_default_name(&object.key, "/", "json"), "{}", object.key);
        let owner = &object.metadata["flagpostbatch"];
        assert!(owner.ends_with("@both") && owner.is_ascii(), "{owner}");
        let text = String::from_utf8(object.bytes.clone()).unwrap();
        let kinds = ["\"kind\":\"feature\"", "\"kind\":\"tracking\""].map(|kind| text.contains(kind));
        assert!(text.ends_with('\n') && kinds[0] != kinds[1], "whole lines of one kind");
    }
    let names: std::collections::BTreeSet<&str> = objects.iter().map(|object| object.key.as_str()).collect();
    assert_eq!(names.len(), objects.len());
    assert_eq!(bucket.lines().await, sorted([events(1..1_001), trackings].concat()), "each once, byte for byte");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_can_be_partitioned_by_path() {
    let Some(server) = seaweedfs::shared().await else { return };
    let bucket = Bucket::make(server.access()).await;
    let own = ", eventType: all, path: 'set={{ .FlagSet}}/type={{ .EventType}}/day={{ .Date}}/hour={{ .Hour}}', filename: '{{ .BatchId}}.{{ .Format}}'";
    let relay = Program::start(&setup(server.access(), &exporter("out", &bucket, &server.access().endpoint, own))).await;
    let trackings: Vec<String> = (1..50).map(tracking).collect();
    relay.post(&events(1..101)).await;
    relay.post(&trackings).await;
    relay.drained(&["out"]).await;
    for object in bucket.objects().await {
        let steps: Vec<&str> = object.key.split('/').collect();
        let [set, kind, day, hour, name] = steps[..] else { panic!("{}", object.key) };
        assert_eq!(set, "set=default");
        let line = String::from_utf8(object.bytes).unwrap();
        assert!(line.starts_with(&format!("{{\"kind\":\"{}\"", kind.strip_prefix("type=").unwrap())), "{kind}");
        assert!(day.len() == "day=2026-11-27".len() && day.starts_with("day=20") && hour.len() == "hour=07".len(), "{day} {hour}");
        let batch = name.strip_suffix(".json").unwrap();
        assert!(object.metadata["flagpostbatch"].starts_with(&batch.replace("%2F", "/")), "{name} {:?}", object.metadata);
    }
    assert_eq!(bucket.lines().await, sorted([events(1..101), trackings].concat()));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_and_parquet_of_every_codec_are_read_by_other_peoples_programs() {
    let Some(server) = seaweedfs::shared().await else { return };
    let endpoint = &server.access().endpoint;
    let codecs = ["UNCOMPRESSED", "SNAPPY", "GZIP", "BROTLI", "ZSTD", "LZ4_RAW"];
    let mut outputs: Vec<(String, Bucket)> = Vec::new();
    let mut yaml = String::new();
    for codec in codecs {
        let bucket = Bucket::make(server.access()).await;
        yaml += &exporter(codec, &bucket, endpoint, &format!(", format: Parquet, path: p, parquetCompressionCodec: {codec}"));
        outputs.push((codec.to_owned(), bucket));
    }
    let csv = Bucket::make(server.access()).await;
    let template = r#", format: CSV, path: p, csvQuote: true, csvTemplate: "{{ .Version }},{{ .UserKey }},{{ json .Value }},{{ .Metadata | json }}\n""#;
    yaml += &exporter("csv", &csv, endpoint, template);
    outputs.push(("csv".to_owned(), csv));
    let setup = setup(server.access(), &yaml);
    let relay = Program::start(&setup).await;
    // The reader finds events by their version.
    let events: Vec<String> = (0..400).map(crate::formats::feature).collect();
    for part in events.chunks(100) {
        relay.post(part).await;
    }
    let names: Vec<&str> = outputs.iter().map(|(name, _)| name.as_str()).collect();
    relay.drained(&names).await;
    for (name, bucket) in &outputs {
        let directory = setup.path(name);
        fs::create_dir(&directory).unwrap();
        for object in bucket.objects().await {
            assert!(is_default_name(&object.key, "p/", if name == "csv" { "csv" } else { "parquet" }), "{}", object.key);
            fs::write(directory.join(object.key.rsplit('/').next().unwrap()), object.bytes).unwrap();
        }
        read_back(if name == "csv" { "csv" } else { "parquet" }, &directory, &events);
    }
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_example_is_taken_and_delivers() {
    let Some(server) = moto::shared().await else { return };
    let bucket = Bucket::make(server.access()).await;
    let yaml = r#"
  - kind: s3
    flushInterval: 50
    maxEventInMemory: 1000
    bucket: "BUCKET"
    format: csv
    path: s3-folder
    filename: "flag-variation-{{ .Hostname}}-{{ .Timestamp}}.{{ .Format}}"
    csvTemplate: "{{ .Kind}};{{ .ContextKind}};{{ .UserKey}};{{ .CreationDate}};{{ .Key}};{{ .Variation}};{{ .Value}};{{ .Default}};{{ .Source}}\n"
    parquetCompressionCodec: SNAPPY"#;
    let setup = Setup::new().with_exporters(&yaml.replace("BUCKET", &bucket.name)).with_environment(server.access().environment());
    let setup = setup.with_environment([("AWS_ENDPOINT_URL_S3", server.access().endpoint.as_str())]);
    let checked = flagpost(&setup, &["validate", "--config", "flagpost.yaml"]);
    assert!(checked.status.success(), "{}", checked.text);
    let relay = Program::start(&setup).await;
    relay.post(&events(1..101)).await;
    let lines = flagpost_tests::until("everything arrives", async || {
        let lines = bucket.lines().await;
        (lines.len() == 100).then_some(lines)
    })
    .await;
    assert!(lines.iter().all(|line| line.starts_with("feature;") && line.split(';').count() == 9), "{lines:?}");
    assert!(bucket.keys().await.iter().all(|key| is_default_name(key, "s3-folder/", "csv")));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn encryption_and_storage_class_are_asked_for() {
    let Some(server) = moto::shared().await else { return };
    let bucket = Bucket::make(server.access()).await;
    let own = ", path: p, serverSideEncryption: 'aws:kms', kmsKeyId: 'arn:aws:kms:eu-west-1:123456789012:key/k', storageClass: STANDARD_IA";
    let relay = Program::start(&setup(server.access(), &exporter("out", &bucket, &server.access().endpoint, own))).await;
    relay.post(&events(1..11)).await;
    relay.drained(&["out"]).await;
    for object in bucket.objects().await {
        let said = ["ServerSideEncryption", "SSEKMSKeyId", "StorageClass"].map(|name| object.answer[name].clone());
        assert_eq!(said, [json!("aws:kms"), json!("arn:aws:kms:eu-west-1:123456789012:key/k"), json!("STANDARD_IA")]);
    }
    assert_eq!(bucket.lines().await, sorted(events(1..11)));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_taken_on() {
    let Some(server) = moto::shared().await else { return };
    let bucket = Bucket::make(server.access()).await;
    let role = server.role(r#"{"Effect":"Allow","Action":"s3:*","Resource":"*"}"#).await;
    // The user himself may not write there.
    let (key, secret) = server.user(r#"{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}"#).await;
    let user = Access { key, secret, ..server.access().clone() };
    let endpoint = server.access().endpoint.clone();
    let plain = exporter("plain", &bucket, &endpoint, ", path: plain");
    let yaml = plain + &exporter("role", &bucket, &endpoint, &format!(", path: role, assumeRole: {{ arn: '{role}', sessionName: tests }}"));
    let setup = setup(&user, &yaml).with_environment([("AWS_ENDPOINT_URL_STS", endpoint.as_str())]);
    let relay = Program::start(&setup).await;
    relay.post(&events(1..101)).await;
    relay.drained(&["role"]).await;
    let task = relay.in_state("plain", "misconfigured").await;
    assert!(task["lastError"]["message"].as_str().unwrap().contains("AccessDenied"), "{task}");
    assert_eq!(bucket.lines().await, sorted(events(1..101)));
    relay.stop().await;
}
