//! What the door takes and what it refuses.

use std::io::Write;

use flagpost_tests::{Program, Setup, assert_lines, body, client, event, events, lines_in};

const FILE: &str = "  - { kind: file, name: out, outputDir: out, flushInterval: 20 }";

async fn send(relay: &Program, encoding: Option<&str>, body: Vec<u8>) -> (u16, String) {
    let mut request = client().post(relay.url("/v1/data/collector")).header("content-type", "application/json");
    if let Some(encoding) = encoding {
        request = request.header("content-encoding", encoding);
    }
    let response = request.body(body).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn deflate(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &str) -> Vec<u8> {
    zstd::encode_all(text.as_bytes(), 3).unwrap()
}

#[tokio::test]
async fn compressed_bodies_are_read() {
    let setup = Setup::new().with_exporters(FILE);
    let relay = Program::start(&setup).await;
    let batches: Vec<_> = (0..4).map(|n| events(n * 100 + 1..n * 100 + 101)).collect();
    let plain = body(&batches[0]).into_bytes();
    let bodies = [
        (None, plain),
        (Some("gzip"), gzip(&body(&batches[1]))),
        (Some("deflate"), deflate(&body(&batches[2]))),
        (Some("zstd"), zstd(&body(&batches[3]))),
    ];
    for (encoding, body) in bodies {
        let (status, text) = send(&relay, encoding, body).await;
        assert_eq!((status, text.as_str()), (200, "{\"ingestedContentCount\":100}\n"), "{encoding:?}");
    }
    relay.drained(&["out"]).await;
    assert_lines(&lines_in(&setup.path("out")), &batches.concat());
    relay.stop().await;
}

#[tokio::test]
async fn limits_are_413_before_anything_is_stored() {
    let limits = "collector: { maxBody: 20KiB, maxInflated: 40KiB, maxEvents: 50, maxMeta: 1KiB, maxEncoded: 32KiB }\n";
    let setup = Setup::new().with_head(&format!("evaluation: none\n{limits}")).with_exporters(FILE);
    let relay = Program::start(&setup).await;
    let pad = |size: usize| format!("{},\"metadata\":{{\"pad\":\"{}\"}}}}", event(5).trim_end_matches('}'), "x".repeat(size));
    let meta = |size: usize, events: &[String]| format!("{{\"meta\":{{\"pad\":\"{}\"}},{}", "x".repeat(size), &body(events)[1..]);
    let small: Vec<String> = (0..40).map(|_| event(5)).collect();
    let cases: [(&str, Option<&str>, Vec<u8>); 5] = [
        ("collector.maxBody", None, body(&[pad(30_000)]).into_bytes()),
        ("collector.maxInflated", Some("gzip"), gzip(&body(&[pad(60_000)]))),
        ("collector.maxEvents", None, body(&vec!["{}"; 51]).into_bytes()),
        ("collector.maxMeta", None, meta(2_000, &small[..1]).into_bytes()),
        ("collector.maxEncoded", None, meta(1_000, &[&small[..], &small[..10]].concat()[..50]).into_bytes()),
    ];
    for (limit, encoding, body) in cases {
        let (status, text) = send(&relay, encoding, body).await;
        assert_eq!(status, 413, "{limit}: {text}");
        assert!(text.contains("collectEvalData: "), "{limit}: {text}");
    }
    let metrics = relay.metrics().await;
    assert_eq!((metrics.counts("out").accepted, metrics.sum("flagpost_collector_events_total", &[]) as u64), (0, 0));
    relay.post(&events(1..11)).await;
    relay.drained(&["out"]).await;
    assert_lines(&lines_in(&setup.path("out")), &events(1..11));
    relay.stop().await;
}

#[tokio::test]
async fn one_bad_event_never_rejects_its_batch_and_is_counted() {
    let setup = Setup::new().with_exporters(FILE);
    let relay = Program::start(&setup).await;
    let mut batch = events(1..11);
    batch.insert(4, r#"{"kind":"feature","userKey":7}"#.to_owned());
    relay.post(&batch).await;
    let metrics = relay.drained(&["out"]).await;
    assert_lines(&lines_in(&setup.path("out")), &events(1..11));
    assert_eq!(metrics.sum("flagpost_collector_dropped_total", &[]) as u64, 1);
    relay.stop().await;
}

#[tokio::test]
async fn bodies_that_are_no_batch_are_refused_and_store_nothing() {
    let setup = Setup::new().with_exporters(FILE);
    let relay = Program::start(&setup).await;
    let broken_gzip = gzip(&body(&events(1..11)))[..50].to_vec();
    let cases: [(Option<&str>, Vec<u8>); 6] = [
        (None, b"".to_vec()),
        (None, b"{}".to_vec()),
        (None, b"{\"events\":[{".to_vec()),
        (None, b"{\"events\":{}}".to_vec()),
        (Some("gzip"), broken_gzip),
        (Some("br"), b"x".to_vec()),
    ];
    for (encoding, body) in cases {
        let (status, text) = send(&relay, encoding, body).await;
        assert_eq!(status, 400, "{text}");
        assert!(text.contains("collectEvalData: invalid input data"), "{text}");
    }
    assert_eq!(relay.metrics().await.counts("out").accepted, 0);
    relay.stop().await;
}
