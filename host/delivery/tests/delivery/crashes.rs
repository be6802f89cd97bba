//! Everything in memory is lost at a random await; the same store is opened again. At least once, and hardly ever twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flagpost_delivery::{Policy, RetryPolicy};
use flagpost_exporter::{ExportError, Limits, RejectedEvent};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::odd_log::{OddLog, Oddities};
use crate::support::*;

/// A random exporter: fails in every way now and then, and always rejects a few guilty events.
fn troubled(seed: u64, guilty: BTreeSet<u64>) -> Arc<Scripted> {
    let mut random = StdRng::seed_from_u64(seed);
    let ordered = random.random_bool(0.6);
    let limits = Limits {
        max_events: if random.random_bool(0.3) { 1 } else { random.random_range(2..40) },
        max_bytes: usize::MAX,
        concurrency: if ordered { 1 } else { random.random_range(1..5) },
        ordered,
    };
    let bulk = random.random_bool(0.5);
    let (yields, destination) = (random.random_range(0..4), random.random_bool(0.3));
    let random = Mutex::new(random);
    let mut exporter = Scripted::new(bulk, move |batch, _| {
        let mut random = random.lock().unwrap();
        let numbers = numbers(batch);
        let bad: Vec<u32> = (0..).zip(&numbers).filter(|(_, number)| guilty.contains(number)).map(|(index, _)| index).collect();
        match random.random_range(0..20) {
            0 => retryable(),
            1 => Does::Fails(ExportError::misconfigured("for a while")),
            2 if numbers.len() > 1 => {
                let retry = (0..numbers.len() as u32).filter(|index| !bad.contains(index) && random.random_bool(0.5)).collect();
                let named = |&index: &u32| RejectedEvent { index, reason: "named".to_owned() };
                Does::Fails(ExportError::Partial { retry, rejected: bad.iter().map(named).collect(), after: None })
            }
            3 => Does::Fails(ExportError::Crashed { reason: "trap".to_owned() }),
            _ if !bad.is_empty() => rejects(),
            4 => Does::DeliversAfter(Duration::from_millis(random.random_range(0..2_000))),
            _ => Does::Delivers,
        }
    });
    exporter.limits = limits;
    exporter.yields = yields;
    exporter.destination = destination.then(|| "dir".to_owned());
    Arc::new(exporter)
}

/// `lazy`: cursors become durable every 200 ms, and a crash loses those that are not.
async fn round(seed: u64, lazy: bool) {
    let mut random = StdRng::seed_from_u64(seed.wrapping_mul(0x51ed_270b));
    let mut world = World::over(|clock| OddLog::over(clock, &Arc::new(Oddities { yields: true, ..Oddities::default() })));
    world.seed = seed;
    if lazy {
        world = world.lazy();
    }
    let ledger = world.ledger.clone();
    let flusher = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            ledger.flush().await.unwrap();
        }
    });
    let mut hidden = 0;
    let total: u64 = 300;
    let guilty: BTreeSet<u64> = (0..random.random_range(0..4)).map(|_| random.random_range(1..=total)).collect();
    let exporter = troubled(seed, guilty.clone());
    let mut kills = 0;
    let mut appended = 0;
    for life in 0.. {
        let delivery = world.deliver().await;
        let retry = RetryPolicy { initial: Duration::from_millis(100), max: Duration::from_secs(5), max_elapsed: None };
        // Other settings in every life.
        let policy = Policy { retry, flush_interval: Duration::from_millis(500), ..batches_of(random.random_range(1..60)) };
        let status = delivery.add(spec("a", &exporter, policy)).await.unwrap();
        if life == 0 {
            assert_eq!(status.accepted(), 0);
        }
        if life >= 12 {
            world.append(total - appended).await;
            until("all is settled", || status.waiting_events() == 0).await;
            assert_eq!(status.accepted(), total);
            assert_conserved(&world, &[Arc::clone(&status)]);
            let dead: BTreeSet<u64> = world.dead("a").await.into_keys().collect();
            assert!(dead.is_superset(&guilty), "seed {seed}: {dead:?} {guilty:?}");
            let delivered: BTreeSet<u64> = exporter.delivered().into_keys().collect();
            assert_eq!((status.delivered() + status.dead(), status.dropped().len()), (total, 0));
            for number in 1..=total {
                assert!(delivered.contains(&number) || dead.contains(&number), "seed {seed}: event {number} is lost");
            }
            assert!(guilty.is_disjoint(&delivered));
            break;
        }
        for _ in 0..random.random_range(1..6) {
            let more = random.random_range(0..20u64).min(total - appended);
            if more > 0 {
                world.append(more).await;
                appended += more;
            }
            if random.random_bool(0.5) {
                tokio::time::sleep(Duration::from_millis(random.random_range(0..2_000))).await;
            }
            for _ in 0..random.random_range(0..40) {
                tokio::task::yield_now().await;
            }
        }
        drop(delivery);
        kills += 1;
        // What was dropped is gone before the next life begins.
        let cursor = || world.ledger.consumers()[0].cursor;
        let before = cursor();
        world.ledger.crash();
        // What was delivered and is not noted comes again.
        hidden += exporter.delivered().keys().filter(|&&number| (cursor()..before).contains(&number)).count();
        until("the worker is gone", || Arc::strong_count(&exporter) == 1).await;
        world.ledger.crash();
    }
    flusher.abort();
    check_ids(seed, &exporter, kills, hidden);
}

/// An id names one set of events for ever, and a set that was delivered comes again only when a kill hid that it was.
fn check_ids(seed: u64, exporter: &Scripted, kills: usize, hidden: usize) {
    let mut sets: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut objects: BTreeMap<String, String> = BTreeMap::new();
    for call in exporter.calls() {
        let known = sets.entry(call.id.clone()).or_insert_with(|| call.numbers.clone());
        assert_eq!(*known, call.numbers, "seed {seed}: {} names two sets", call.id);
        if let Some(object) = call.object {
            let owner = objects.entry(object.name.clone()).or_insert_with(|| call.id.clone());
            assert_eq!(*owner, call.id, "seed {seed}: {} holds two batches", object.name);
        }
    }
    let repeated: usize = exporter.delivered().values().map(|count| count - 1).sum();
    // A kill hides at most the attempts in flight, and what was not noted.
    let in_flight = exporter.limits.concurrency * exporter.limits.max_events.min(60);
    assert!(repeated <= kills * in_flight + hidden, "seed {seed}: {repeated} events delivered again after {kills} kills, {hidden} hidden");
}

#[tokio::test(start_paused = true)]
async fn a_crash_anywhere_loses_nothing_and_repeats_only_what_was_in_flight() {
    let seeds: u64 = std::env::var("FLAGPOST_CRASH_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(300);
    for seed in 0..seeds {
        round(seed, false).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_that_loses_the_cursors_of_200_ms_repeats_those_deliveries_and_no_others() {
    let seeds: u64 = std::env::var("FLAGPOST_CRASH_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(150);
    for seed in 0..seeds {
        round(seed, true).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_noted_is_not_done() {
    for bulk in [true, false] {
        let world = World::new().lazy();
        let exporter = Arc::new(Scripted::good(bulk));
        let delivery = world.deliver().await;
        let status = delivery.add(spec("a", &exporter, batches_of(10))).await.unwrap();
        world.ledger.refuse(true);
        world.append(25).await;
        tokio::time::sleep(Duration::from_secs(600)).await;
        // A streaming exporter plans its first batches too: one of them may have killed the process.
        assert_eq!((exporter.calls().len(), status.delivered()), (0, 0), "the plan is not durable");
        assert!(status.last_error().is_some());
        world.ledger.refuse(false);
        until("all is delivered", || status.waiting_events() == 0).await;
        assert_eq!(exporter.once().len(), 25);
        assert!(exporter.calls().iter().all(|call| call.attempt == 1), "what was not made does not count");
        assert_conserved(&world, &[Arc::clone(&status)]);
        // Delivered while it cannot be noted: shown as waiting, noted later, not sent again.
        exporter.rescript(|_, _| Does::DeliversAfter(Duration::from_secs(5)));
        world.append(10).await;
        until("an attempt runs", || exporter.calls().last().is_some_and(|call| call.numbers.contains(&26))).await;
        world.ledger.refuse(true);
        tokio::time::sleep(Duration::from_secs(600)).await;
        let noted = status.delivered();
        world.ledger.refuse(false);
        until("it is noted", || status.waiting_events() == 0).await;
        assert_eq!((noted, exporter.once().len()), (if bulk { 25 } else { noted }, 35));
        assert_conserved(&world, &[status]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_was_delivered_when_the_process_died_comes_again_with_its_id() {
    for bulk in [true, false] {
        let world = World::new();
        let exporter = Arc::new(Scripted::new(bulk, |_, call| if call == 0 { Does::DeliversAndHangs } else { Does::Delivers }));
        let delivery = world.deliver().await;
        delivery.add(spec("a", &exporter, batches_of(10))).await.unwrap();
        world.append(10).await;
        until("it is delivered", || exporter.delivered().len() == 10).await;
        drop(delivery);
        let delivery = world.deliver().await;
        let status = delivery.add(spec("a", &exporter, batches_of(3))).await.unwrap();
        until("it is noted", || status.waiting_events() == 0).await;
        let calls = exporter.calls();
        assert_eq!((calls.len(), &calls[1].id, calls[1].attempt), (2, &calls[0].id, 2));
        assert_conserved(&world, &[status]);
    }
}
