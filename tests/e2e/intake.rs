//! What the door takes and what it refuses.

use std::io::Write;

use flagpost_tests::{Answer, PATIENCE, Program, Setup, Target, assert_lines, body, client, event, events, lines_in};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

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
    let cases: [(&str, &str, Option<&str>, Vec<u8>); 5] = [
        ("maxBody", "the body is larger than 20480 bytes (`collector.maxBody`)", None, body(&[pad(30_000)]).into_bytes()),
        (
            "maxInflated",
            "the inflated body is larger than 40960 bytes (`collector.maxInflated`)",
            Some("gzip"),
            gzip(&body(&[pad(60_000)])),
        ),
        ("maxEvents", "more than 50 events in one request", None, body(&vec!["{}"; 51]).into_bytes()),
        ("maxMeta", "meta is over 1024 bytes", None, meta(2_000, &small[..1]).into_bytes()),
        (
            "maxEncoded",
            "the events take more than 32768 bytes with meta copied onto each",
            None,
            meta(1_000, &[&small[..], &small[..10]].concat()[..50]).into_bytes(),
        ),
    ];
    for (limit, words, encoding, body) in cases {
        let (status, text) = send(&relay, encoding, body).await;
        assert_eq!(status, 413, "{limit}: {text}");
        assert!(text.contains("collectEvalData: ") && text.contains(words), "{limit}: {text}");
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_bombs_at_once_take_no_more_memory_than_all_requests_may() {
    let setup = Setup::new().with_head("evaluation: none\ncollector: { maxInFlight: 64MiB }\n").with_exporters(FILE);
    let relay = Program::start(&setup).await;
    relay.post(&events(1..11)).await;
    let before = relay.peak_memory();
    // Each becomes 8 MiB and takes up to twice as much on the way there: all of them at once several times the bound.
    let spaces = format!("{{\"events\":[]{}}}", " ".repeat(8 << 20));
    let bombs = [("gzip", gzip(&spaces)), ("zstd", zstd(&spaces))];
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..24 {
        let (http, url, (encoding, body)) = (client(), relay.url("/v1/data/collector"), bombs[n % 2].clone());
        tasks.spawn(async move {
            let request = http.post(url).header("content-type", "application/json").header("content-encoding", encoding).body(body);
            request.timeout(PATIENCE).send().await.unwrap().status().as_u16()
        });
    }
    let answers = tasks.join_all().await;
    assert!(answers.iter().all(|status| [200, 429].contains(status)), "{answers:?}");
    let more = relay.peak_memory() - before;
    // The bound, a window of zstd per turn, what the log and delivery keep in memory, and what the allocator does not give back.
    assert!(more < 112 << 20, "{} MiB", more >> 20);
    relay.post(&events(11..21)).await;
    let held = relay.metrics().await.sum("flagpost_collector_in_flight_bytes", &[]);
    assert_eq!(held as u64, 0, "everything was given back");
    relay.stop().await;
}

#[tokio::test]
async fn an_event_that_is_too_large_or_too_deep_is_dropped_alone_and_counted() {
    let setup = Setup::new().with_exporters(FILE);
    let relay = Program::start(&setup).await;
    let with = |metadata: String| format!("{},\"metadata\":{metadata}}}", event(5).trim_end_matches('}'));
    let large = with(format!("{{\"pad\":\"{}\"}}", "x".repeat(1 << 20)));
    let deep = with(format!("{{\"a\":{}{}}}", "[".repeat(64), "]".repeat(64)));
    let fits = with(format!("{{\"a\":{}{}}}", "[".repeat(60), "]".repeat(60)));
    let batch = [event(1), large, event(2), deep, fits.clone()];
    relay.post(&batch).await;
    let metrics = relay.drained(&["out"]).await;
    assert_lines(&lines_in(&setup.path("out")), &[event(1), event(2), fits]);
    for reason in ["too_large", "too_deep"] {
        assert_eq!(metrics.sum("flagpost_collector_dropped_total", &[("reason", reason)]) as u64, 1, "{reason}");
    }
    assert_eq!(metrics.sum("flagpost_collector_dropped_total", &[]) as u64, 2);
    relay.stop().await;
}

#[tokio::test]
async fn a_client_that_sends_half_a_head_is_closed_and_one_that_sends_half_a_body_is_told() {
    let limits = "collector: { headerTimeout: 100ms, bodyTimeout: 100ms }\n";
    let setup = Setup::new().with_head(&format!("evaluation: none\n{limits}")).with_exporters(FILE);
    let relay = Program::start(&setup).await;
    let head = "POST /v1/data/collector HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ncontent-length: 100\r\n";
    for (sent, expected) in [(head.to_owned(), ""), (format!("{head}\r\n{{\"events\""), "HTTP/1.1 408 ")] {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", setup.port)).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        // Ends only because the relay closes the connection.
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(expected) && answer.is_empty() == expected.is_empty(), "{answer}");
    }
    relay.stop().await;
}

#[tokio::test]
async fn an_exporter_that_blocks_over_a_buffer_in_memory_is_a_429_and_loses_nothing() {
    let target = Target::start(|_| Answer::Status(503)).await;
    let hook =
        format!("  - {{ kind: webhook, name: hook, endpointUrl: \"{}\", whenFull: block, retry: {{ max: 500ms }} }}", target.url("/"));
    let buffer = "buffer: { type: memory, path: store, maxBytes: 1MiB }\n";
    let setup = Setup::new().with_head(&format!("evaluation: none\n{buffer}")).with_exporters(&hook);
    let relay = Program::start(&setup).await;
    let http = client();
    let mut taken = 0;
    loop {
        match relay.try_post(&http, &events(taken + 1..taken + 101)).await {
            Some(200) => taken += 100,
            Some(429) => break,
            other => panic!("{other:?}"),
        }
        assert!(taken < 100_000, "the buffer holds more than it may");
    }
    assert_eq!(relay.get("/health/ready").await.0, 200, "full is not broken");
    let counts = relay.metrics().await.counts("hook");
    assert_eq!((counts.accepted, counts.waiting), (taken, taken), "nothing is given up");
    relay.kill();
}
