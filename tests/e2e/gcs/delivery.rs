//! What arrives, where, and as what.

use flagpost_tests::servers::gcs;
use flagpost_tests::{Program, Setup, events, flagpost};
use serde_json::{Value, json};

use super::{exporter, lines, sorted};
use crate::readers::read_back;

fn feature(number: usize) -> String {
    json!({
        "kind": "feature", "contextKind": "user", "userKey": format!("u-{}", number % 13), "creationDate": 1_700_000_000 + number,
        "key": format!("flag-{number}"), "variation": format!("v{}", number % 3), "value": { "a": [number, "é"] }, "default": false,
        "version": number.to_string(), "source": "SERVER", "metadata": { "n": number, "text": "plain" },
    })
    .to_string()
}

fn plain(number: usize) -> String {
    let mut event: Value = serde_json::from_str(&feature(number)).unwrap();
    event["value"] = "plain".into();
    event.to_string()
}

fn tracking(number: usize) -> String {
    json!({
        "kind": "tracking", "contextKind": "user", "userKey": format!("u-{}", number % 13), "creationDate": 1_700_000_000, "key": format!("track-{number}"),
        "evaluationContext": { "country": "de" }, "trackingEventDetails": { "value": number },
    })
    .to_string()
}

fn same(line: &str) -> String {
    serde_json::from_str::<Value>(line).unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_event_types_and_all_formats_read_back_in_other_peoples_readers() {
    let Some(gcs) = gcs::shared().await else { return };
    const CODECS: [&str; 6] = ["SNAPPY", "GZIP", "ZSTD", "BROTLI", "LZ4_RAW", "UNCOMPRESSED"];
    let mut exporters = String::new();
    let mut names = Vec::new();
    let mut buckets = Vec::new();
    let formats = CODECS.iter().map(|codec| format!("format: Parquet\n    parquetCompressionCodec: {codec}"));
    let quoted = r#"format: CSV
    csvQuote: true
    csvTemplate: "{{ .Version }},{{ .UserKey }},{{ json .Value }},{{ .Metadata | json }}\n""#;
    let formats: Vec<String> = formats.chain(["format: csv", quoted, "format: JSON"].map(str::to_owned)).collect();
    for (number, format) in formats.iter().enumerate() {
        for kind in ["feature", "tracking"] {
            if kind == "tracking" && format == quoted {
                continue;
            }
            let (name, bucket) = (format!("{kind}-{number}"), gcs.bucket().await);
            exporters += &exporter(&name, &bucket, gcs.url(), &format!("eventType: {kind}\n    {format}"));
            names.push(name);
            buckets.push((kind, format.as_str(), bucket));
        }
    }
    let setup = Setup::new().with_exporters(&exporters);
    let relay = Program::start(&setup).await;
    let features: Vec<String> = (0..300).map(plain).collect();
    let tracks: Vec<String> = (0..200).map(tracking).collect();
    for part in features.chunks(150).chain(tracks.chunks(100)) {
        relay.post(part).await;
    }
    relay.drained(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for (number, (kind, format, bucket)) in buckets.iter().enumerate() {
        let sent = if *kind == "feature" { &features } else { &tracks };
        let directory = setup.path(&format!("read-{number}"));
        let objects = gcs.download(bucket, &directory).await;
        assert!(!objects.is_empty(), "{kind} {format}");
        match *format {
            // Fields have another order in the events of this test.
            "format: JSON" => assert_eq!(sorted(lines(&objects).iter().map(|line| same(line)).collect()), sorted(sent.clone())),
            "format: csv" => drop(read_back("plain", &directory, sent)),
            format if format == quoted => drop(read_back("csv", &directory, sent)),
            _ => drop(read_back("parquet", &directory, sent)),
        }
    }
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_upstreams_and_objects_say_whose_they_are() {
    let Some(gcs) = gcs::shared().await else { return };
    let (default, cleaned, own) = (gcs.bucket().await, gcs.bucket().await, gcs.bucket().await);
    let exporters = [
        exporter("default", &default, gcs.url(), ""),
        exporter("cleaned", &cleaned, gcs.url(), "path: 'a//b/../c/'"),
        exporter(
            "own",
            &own,
            gcs.url(),
            "path: 'day={{ .Date }}'\n    filename: '{{ .FlagSet }}/{{ .EventType }}-{{ .BatchId }}.{{ .Format }}'\n    storageClass: NEARLINE",
        ),
    ];
    let setup = Setup::new().with_exporters(&exporters.concat());
    let relay = Program::start(&setup).await;
    relay.post(&events(1..101)).await;
    relay.drained(&["default", "cleaned", "own"]).await;
    let host = String::from_utf8(std::process::Command::new("hostname").output().unwrap().stdout).unwrap();
    for (bucket, start) in [(&default, ""), (&cleaned, "a/c/")] {
        for object in gcs.objects(bucket).await {
            let name =
                object.name.strip_prefix(&format!("{start}flag-variation-{}-", host.trim())).unwrap_or_else(|| panic!("{}", object.name));
            assert!(name.strip_suffix(".json").is_some_and(|seconds| seconds.parse::<u64>().is_ok()), "{}", object.name);
        }
    }
    for object in gcs.objects(&own).await {
        assert!(object.name.starts_with("day=20") && object.name.contains("/default/feature-"), "{}", object.name);
        let owner = object.about["metadata"]["flagpostbatch"].as_str().unwrap();
        let batch = object.name.rsplit_once("/feature-").unwrap().1.trim_end_matches(".json").replace("%2F", "/");
        assert_eq!(owner, format!("{batch}@own"));
        assert_eq!(object.about["storageClass"], "NEARLINE");
    }
    for bucket in [&default, &cleaned, &own] {
        assert_eq!(lines(&gcs.objects(bucket).await), sorted(events(1..101)));
    }
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_configuration_is_taken_and_delivers() {
    let Some(gcs) = gcs::shared().await else { return };
    let bucket = gcs.bucket().await;
    let yaml = format!(
        r#"
  - kind: googleStorage
    name: out
    bucket: {bucket}
    format: json
    path: yourPath
    filename: "flag-variation-{{{{ .Hostname}}}}-{{{{ .Timestamp}}}}.{{{{ .Format}}}}"
    flushInterval: 1000
    maxEventInMemory: 100
"#
    );
    // As upstream's library finds an emulator.
    let setup = Setup::new().with_exporters(&yaml).with_environment([("STORAGE_EMULATOR_HOST", gcs.url())]);
    let checked = flagpost(&setup, &["validate", "--config", "flagpost.yaml"]);
    assert!(checked.status.success(), "{}", checked.text);
    let relay = Program::start(&setup).await;
    relay.post(&events(1..1_001)).await;
    relay.drained(&["out"]).await;
    let objects = gcs.objects(&bucket).await;
    assert_eq!(lines(&objects), sorted(events(1..1_001)));
    assert!(objects.len() > 5 && objects.iter().all(|object| object.name.starts_with("yourPath/flag-variation-")), "{}", objects.len());
    relay.stop().await;
}
