//! kill -9 of the real program, again and again, under load.
//!
//! Three exporters watch: `file` writes planned files (a retry replaces them: never twice), a webhook paces itself so that at least 1,000
//! acknowledged events are always under way to it, and `log` streams without plans. After each kill the bookkeeping that was left says
//! what may come twice: the batch that was planned, and what `log` got above its durable cursor.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use flagpost_tests::{Answer, Client, Program, Received, Setup, Target, books, client, event_number, events, lines_in, until};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;

/// Acknowledged events that are on their way at every kill.
const IN_FLIGHT: usize = 1_000;
/// Events per request.
const BATCH: u64 = 50;

/// What clients sent and what was acknowledged.
#[derive(Debug, Default)]
struct Sent {
    next: u64,
    tried: BTreeSet<u64>,
    acked: BTreeSet<u64>,
}

fn load(setup: &Setup, sent: &Arc<Mutex<Sent>>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        let (relay, sent) = (Client::new(setup.port), sent.clone());
        tasks.spawn(async move {
            let http = client();
            loop {
                let first = {
                    let mut sent = sent.lock().unwrap();
                    let first = sent.next;
                    sent.next += BATCH;
                    sent.tried.extend(first..first + BATCH);
                    first
                };
                match relay.try_post(&http, &events(first..first + BATCH)).await {
                    Some(200) => sent.lock().unwrap().acked.extend(first..first + BATCH),
                    None => return,
                    Some(status) => panic!("status {status}"),
                }
            }
        });
    }
    tasks
}

/// How often each event was delivered.
fn counted(numbers: impl IntoIterator<Item = u64>) -> BTreeMap<u64, u64> {
    let mut counts = BTreeMap::new();
    numbers.into_iter().for_each(|number| *counts.entry(number).or_default() += 1);
    counts
}

/// Deliveries beyond the first of each event.
fn repeated(counts: &BTreeMap<u64, u64>) -> u64 {
    counts.values().map(|count| count - 1).sum()
}

/// Deliveries that are not noted when a program is killed: cursors are written 200 ms after they moved. The rest is for a machine that is
/// busy: the thread that writes them gets its turn, and its sync is done.
const NOT_NOTED_MILLIS: u64 = 200 + 1_300;

/// The events that the `log` exporter printed, and when in Unix milliseconds.
fn printed(setup: &Setup) -> Vec<(u64, u64)> {
    let text = std::fs::read(setup.path("relay.log")).unwrap();
    let text = String::from_utf8_lossy(&text);
    let number = |message: &str| message.split_once("] user=\"u-")?.1.split_once('"')?.0.parse().ok();
    // A line that a kill cut short is no JSON: the event in it was not printed.
    let lines = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    lines.filter_map(|line| Some((number(line["msg"].as_str()?)?, (line["ts"].as_f64()? * 1e3) as u64))).collect()
}

fn logged(setup: &Setup) -> Vec<u64> {
    printed(setup).into_iter().map(|(number, _)| number).collect()
}

/// How many events `log` may print again: those that it printed beyond its durable cursor, but no others than those of the last moments.
fn not_noted(setup: &Setup, cursor: u64) -> u64 {
    let printed = printed(setup);
    let beyond = (counted(printed.iter().map(|(number, _)| *number)).len() as u64).saturating_sub(cursor - 1);
    let killed = printed.iter().map(|(_, at)| *at).max().unwrap_or(0);
    let last = printed.iter().filter(|(_, at)| at + NOT_NOTED_MILLIS >= killed).count() as u64;
    beyond.min(last)
}

fn rounds() -> u64 {
    std::env::var("FLAGPOST_KILL_ROUNDS").map_or(30, |text| text.parse().expect("FLAGPOST_KILL_ROUNDS is a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_moment_loses_nothing_that_was_acknowledged() {
    let seed = rand::random();
    let mut random = StdRng::seed_from_u64(seed);
    let sent = Arc::new(Mutex::new(Sent { next: 1, ..Sent::default() }));
    let (open, took) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(BTreeSet::new())));
    // Takes a batch only while enough others are acknowledged and not taken.
    let (gate, taken, known) = (open.clone(), took.clone(), sent.clone());
    let paced = move |received: &Received| {
        // In this order everywhere, or two threads wait for each other.
        let known = known.lock().unwrap();
        let mut taken = taken.lock().unwrap();
        let mut with: BTreeSet<u64> = taken.clone();
        with.extend(received.numbers());
        let waiting = known.acked.difference(&with).count();
        if gate.load(Ordering::SeqCst) || waiting >= IN_FLIGHT {
            *taken = with;
            Answer::Status(200)
        } else {
            Answer::Status(503)
        }
    };
    let target = Target::start(paced).await;
    let exporters = format!(
        "  - {{ kind: file, name: out, outputDir: out, flushInterval: 30, maxEventInMemory: 700 }}
  - {{ kind: webhook, name: hook, endpointUrl: \"{}\", flushInterval: 10, maxEventInMemory: 300, retry: {{ initial: 5ms, max: 10ms }} }}
  - {{ kind: log, name: log }}",
        target.url("/")
    );
    let setup = Setup::new().with_exporters(&exporters);
    let (mut may_repeat, mut may_log_twice) = (0, 0);

    for round in 0..rounds() {
        let relay = Program::start(&setup).await;
        let before = sent.lock().unwrap().acked.len();
        let load = load(&setup, &sent);
        let wanted = IN_FLIGHT + random.random_range(0..2_000);
        let flying = || sent.lock().unwrap().acked.difference(&took.lock().unwrap()).count();
        until("enough is acknowledged", async || (sent.lock().unwrap().acked.len() - before >= wanted).then_some(())).await;
        until("enough is under way", async || (flying() >= IN_FLIGHT).then_some(())).await;
        tokio::time::sleep(std::time::Duration::from_micros(random.random_range(0..30_000))).await;
        relay.kill();
        assert!(flying() >= IN_FLIGHT, "seed {seed}, round {round}");
        load.join_all().await;
        let left = books(&setup);
        for record in left.ledger.consumers() {
            match record.identity.exporter.as_str() {
                "hook" => may_repeat += record.plan.map_or(0, |plan| plan.last + 1 - plan.first),
                // The stream's first event has number 1, and every event above the cursor that was printed may be printed again.
                "log" => may_log_twice += not_noted(&setup, record.cursor),
                _ => {}
            }
        }
    }

    open.store(true, Ordering::SeqCst);
    let relay = Program::start(&setup).await;
    let metrics = relay.drained(&["out", "hook", "log"]).await;
    relay.stop().await;
    let sent = sent.lock().unwrap();
    let file = counted(lines_in(&setup.path("out")).iter().map(|line| event_number(&serde_json::from_str(line).unwrap())));
    for (exporter, delivered, allowed) in
        [("out", file, 0), ("hook", counted(target.taken()), may_repeat), ("log", counted(logged(&setup)), may_log_twice)]
    {
        let lost: Vec<_> = sent.acked.iter().filter(|number| !delivered.contains_key(number)).collect();
        assert!(lost.is_empty(), "seed {seed}: {exporter} lost {lost:?}");
        assert!(delivered.keys().all(|number| sent.tried.contains(number)), "seed {seed}: {exporter} got events that nobody sent");
        let twice = repeated(&delivered);
        assert!(twice <= allowed, "seed {seed}: {exporter} got {twice} events again, and {allowed} could be explained");
        let counts = metrics.counts(exporter);
        assert_eq!((counts.dead, counts.dropped, counts.delivered), (0, 0, delivered.len() as u64), "seed {seed}: {exporter}");
    }
}
