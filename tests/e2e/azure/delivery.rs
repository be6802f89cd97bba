//! What arrives, where, and as what.

use std::fs;

use flagpost_tests::servers::azurite::{self, ACCOUNT, KEY};
use flagpost_tests::{Faults, Program, Rule, Setup, events, flagpost};
use http::Method;

use super::{exporter, with};
use crate::objects::{complete, is_default_name, padded, sorted, tracking};
use crate::readers::read_back;

#[tokio::test(flavor = "multi_thread")]
async fn each_batch_is_one_blob_with_upstreams_name_and_its_owner() {
    let Some(server) = azurite::shared().await else { return };
    let container = server.container().await;
    let both = exporter("both", &container, &server.endpoint(), ", eventType: all");
    let relay = Program::start(&Setup::new().with_exporters(&both)).await;
    let trackings: Vec<String> = (1..200).map(tracking).collect();
    for batch in [&events(1..501), &trackings, &events(501..1_001)] {
        relay.post(batch).await;
    }
    relay.drained(&["both"]).await;
    for blob in container.blobs().await {
        assert!(is_default_name(&blob.name, "", "json"), "{}", blob.name);
        assert!(blob.metadata["flagpostbatch"].ends_with("@both"), "{:?}", blob.metadata);
        let text = String::from_utf8(container.get(&blob.name).await).unwrap();
        let kinds = ["\"kind\":\"feature\"", "\"kind\":\"tracking\""].map(|kind| text.contains(kind));
        assert!(text.ends_with('\n') && kinds[0] != kinds[1], "whole lines of one kind");
    }
    assert_eq!(container.lines().await, sorted([events(1..1_001), trackings].concat()), "each once, byte for byte");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_are_templates_and_formats_are_read_by_other_peoples_programs() {
    let Some(server) = azurite::shared().await else { return };
    let outputs = [
        ("ZSTD", "parquet", ", format: Parquet, parquetCompressionCodec: ZSTD"),
        ("SNAPPY", "parquet", ", format: Parquet"),
        (
            "csv",
            "csv",
            r#", format: CSV, csvQuote: true, csvTemplate: "{{ .Version }},{{ .UserKey }},{{ json .Value }},{{ .Metadata | json }}\n""#,
        ),
    ];
    let mut containers = Vec::new();
    let mut yaml = String::new();
    for (name, _, own) in outputs {
        let container = server.container().await;
        let own = format!("{own}, path: 'type={{{{ .EventType}}}}/day={{{{ .Date}}}}', filename: '{{{{ .BatchId}}}}.{{{{ .Format}}}}'");
        yaml += &exporter(name, &container, &server.endpoint(), &own);
        containers.push(container);
    }
    let setup = Setup::new().with_exporters(&yaml);
    let relay = Program::start(&setup).await;
    let events: Vec<String> = (0..400).map(crate::formats::feature).collect();
    for part in events.chunks(100) {
        relay.post(part).await;
    }
    relay.drained(&["ZSTD", "SNAPPY", "csv"]).await;
    for ((name, what, _), container) in outputs.iter().zip(&containers) {
        let directory = setup.path(name);
        fs::create_dir(&directory).unwrap();
        for blob in container.blobs().await {
            let (path, file) = blob.name.rsplit_once('/').unwrap();
            assert!(path.starts_with("type=feature/day=20") && file.contains("default") && file.ends_with(what), "{}", blob.name);
            fs::write(directory.join(file), container.get(&blob.name).await).unwrap();
        }
        read_back(what, &directory, &events);
    }
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_example_is_taken_and_delivers() {
    let Some(server) = azurite::shared().await else { return };
    let container = server.container().await;
    let yaml = r#"
  - kind: azureBlobStorage
    container: "CONTAINER"
    accountName: "ACCOUNT"
    accountKey: "KEY"
    endpoint: "ENDPOINT"
    flushInterval: 50
    maxEventInMemory: 1000
    path: "path/to/folder"
    format: "csv"
    filename: "flag-variation-{{ .Hostname}}-{{ .Timestamp}}.{{ .Format}}"
    csvTemplate: "{{ .Kind}};{{ .ContextKind}};{{ .UserKey}};{{ .CreationDate}};{{ .Key}};{{ .Variation}};{{ .Value}};{{ .Default}};{{ .Source}}\n""#;
    let yaml =
        yaml.replace("CONTAINER", &container.name).replace("ACCOUNT", ACCOUNT).replace("KEY", KEY).replace("ENDPOINT", &server.endpoint());
    let setup = Setup::new().with_exporters(&yaml);
    let checked = flagpost(&setup, &["validate", "--config", "flagpost.yaml"]);
    assert!(checked.status.success(), "{}", checked.text);
    let relay = Program::start(&setup).await;
    relay.post(&events(1..101)).await;
    let lines = flagpost_tests::until("everything arrives", async || {
        let lines = container.lines().await;
        (lines.len() == 100).then_some(lines)
    })
    .await;
    assert!(lines.iter().all(|line| line.starts_with("feature;") && line.split(';').count() == 9), "{lines:?}");
    assert!(container.blobs().await.iter().all(|blob| is_default_name(&blob.name, "path/to/folder/", "csv")));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_url_is_enough_and_is_never_shown() {
    let Some(server) = azurite::shared().await else { return };
    let containers = [server.container().await, server.container().await, server.container().await];
    let urls = [containers[0].signed("racw", 1).await, containers[1].signed("racw", -1).await, containers[2].signed("r", 1).await];
    let mut yaml = String::new();
    for (name, (container, url)) in ["good", "expired", "reader"].iter().zip(containers.iter().zip(&urls)) {
        yaml += &with(name, container, &format!(", sasUrl: '{url}'"));
    }
    let relay = Program::start(&Setup::new().with_exporters(&yaml)).await;
    relay.post(&events(1..101)).await;
    complete(&relay, "good", 100).await;
    assert_eq!(containers[0].lines().await, sorted(events(1..101)));
    let mut shown = relay.get("/health/exporters").await.1;
    for name in ["expired", "reader"] {
        let task = relay.in_state(name, "misconfigured").await;
        let said = task["lastError"]["message"].as_str().unwrap();
        assert!(said.contains("HTTP 403") && said.contains("sasUrl") | said.contains("signature"), "{said}");
        shown += said;
        let counts = relay.metrics().await.counts(name);
        assert_eq!((counts.waiting, counts.dead), (100, 0));
    }
    shown += &relay.log();
    for url in &urls {
        let secret = url.rsplit_once("sig=").unwrap().1;
        assert!(!shown.contains(secret) && !shown.contains("sig="), "a signature is shown");
    }
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_megabytes_go_through_in_blocks_of_five() {
    const EVENTS: u64 = 4_000;
    let Some(server) = azurite::shared().await else { return };
    let container = server.container().await;
    let faults = Faults::before(server.url()).await;
    let copies = "{{ .Metadata.pad }}".repeat(24);
    let own = format!(r#", path: p, format: csv, csvTemplate: "{copies}\n", flushInterval: 3600000, maxEventInMemory: {EVENTS}"#);
    let yaml = exporter("out", &container, &faults.url(&format!("/{ACCOUNT}")), &own);
    let yaml = yaml.replace("flushInterval: 20, ", "").replace("timeout: 3s", "timeout: 30s");
    let relay = Program::start(&Setup::new().with_exporters(&yaml)).await;
    let events: Vec<String> = (0..EVENTS).map(|number| padded(number, 1_000)).collect();
    let (last, first) = events.split_last().unwrap();
    relay.post(first).await;
    let before = relay.peak_memory();
    relay.post(&[last]).await;
    complete(&relay, "out", EVENTS).await;
    let grown = relay.peak_memory() - before;
    let blobs = container.blobs().await;
    let size = 24_001 * EVENTS;
    assert_eq!(blobs.iter().map(|blob| blob.size).collect::<Vec<_>>(), [size]);
    assert!(blobs[0].metadata["flagpostbatch"].ends_with("@out"));
    let blocks = faults.matching(&Rule::any().method(Method::PUT).path("blockid="));
    assert_eq!(blocks.len() as u64, size.div_ceil(5 << 20));
    // Three blocks and what the allocator keeps of them; the blob is ninety-six.
    assert!(grown < 48 << 20, "{grown} bytes more");
    relay.stop().await;
}
