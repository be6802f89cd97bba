//! The end of the program.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;

use flagpost_tests::{Answer, Client, Program, Setup, Target, assert_lines, client, event_number, events, lines_in, until};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

const FILE: &str = "  - { kind: file, name: out, outputDir: out, flushInterval: 100, maxEventInMemory: 5000 }";

/// Clients that send until the relay is gone; the events that were acknowledged and those that were sent.
fn load(setup: &Setup, clients: u64, acked: &Arc<Mutex<BTreeSet<u64>>>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for start in 0..clients {
        let (relay, acked) = (Client::new(setup.port), acked.clone());
        tasks.spawn(async move {
            let http = client();
            for round in 0.. {
                let first = 1 + (round * clients + start) * 50;
                match relay.try_post(&http, &events(first..first + 50)).await {
                    Some(200) => acked.lock().unwrap().extend(first..first + 50),
                    // Refused at the end: not promised.
                    Some(503) | None => return,
                    other => panic!("{other:?}"),
                }
            }
        });
    }
    tasks
}

fn numbers(lines: &[String]) -> Vec<u64> {
    lines.iter().map(|line| event_number(&serde_json::from_str(line).unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_loses_nothing() {
    for signal in [Signal::TERM, Signal::INT] {
        let setup = Setup::new().with_exporters(FILE);
        let mut relay = Program::start(&setup).await;
        let acked = Arc::new(Mutex::new(BTreeSet::new()));
        let tasks = load(&setup, 4, &acked);
        until("there is load", async || (acked.lock().unwrap().len() >= 5_000).then_some(())).await;
        relay.signal(signal);
        let status = relay.ended().await;
        assert!(status.success(), "{status}:\n{}", relay.log());
        tasks.join_all().await;
        let relay = Program::start(&setup).await;
        let metrics = relay.drained(&["out"]).await;
        relay.stop().await;
        let mut delivered = numbers(&lines_in(&setup.path("out")));
        assert_eq!(metrics.counts("out").delivered, delivered.len() as u64);
        delivered.sort_unstable();
        let once: BTreeSet<u64> = delivered.iter().copied().collect();
        assert_eq!(once.len(), delivered.len(), "nothing is delivered twice");
        assert!(acked.lock().unwrap().is_subset(&once), "nothing acknowledged is lost");
    }
}

#[tokio::test]
async fn what_waits_is_flushed_at_the_end() {
    let setup = Setup::new().with_exporters("  - { kind: file, name: out, outputDir: out, flushInterval: 3600000 }");
    let relay = Program::start(&setup).await;
    relay.post(&events(1..101)).await;
    assert_lines(&lines_in(&setup.path("out")), &[""; 0]);
    relay.stop().await;
    assert_lines(&lines_in(&setup.path("out")), &events(1..101));
}

#[tokio::test]
async fn a_client_that_stalls_in_its_body_does_not_take_the_exporters_time() {
    let buffer = "buffer: { type: memory, path: store }\nevaluation: none\nshutdownTimeout: 6s\n";
    let exporter = "  - { kind: file, name: out, outputDir: out, flushInterval: 3600000 }";
    let setup = Setup::new().with_head(buffer).with_exporters(exporter);
    let relay = Program::start(&setup).await;
    relay.post(&events(1..101)).await;
    let mut stalled = tokio::net::TcpStream::connect(("127.0.0.1", setup.port)).await.unwrap();
    let half = "POST /v1/data/collector HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{\"events\":[";
    stalled.write_all(half.as_bytes()).await.unwrap();
    // Its head was read: the request is under way.
    until("the body is waited for", async || {
        let metrics = relay.metrics().await;
        (metrics.sum("flagpost_collector_in_flight_bytes", &[]) > 0.0).then_some(())
    })
    .await;
    relay.stop().await;
    assert_lines(&lines_in(&setup.path("out")), &events(1..101));
    let mut answer = String::new();
    stalled.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
}

#[tokio::test]
async fn what_the_end_loses_or_keeps_is_said_as_it_is() {
    let good = "  - { kind: file, name: out, outputDir: out, flushInterval: 3600000 }";
    let target = Target::start(|_| Answer::Hang).await;
    let hangs = format!("  - {{ kind: webhook, name: out, endpointUrl: \"{}\", flushInterval: 10 }}", target.url("/"));
    for (buffer, exporter, expected, never) in [
        ("memory", good, None, "lost"),
        ("memory", hangs.as_str(), Some("not sent in time; lost"), "kept for the next start"),
        ("disk", good, None, "not sent in time"),
        ("disk", hangs.as_str(), Some("not sent in time; kept for the next start"), "lost"),
    ] {
        let head = format!("evaluation: none\nshutdownTimeout: 400ms\nbuffer: {{ type: {buffer}, path: store, minFree: 1MiB }}\n");
        let setup = Setup::new().with_head(&head).with_exporters(exporter);
        let mut relay = Program::start(&setup).await;
        relay.post(&events(1..101)).await;
        relay.signal(Signal::TERM);
        assert!(relay.ended().await.success());
        let log = relay.log();
        assert!(expected.is_none_or(|words| log.contains(words) && log.contains("\"events\":100")), "{buffer} {expected:?}:\n{log}");
        assert!(!log.contains(never), "{buffer} {never}:\n{log}");
        if exporter == good {
            assert_lines(&lines_in(&setup.path("out")), &events(1..101));
        }
    }
}

#[tokio::test]
async fn a_target_that_hangs_does_not_keep_the_program_beyond_its_time_and_its_events_stay() {
    let target = Target::start(|_| Answer::Hang).await;
    let hook = format!("  - {{ kind: webhook, name: hook, endpointUrl: \"{}\", flushInterval: 10 }}", target.url("/"));
    let setup = Setup::new().with_head("evaluation: none\nshutdownTimeout: 300ms\n").with_exporters(&hook);
    let relay = Program::start(&setup).await;
    relay.post(&events(1..101)).await;
    until("the target is asked", async || (target.requests() == 1).then_some(())).await;
    relay.stop().await;
    let relay = Program::start(&setup).await;
    assert_eq!(relay.metrics().await.counts("hook").waiting, 100);
    relay.stop().await;
}

#[tokio::test]
async fn the_relay_is_not_ready_while_it_ends_and_a_second_signal_ends_it_at_once() {
    let target = Target::start(|_| Answer::Hang).await;
    let hook = format!("  - {{ kind: webhook, name: hook, endpointUrl: \"{}\", flushInterval: 10 }}", target.url("/"));
    let setup = Setup::new().with_head("evaluation: none\nshutdownTimeout: 1h\n").with_exporters(&hook);
    let mut relay = Program::start(&setup).await;
    relay.post(&events(1..101)).await;
    until("the target is asked", async || (target.requests() == 1).then_some(())).await;
    relay.signal(Signal::TERM);
    let http = client();
    until("it says that it takes no more", async || {
        let answer = http.get(relay.url("/health/ready")).send().await.expect("the port stays open while the relay ends");
        (answer.status() == 503).then_some(())
    })
    .await;
    relay.signal(Signal::TERM);
    // Far less than the hour that it was given.
    let status = relay.ended().await;
    assert!(!status.success(), "{status}");
    let relay = Program::start(&setup).await;
    assert_eq!(relay.metrics().await.counts("hook").waiting, 100, "acknowledged events are still there");
    drop(relay);
}
