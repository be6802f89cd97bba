//! The program's log, and the exporter that writes there.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};

use flagpost_tests::{Program, Setup, client, events, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_the_log_that_stops_reading_stops_nobody_and_the_log_exporter_loses_nothing() {
    let exporters = "  - { kind: file, name: out, outputDir: out, flushInterval: 20 }\n  - { kind: log, name: lines }";
    let setup = Setup::new().with_head("evaluation: none\nlogLevel: debug\n").with_exporters(exporters);
    let (mut relay, pipe) = Program::spawn_with_pipe(&setup);
    let http = client();
    until("the relay is ready", async || {
        Some(http.get(relay.url("/health/ready")).send().await.ok()?.status() == 200).filter(|ready| *ready)
    })
    .await;
    // Far more than a pipe holds, and nobody reads.
    for batch in events(1..5_001).chunks(500) {
        relay.post(batch).await;
    }
    relay.drained(&["out"]).await;
    assert!(relay.metrics().await.counts("lines").waiting > 0, "the log exporter waits for its reader");
    // What the threads that answer requests log.
    for _ in 0..200 {
        let mut stream = TcpStream::connect(("127.0.0.1", setup.port)).await.unwrap();
        stream.write_all(b"no request\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
    }
    relay.post(&events(5_001..5_011)).await;
    relay.drained(&["out"]).await;
    let reader = std::thread::spawn(move || BufReader::new(pipe).lines().map(Result::unwrap).collect::<Vec<String>>());
    relay.drained(&["lines"]).await;
    relay.signal(rustix::process::Signal::TERM);
    assert!(relay.ended().await.success());
    let lines = reader.join().unwrap();
    let parsed: Vec<serde_json::Value> =
        lines.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect();
    let users = parsed.iter().filter_map(|line| line["msg"].as_str()?.split("user=\"").nth(1)?.split('"').next());
    let users: BTreeSet<&str> = users.collect();
    assert_eq!(users.len(), 5_010, "every event is a line");
}
