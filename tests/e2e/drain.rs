//! `flagpost drain`: a store is emptied without a door, or it is said what is left.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use flagpost_tests::{
    Answer, Finished, Program, Setup, Target, assert_lines, books, events, flagpost, lines_in, poison, program_path, until,
};
use rustix::process::{Pid, Signal, kill_process};

/// An interval that no test sees the end of.
const NEVER: &str = "flushInterval: 3600000";

/// A relay that was killed with these events waiting for everything in `exporters`.
async fn waiting(exporters: &str, count: u64) -> Setup {
    let setup = Setup::new().with_exporters(exporters);
    let relay = Program::start(&setup).await;
    for batch in events(1..count + 1).chunks(500) {
        relay.post(batch).await;
    }
    relay.kill();
    setup
}

/// Drains to the end, beside whatever else this test serves.
async fn drain(setup: &Setup, arguments: &[&str]) -> Finished {
    let arguments: Vec<String> = ["drain", "--config", "flagpost.yaml"].iter().chain(arguments).map(|text| (*text).to_owned()).collect();
    let mut command = Command::new(program_path());
    command.current_dir(setup.directory()).args(&arguments);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    Finished { status: output.status, text }
}

fn cursors(setup: &Setup) -> Vec<(String, u64)> {
    let consumers = books(setup).ledger.consumers();
    consumers.into_iter().map(|consumer| (consumer.identity.exporter, consumer.cursor)).collect()
}

#[tokio::test]
async fn a_drain_delivers_what_waits_to_everyone_without_waiting_for_full_batches() {
    let exporters = format!("  - {{ kind: file, name: a, outputDir: a, {NEVER} }}\n  - {{ kind: file, name: b, outputDir: b, {NEVER} }}");
    let setup = waiting(&exporters, 1_000).await;
    assert_lines(&lines_in(&setup.path("a")), &[""; 0]);
    let drained = drain(&setup, &[]).await;
    assert_eq!(drained.status.code(), Some(0), "{}", drained.text);
    for exporter in ["a", "b"] {
        assert_lines(&lines_in(&setup.path(exporter)), &events(1..1_001));
        let line = format!("{exporter} (default/feature): 0 waiting, 1000 delivered");
        assert!(drained.text.contains(&line), "no `{line}` in:\n{}", drained.text);
    }
    assert!(cursors(&setup).iter().all(|(_, cursor)| *cursor == 1_001), "{:?}", cursors(&setup));

    let again = drain(&setup, &[]).await;
    assert_eq!(again.status.code(), Some(0), "{}", again.text);
    assert_lines(&lines_in(&setup.path("a")), &events(1..1_001));
    let relay = Program::start(&setup).await;
    assert_eq!(relay.metrics().await.counts("a").waiting, 0);
    relay.stop().await;
}

#[tokio::test]
async fn a_drain_goes_on_through_failures_until_the_destination_is_back() {
    let (good, failures) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (answers, failed) = (good.clone(), failures.clone());
    let target = Target::start(move |_| {
        if answers.load(Ordering::SeqCst) {
            return Answer::Status(200);
        }
        // The destination comes back after a few attempts of the drain.
        if failed.fetch_add(1, Ordering::SeqCst) >= 12 {
            answers.store(true, Ordering::SeqCst);
        }
        Answer::Status(503)
    })
    .await;
    let hook =
        format!("  - {{ kind: webhook, name: hook, endpointUrl: \"{}\", {NEVER}, retry: {{ initial: 5ms, max: 20ms }} }}", target.url("/"));
    let setup = waiting(&hook, 300).await;
    assert_eq!(failures.load(Ordering::SeqCst), 0, "the relay waited for its interval");
    let drained = drain(&setup, &["--timeout", "0"]).await;
    assert_eq!(drained.status.code(), Some(0), "{}", drained.text);
    assert!(drained.text.contains("retrying"), "{}", drained.text);
    assert_eq!(target.taken(), (1..301).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_drain_that_runs_out_of_time_says_what_is_left_and_why_and_keeps_it() {
    let target = Target::start(|_| Answer::Status(503)).await;
    let exporters = format!(
        "  - {{ kind: webhook, name: hook, endpointUrl: \"{}\", {NEVER}, retry: {{ initial: 5ms, max: 20ms }} }}
  - {{ kind: file, name: out, outputDir: out, {NEVER} }}",
        target.url("/")
    );
    let setup = waiting(&exporters, 100).await;
    let drained = drain(&setup, &["--timeout", "500ms"]).await;
    assert_eq!(drained.status.code(), Some(1), "{}", drained.text);
    let line = drained.text.lines().find(|line| line.contains("hook (default/feature): 100 waiting, retrying; last error:"));
    assert!(line.is_some_and(|line| line.contains("503")), "{}", drained.text);
    assert_lines(&lines_in(&setup.path("out")), &events(1..101));
    let relay = Program::start(&setup).await;
    let metrics = relay.metrics().await;
    assert_eq!((metrics.counts("hook").waiting, metrics.counts("out").waiting), (100, 0));
    relay.stop().await;
}

#[tokio::test]
async fn a_signal_ends_a_drain_and_the_events_stay() {
    let target = Target::start(|_| Answer::Status(503)).await;
    let hook =
        format!("  - {{ kind: webhook, name: hook, endpointUrl: \"{}\", {NEVER}, retry: {{ initial: 5ms, max: 20ms }} }}", target.url("/"));
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let setup = waiting(&hook, 100).await;
        let before = target.requests();
        let mut command = Command::new(program_path());
        command.current_dir(setup.directory()).args(["drain", "--config", "flagpost.yaml", "--timeout", "0"]);
        let child: Child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        until("it delivers", async || (target.requests() > before + 1).then_some(())).await;
        kill_process(Pid::from_child(&child), signal).unwrap();
        let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains("hook (default/feature): 100 waiting"), "{text}");
        assert_eq!(cursors(&setup), [("hook".to_owned(), 1)]);
    }
}

#[tokio::test]
async fn a_drain_beside_a_running_relay_says_who_holds_the_store_and_what_to_do() {
    let head = "evaluation: none\nbuffer: { path: store, minFree: 1MiB, lockTimeout: 200ms }\n";
    let setup = Setup::new().with_head(head).with_exporters("  - { kind: file, name: out, outputDir: out }");
    let relay = Program::start(&setup).await;
    let drained = drain(&setup, &[]).await;
    assert_eq!(drained.status.code(), Some(1), "{}", drained.text);
    for words in ["LOCK", "held by a running relay (process ", "stop it first", "lockTimeout"] {
        assert!(drained.text.contains(words), "no `{words}` in:\n{}", drained.text);
    }
    relay.stop().await;
}

#[tokio::test]
async fn a_drain_waits_for_a_relay_that_is_about_to_end() {
    let setup = Setup::new().with_exporters(&format!("  - {{ kind: file, name: out, outputDir: out, {NEVER} }}"));
    let relay = Program::start(&setup).await;
    relay.post(&events(1..101)).await;
    let draining = drain(&setup, &[]);
    let (drained, ()) = tokio::join!(draining, relay.stop());
    assert_eq!(drained.status.code(), Some(0), "{}", drained.text);
    assert_lines(&lines_in(&setup.path("out")), &events(1..101));
}

#[tokio::test]
async fn events_of_an_exporter_that_left_the_configuration_are_named_with_the_fix() {
    let file = format!("  - {{ kind: file, name: out, outputDir: out, {NEVER} }}");
    let gone = format!("  - {{ kind: file, name: gone, outputDir: gone, {NEVER} }}");
    let mut setup = waiting(&format!("{file}\n{gone}"), 100).await;
    setup.set_exporters(&file);
    let drained = drain(&setup, &[]).await;
    assert_eq!(drained.status.code(), Some(1), "{}", drained.text);
    for words in
        ["gone (default/feature): 100 waiting, not in the configuration", "put the exporter `gone`", "flagpost.yaml", "buffer.keepRemoved"]
    {
        assert!(drained.text.contains(words), "no `{words}` in:\n{}", drained.text);
    }
    assert_lines(&lines_in(&setup.path("out")), &events(1..101));

    setup.set_exporters(&format!("{file}\n{gone}"));
    let drained = drain(&setup, &[]).await;
    assert_eq!(drained.status.code(), Some(0), "{}", drained.text);
    assert_lines(&lines_in(&setup.path("gone")), &events(1..101));
}

#[tokio::test]
async fn dead_letters_that_are_to_be_sent_again_are_waited_for_and_said() {
    let down = Arc::new(AtomicBool::new(false));
    let (answers, failures) = (down.clone(), AtomicUsize::new(0));
    let good = Arc::new(AtomicBool::new(false));
    let mended = good.clone();
    let target = Target::start(move |received| match std::str::from_utf8(&received.body).unwrap().contains(r#""variation":"poison""#) {
        true if answers.load(Ordering::SeqCst) => Answer::Status(503),
        true if !mended.load(Ordering::SeqCst) => Answer::Status(400),
        // It comes back after a few attempts of the drain.
        true if failures.fetch_add(1, Ordering::SeqCst) < 3 => Answer::Status(503),
        _ => Answer::Status(200),
    })
    .await;
    let hook = format!(
        "  - {{ kind: webhook, name: hook, endpointUrl: \"{}\", flushInterval: 20, retry: {{ initial: 5ms, max: 20ms }} }}",
        target.url("/")
    );
    let setup = Setup::new().with_exporters(&hook);
    let relay = Program::start(&setup).await;
    let mut all = events(1..101);
    for number in [7, 30, 59] {
        all[number - 1] = poison(number as u64);
    }
    relay.post(&all).await;
    let counts = relay.drained(&["hook"]).await.counts("hook");
    assert_eq!((counts.delivered, counts.dead), (97, 3));
    relay.stop().await;
    let nothing = drain(&setup, &[]).await;
    assert!(nothing.status.success() && nothing.text.contains("3 in the dead letters\n"), "those stay: {}", nothing.text);

    let store = setup.store().display().to_string();
    let marked = flagpost(&setup, &["dead-letters", "replay", "--all", "--limit", "2", "--store", &store]);
    assert!(marked.status.success(), "{}", marked.text);
    down.store(true, Ordering::SeqCst);
    let drained = drain(&setup, &["--timeout", "500ms"]).await;
    assert_eq!(drained.status.code(), Some(1), "{}", drained.text);
    for words in ["3 in the dead letters, 2 of them to be sent again", "0 waiting, 2 dead letters to be sent again, retrying; last error: "]
    {
        assert!(drained.text.contains(words), "no `{words}` in:\n{}", drained.text);
    }

    down.store(false, Ordering::SeqCst);
    good.store(true, Ordering::SeqCst);
    let drained = drain(&setup, &["--timeout", "0"]).await;
    assert_eq!(drained.status.code(), Some(0), "{}", drained.text);
    assert!(drained.text.contains("99 delivered, 1 in the dead letters\n"), "{}", drained.text);
    let mut taken = target.taken();
    taken.sort_unstable();
    assert_eq!(taken, (1..101).filter(|&number| number != 59).collect::<Vec<_>>(), "each once");
}

#[tokio::test]
async fn a_store_that_is_not_there_and_one_in_memory_are_no_success() {
    let setup = Setup::new().with_exporters("  - { kind: file, name: out, outputDir: out }");
    let drained = drain(&setup, &[]).await;
    assert_eq!(drained.status.code(), Some(1), "{}", drained.text);
    assert!(drained.text.contains("there is no store in `store`") && !setup.store().exists(), "{}", drained.text);
    let setup = setup.with_head("evaluation: none\nbuffer: { type: memory }\n");
    let drained = drain(&setup, &[]).await;
    assert_eq!(drained.status.code(), Some(1), "{}", drained.text);
    assert!(drained.text.contains("`buffer.type` is `memory`"), "{}", drained.text);
}

#[test]
fn a_wrong_timeout_is_a_wrong_command_line() {
    let setup = Setup::new();
    let finished = flagpost(&setup, &["drain", "--config", "flagpost.yaml", "--timeout", "soon"]);
    assert_eq!(finished.status.code(), Some(2), "{}", finished.text);
    assert!(finished.text.contains("soon") && finished.text.contains("30s"), "{}", finished.text);
}
