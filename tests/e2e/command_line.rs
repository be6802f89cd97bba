//! The commands beside the relay itself.

use std::fs;

use flagpost_tests::{Answer, Program, Setup, Target, events, flagpost};

#[tokio::test]
async fn validate_reports_all_problems_at_once_with_line_and_suggestion() {
    let setup = Setup::new();
    let text = "server: { port: 99999 }
evaluation: none
bufer: { path: store }
exporters:
  - kind: fiel
    outputDir: out
  - kind: webhook
    name: hook
  - kind: file
    outputDir: out
    flushInterval: soon
    maxEventInMemroy: 5
";
    fs::write(setup.config(), text).unwrap();
    let finished = flagpost(&setup, &["validate", "--config", "flagpost.yaml"]);
    assert_eq!(finished.status.code(), Some(1), "{}", finished.text);
    for words in ["port", "buffer", "fiel", "file", "endpointUrl", "flushInterval", "maxEventInMemory"] {
        assert!(finished.text.contains(words), "`{words}` is not in:\n{}", finished.text);
    }
    let mut relay = Program::spawn(&setup);
    let status = relay.ended().await;
    assert_eq!(status.code(), Some(1), "the relay does not start with it");
    assert!(relay.log().contains("maxEventInMemory"), "{}", relay.log());
}

#[tokio::test]
async fn validate_takes_a_good_file() {
    let setup = Setup::new().with_exporters("  - { kind: file, name: out, outputDir: out }");
    let finished = flagpost(&setup, &["validate", "--config", "flagpost.yaml"]);
    assert!(finished.status.success(), "{}", finished.text);
}

#[tokio::test]
async fn neither_upstream_nor_evaluation_none_is_an_error_that_names_both() {
    let setup = Setup::new().with_head("retrievers: [ { kind: file, path: flags.yaml } ]\n").with_exporters("  - { kind: log }");
    let mut relay = Program::spawn(&setup);
    assert!(!relay.ended().await.success());
    let log = relay.log();
    assert!(log.contains("upstream") && log.contains("evaluation: none"), "{log}");
}

/// A store whose events wait, with one byte changed in the middle of its largest segment.
async fn damaged_store() -> Setup {
    let target = Target::start(|_| Answer::Status(503)).await;
    let hook = format!("  - {{ kind: webhook, name: hook, endpointUrl: \"{}\" }}", target.url("/"));
    let setup = Setup::new().with_exporters(&hook);
    let relay = Program::start(&setup).await;
    for batch in events(1..10_001).chunks(500) {
        relay.post(batch).await;
    }
    relay.kill();
    let segment = fs::read_dir(setup.store())
        .unwrap()
        .flat_map(|entry| walk(entry.unwrap().path()))
        .find(|path| fs::read(path).unwrap().windows(8).any(|window| window == b"\"u-5000\""))
        .expect("the events are stored as they were sent");
    let mut bytes = fs::read(&segment).unwrap();
    let at = bytes.windows(8).position(|window| window == b"\"u-5000\"").unwrap();
    bytes[at + 3] = b'6';
    fs::write(segment, bytes).unwrap();
    setup
}

fn walk(path: std::path::PathBuf) -> Vec<std::path::PathBuf> {
    if !path.is_dir() {
        return vec![path];
    }
    fs::read_dir(path).unwrap().flat_map(|entry| walk(entry.unwrap().path())).collect()
}

#[tokio::test]
async fn spool_check_finds_the_damage_and_spool_export_gives_the_rest() {
    let setup = damaged_store().await;
    let check = flagpost(&setup, &["spool", "check", "store"]);
    assert!(!check.status.success(), "damage is no success:\n{}", check.text);
    assert!(check.text.contains("default/feature"), "{}", check.text);
    let export = flagpost(&setup, &["spool", "export", "store"]);
    let lines: Vec<&str> = export.text.lines().filter(|line| line.starts_with("{\"kind\":\"feature\"")).collect();
    let expected = events(1..10_001);
    assert!(lines.len() >= 9_000 && lines.len() < 10_000, "{} lines", lines.len());
    assert!(lines.iter().all(|line| expected.iter().any(|event| event == line)), "nothing invented");
}

#[tokio::test]
async fn a_damaged_block_is_counted_and_everything_else_is_delivered() {
    let setup = damaged_store().await;
    let mut setup = setup;
    let target = Target::good().await;
    setup.set_exporters(&format!("  - {{ kind: webhook, name: hook, endpointUrl: \"{}\", flushInterval: 20 }}", target.url("/")));
    // Another address would be another exporter, were it not for its name.
    let relay = Program::start(&setup).await;
    let metrics = relay.drained(&["hook"]).await;
    let counts = metrics.counts("hook");
    assert!(counts.dropped >= 1 && counts.dropped <= 1_000, "{counts:?}");
    assert_eq!(metrics.sum("flagpost_exporter_dropped_total", &[("reason", "damaged")]) as u64, counts.dropped);
    assert_eq!(target.taken().len() as u64, 10_000 - counts.dropped);
    assert!(!target.taken().contains(&5_000));
    relay.stop().await;
}

#[tokio::test]
async fn a_second_relay_on_the_same_store_ends_and_names_the_first() {
    let head = "evaluation: none\nbuffer: { path: store, minFree: 1MiB, lockTimeout: 200ms }\n";
    let setup = Setup::new().with_head(head).with_exporters("  - { kind: file, name: out, outputDir: out }");
    let relay = Program::start(&setup).await;
    let finished = flagpost(&setup, &["--config", "flagpost.yaml"]);
    assert!(!finished.status.success());
    assert!(finished.text.contains("LOCK") && finished.text.contains(&relay.pid().to_string()), "{}", finished.text);
    relay.stop().await;
}
