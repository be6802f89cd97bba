//! Dead letters that are sent again, by the worker that condemned them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use flagpost_delivery::{Delivery, RetryPolicy, StateKind, TaskStatus, Unsent};
use flagpost_exporter::{ExportError, Limits, RejectedEvent};
use flagpost_spool::{DropReason, LetterFilter, LetterId};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::support::*;

/// Refuses these by name and takes the others.
fn refuses(guilty: &[u64]) -> impl Fn(&flagpost_event::EventBatch, usize) -> Does + Send + Sync + 'static {
    let guilty: BTreeSet<u64> = guilty.iter().copied().collect();
    move |batch, _| {
        let named = (0..).zip(numbers(batch)).filter(|(_, number)| guilty.contains(number));
        let rejected: Vec<_> = named.map(|(index, number)| RejectedEvent { index, reason: format!("no {number}") }).collect();
        match (rejected.len(), numbers(batch).len()) {
            (0, _) => Does::Delivers,
            (bad, all) if bad == all => rejects(),
            _ => Does::Fails(ExportError::Partial { retry: Vec::new(), rejected, after: None }),
        }
    }
}

/// All letters of an exporter.
fn all_of(name: &str) -> LetterFilter {
    LetterFilter { exporter: Some(name.to_owned()), ..LetterFilter::default() }
}

async fn ids(world: &World, numbers: &[u64]) -> LetterFilter {
    let letters = world.ledger.letters(&LetterFilter::default(), None, 1_000).await.unwrap();
    let ids: Vec<LetterId> = letters.iter().map(flagpost_spool::Letter::id).filter(|id| numbers.contains(&id.number)).collect();
    assert_eq!(ids.len(), numbers.len());
    LetterFilter { ids, ..LetterFilter::default() }
}

/// A thousand events were delivered but for these, which are dead.
async fn with_dead(world: &World, exporter: &Arc<Scripted>, guilty: &[u64]) -> (Delivery, Arc<TaskStatus>) {
    exporter.rescript(refuses(guilty));
    let delivery = world.deliver().await;
    let status = delivery.add(spec("a", exporter, batches_of(100))).await.unwrap();
    world.append(1_000).await;
    until("all is settled", || status.waiting_events() == 0).await;
    assert_eq!(world.dead("a").await.into_keys().collect::<Vec<_>>(), guilty);
    assert_conserved(world, &[Arc::clone(&status)]);
    (delivery, status)
}

#[tokio::test(start_paused = true)]
async fn exactly_the_chosen_letters_are_sent_again_in_order() {
    for bulk in [true, false] {
        let world = World::new();
        let exporter = Arc::new(Scripted::good(bulk));
        let (delivery, status) = with_dead(&world, &exporter, &[3, 150, 151, 900]).await;
        exporter.rescript(|_, _| Does::Delivers);
        let before = exporter.calls().len();
        let change = delivery.replay_letters(&ids(&world, &[3, 150, 900]).await, None).await.unwrap();
        assert_eq!(change.total(), 3);
        until("they are delivered", || status.replayed() == 3).await;
        let calls = exporter.calls();
        assert_eq!(calls.len(), before + 1, "one batch");
        let Call { id, attempt, numbers, .. } = calls.last().unwrap();
        assert_eq!((numbers.as_slice(), *attempt), (&[3, 150, 900][..], 1));
        assert!(id.starts_with("s1-default.feature-3-900.d"), "{id}");
        assert_eq!(world.dead("a").await.into_keys().collect::<Vec<_>>(), [151]);
        assert_eq!((status.delivered(), status.dead(), status.waiting_events()), (999, 1, 0));
        assert_conserved(&world, &[status]);
        exporter.once();
    }
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_is_refused_again_is_a_dead_letter_again() {
    let world = World::new();
    let exporter = Arc::new(Scripted::good(true));
    let (delivery, status) = with_dead(&world, &exporter, &[3, 150, 151, 900]).await;
    let attempts = |letters: Vec<flagpost_spool::DeadLetter>| {
        letters.into_iter().map(|letter| (letter.number, letter.attempts)).collect::<BTreeMap<_, _>>()
    };
    let record = world.ledger.consumers()[0].id;
    let first = attempts(world.ledger.dead_letters(record, None, 10).await.unwrap());
    // As a whole, whenever 151 is among them.
    exporter
        .rescript(|batch, _| if numbers(batch).contains(&151) { Does::Fails(ExportError::rejected("still not")) } else { Does::Delivers });
    delivery.replay_letters(&all_of("a"), None).await.unwrap();
    until("the others are delivered", || status.replayed() == 3 && status.dead() == 1).await;
    let summary = world.ledger.letter_summaries(&LetterFilter::default()).await.unwrap();
    assert_eq!((summary[0].count, summary[0].marked), (1, 0), "nobody tries it again by himself");
    let dead = world.ledger.dead_letters(record, None, 10).await.unwrap();
    assert_eq!(dead[0].reason, ExportError::rejected("still not").to_string());
    let second = attempts(dead);
    assert!(second[&151] > first[&151], "{second:?} {first:?}");
    assert_conserved(&world, &[Arc::clone(&status)]);
    let calls = exporter.calls().len();
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(exporter.calls().len(), calls);
    // And by name.
    exporter.rescript(refuses(&[]));
    delivery.replay_letters(&all_of("a"), None).await.unwrap();
    until("it is delivered", || status.replayed() == 4).await;
    assert_eq!((status.delivered(), status.dead()), (1_000, 0));
    exporter.once();
}

#[tokio::test(start_paused = true)]
async fn names_in_a_partial_failure_hold_for_letters_too() {
    let world = World::new();
    let exporter = Arc::new(Scripted::good(false));
    let (delivery, status) = with_dead(&world, &exporter, &[3, 150, 151, 900]).await;
    let before = exporter.calls().len();
    exporter.rescript(|batch, _| match numbers(batch).as_slice() {
        [3, 150, 151, 900] => {
            let rejected = vec![RejectedEvent { index: 3, reason: "never".to_owned() }];
            Does::Fails(ExportError::Partial { retry: vec![1], rejected, after: None })
        }
        _ => Does::Delivers,
    });
    delivery.replay_letters(&all_of("a"), None).await.unwrap();
    until("the others are delivered", || status.replayed() == 3).await;
    let calls = exporter.calls();
    assert_eq!(calls[before..].iter().map(|call| call.numbers.clone()).collect::<Vec<_>>(), [vec![3, 150, 151, 900], vec![150]]);
    assert_ne!(calls[before].id, calls[before + 1].id, "another set has another id");
    assert_eq!(world.dead("a").await.into_iter().collect::<Vec<_>>(), [(900, "never".to_owned())]);
    assert_conserved(&world, &[status]);
}

#[tokio::test(start_paused = true)]
async fn letters_and_the_stream_take_turns_and_an_ordered_exporter_gets_one_at_a_time() {
    let world = World::new();
    let exporter = Arc::new(Scripted::good(false));
    let guilty: Vec<u64> = (1..=8).map(|number| number * 100).collect();
    let (delivery, status) = with_dead(&world, &exporter, &guilty).await;
    let before = exporter.calls().len();
    exporter.rescript(|_, _| Does::DeliversAfter(Duration::from_millis(100)));
    let limits = Limits { max_events: 2, concurrency: 4, ordered: true, ..Limits::default() };
    let mut next = Scripted::new(false, |_, _| Does::DeliversAfter(Duration::from_millis(100)));
    next.limits = limits;
    let next = Arc::new(next);
    let status = {
        drop(status);
        delivery.add(spec("a", &next, batches_of(2))).await.unwrap()
    };
    world.append(20).await;
    delivery.replay_letters(&all_of("a"), None).await.unwrap();
    until("all is delivered", || status.waiting_events() == 0 && status.replayed() == 8).await;
    assert_eq!(exporter.calls().len(), before);
    assert_eq!(next.most_at_once(), 1);
    let calls = next.calls();
    let letters: Vec<usize> = (0..calls.len()).filter(|&index| calls[index].id.contains(".d")).collect();
    assert_eq!(letters.len(), 4);
    assert!(letters.windows(2).all(|pair| pair[1] == pair[0] + 2), "by turns: {letters:?}");
    assert_conserved(&world, &[status]);
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_is_down_gets_the_same_batch_with_the_same_object_again() {
    let world = World::new();
    let mut exporter = Scripted::good(true);
    exporter.destination = Some("dir".to_owned());
    let exporter = Arc::new(exporter);
    let (delivery, status) = with_dead(&world, &exporter, &[3, 150]).await;
    let before = exporter.calls().len();
    exporter.rescript(move |_, index| if index < before + 4 { retryable() } else { Does::Delivers });
    delivery.replay_letters(&all_of("a"), None).await.unwrap();
    until("they are delivered", || status.replayed() == 2).await;
    let calls = &exporter.calls()[before..];
    assert_eq!(calls.iter().map(|call| call.attempt).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert!(calls.iter().all(|call| (&call.id, &call.object) == (&calls[0].id, &calls[0].object)), "{calls:?}");
    assert!(calls[0].object.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_is_never_answered_well_does_not_hold_up_the_stream() {
    let world = World::new();
    let exporter = Arc::new(Scripted::good(false));
    let (delivery, status) = with_dead(&world, &exporter, &[3]).await;
    exporter.rescript(|batch, _| if numbers(batch).contains(&3) { retryable() } else { Does::Delivers });
    delivery.replay_letters(&all_of("a"), None).await.unwrap();
    until("it is tried", || status.last_error().is_some_and(|error| error.text.contains("503"))).await;
    for _ in 0..20 {
        world.append(10).await;
        until("the stream goes on", || status.waiting_events() == 0).await;
    }
    assert_eq!((status.dead(), status.replayed()), (1, 0));
    exporter.rescript(|_, _| Does::Delivers);
    until("it is still to be sent", || status.replayed() == 1).await;
    assert_conserved(&world, &[status]);
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_ends_the_program_is_refused_the_third_time() {
    let world = World::new();
    let exporter = Arc::new(Scripted::good(true));
    let (delivery, _) = with_dead(&world, &exporter, &[3, 150]).await;
    exporter.rescript(|batch, _| if numbers(batch).contains(&150) { Does::Hangs } else { Does::Delivers });
    delivery.replay_letters(&all_of("a"), None).await.unwrap();
    drop(delivery);
    let mut lives = 0;
    loop {
        let delivery = world.deliver().await;
        let status = delivery.add(spec("a", &exporter, batches_of(100))).await.unwrap();
        let calls = exporter.calls().len();
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_conserved(&world, &[Arc::clone(&status)]);
        if exporter.calls().len() == calls {
            assert_eq!((status.replayed(), status.dead()), (1, 1));
            break;
        }
        lives += 1;
        assert!(lives < 12, "it is never given up");
    }
    let dead = world.dead("a").await;
    assert!(dead[&150].contains("the program ended"), "{dead:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_marked_while_the_exporter_is_gone_is_sent_when_it_is_back() {
    let world = World::new();
    let exporter = Arc::new(Scripted::good(true));
    let (delivery, status) = with_dead(&world, &exporter, &[3, 150]).await;
    exporter.rescript(|_, _| Does::Delivers);
    delivery.retain(&[]).await.unwrap();
    assert_eq!(delivery.replay_letters(&all_of("a"), None).await.unwrap().total(), 2);
    assert_eq!(status.dead(), 2);
    let status = delivery.add(spec("a", &exporter, batches_of(100))).await.unwrap();
    until("they are delivered", || status.replayed() == 2).await;
    assert_conserved(&world, &[status]);
}

#[tokio::test(start_paused = true)]
async fn dropped_letters_are_counted_and_never_sent() {
    let world = World::new();
    let exporter = Arc::new(Scripted::good(true));
    let (delivery, status) = with_dead(&world, &exporter, &[3, 150, 151]).await;
    exporter.rescript(|_, _| Does::Delivers);
    assert_eq!(delivery.drop_letters(&ids(&world, &[150]).await, None).await.unwrap().total(), 1);
    assert_eq!((status.dead(), status.dropped()), (2, BTreeMap::from([(DropReason::DeadLetter, 1)])));
    assert_conserved(&world, &[Arc::clone(&status)]);
    delivery.replay_letters(&all_of("a"), None).await.unwrap();
    until("the others are delivered", || status.replayed() == 2).await;
    assert_eq!((status.dead(), status.delivered()), (0, 999));
    assert!(!exporter.once().contains(&150));
    assert_conserved(&world, &[status]);
}

#[tokio::test(start_paused = true)]
async fn one_bad_letter_among_many_costs_few_attempts_and_a_sick_exporter_loses_nothing() {
    let world = World::new();
    let exporter = Arc::new(Scripted::good(true));
    let guilty: Vec<u64> = (1..=10).map(|number| number * 70).collect();
    let (delivery, status) = with_dead(&world, &exporter, &guilty).await;
    exporter.rescript(|_, _| rejects());
    let before = exporter.calls().len();
    delivery.replay_letters(&all_of("a"), None).await.unwrap();
    until("all were refused", || exporter.calls().len() > before).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!((status.dead(), status.replayed()), (10, 0));
    assert!(exporter.calls().len() - before < 16, "halved, then one by one: {}", exporter.calls().len() - before);
    assert_conserved(&world, &[Arc::clone(&status)]);
    exporter.rescript(|batch, _| if numbers(batch).contains(&350) { rejects() } else { Does::Delivers });
    delivery.replay_letters(&all_of("a"), None).await.unwrap();
    until("the others are delivered", || status.replayed() == 9).await;
}

#[tokio::test(start_paused = true)]
async fn marked_letters_are_work_that_waits_until_each_is_delivered_or_refused() {
    let world = World::new();
    let exporter = Arc::new(Scripted::good(true));
    let (delivery, status) = with_dead(&world, &exporter, &[3, 150, 151, 900]).await;
    assert_eq!(status.marked_letters(), 0);
    exporter.rescript(|_, _| retryable());
    let chosen = ids(&world, &[3, 150, 900]).await;
    delivery.replay_letters(&chosen, None).await.unwrap();
    delivery.replay_letters(&chosen, None).await.unwrap();
    assert_eq!((status.marked_letters(), status.dead(), status.waiting_events()), (3, 4, 0), "marked once, however often that is said");
    exporter.rescript(refuses(&[150]));
    until("nothing is marked any more", || status.marked_letters() == 0).await;
    assert_eq!((status.replayed(), status.dead()), (2, 2));
    delivery.replay_letters(&all_of("a"), None).await.unwrap();
    delivery.drop_letters(&ids(&world, &[151]).await, None).await.unwrap();
    until("nothing is marked any more", || status.marked_letters() == 0).await;
    drop((delivery, status));
    world.ledger.mark_letters(&LetterFilter::default(), None).await.unwrap();
    exporter.rescript(|_, _| retryable());
    let delivery = world.deliver().await;
    let status = delivery.add(spec("a", &exporter, batches_of(100))).await.unwrap();
    assert_eq!(status.marked_letters(), status.dead(), "also those of an earlier start");
}

#[tokio::test(start_paused = true)]
async fn a_mark_that_is_taken_back_is_no_work_any_more_though_its_destination_is_down() {
    for ordered in [true, false] {
        let world = World::new();
        let mut exporter = Scripted::good(true);
        exporter.limits = Limits { ordered, ..Limits::default() };
        let exporter = Arc::new(exporter);
        let (delivery, status) = with_dead(&world, &exporter, &[3, 150, 151, 900]).await;
        exporter.rescript(|_, _| retryable());
        delivery.replay_letters(&all_of("a"), None).await.unwrap();
        until("it fails", || status.state().kind == StateKind::Retrying).await;
        let change = delivery.cancel_replay(&ids(&world, &[3, 900]).await, None).await.unwrap();
        assert_eq!((change.total(), change.sending), (2, 2));
        let before = exporter.calls().len();
        until("the others are tried alone", || exporter.calls()[before..].iter().any(|call| call.numbers == [150, 151])).await;
        assert_eq!(status.marked_letters(), 2);
        assert_eq!(delivery.cancel_replay(&all_of("a"), Some(1)).await.unwrap().total(), 1, "a limit counts those that are marked");
        assert_eq!(delivery.cancel_replay(&all_of("a"), None).await.unwrap().total(), 1);
        until("there is nothing to do", || status.state().kind == StateKind::Running).await;
        let calls = exporter.calls().len();
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        assert_eq!((exporter.calls().len(), status.marked_letters(), status.dead(), status.replayed()), (calls, 0, 4, 0));
        // They are as they were: dropped, or sent again.
        assert_eq!(
            delivery.drop_letters(&ids(&world, &[3]).await, None).await.unwrap(),
            flagpost_spool::LetterChange { changed: BTreeMap::from([(world.ledger.consumers()[0].id, 1)]), ..Default::default() }
        );
        exporter.rescript(|_, _| Does::Delivers);
        delivery.replay_letters(&all_of("a"), None).await.unwrap();
        until("the others are delivered", || status.replayed() == 3).await;
        assert_conserved(&world, &[status]);
        exporter.once();
    }
}

#[tokio::test(start_paused = true)]
async fn letters_that_were_set_aside_trouble_nobody_once_their_marks_are_taken_back() {
    let world = World::new();
    let exporter = Arc::new(Scripted::good(true));
    let (delivery, status) = with_dead(&world, &exporter, &[3, 150]).await;
    exporter.rescript(|_, _| retryable());
    let before = exporter.calls().len();
    delivery.replay_letters(&all_of("a"), None).await.unwrap();
    until("they were set aside", || exporter.calls().len() >= before + 10).await;
    assert_eq!(status.state().kind, StateKind::Retrying);
    assert_eq!(delivery.cancel_replay(&all_of("a"), None).await.unwrap().total(), 2);
    until("there is nothing to do", || status.state().kind == StateKind::Running).await;
    assert_eq!((status.marked_letters(), status.dead()), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn what_an_attempt_delivers_while_its_mark_is_taken_back_is_delivered() {
    for taken in [true, false] {
        let world = World::new();
        let exporter = Arc::new(Scripted::good(false));
        let (delivery, status) = with_dead(&world, &exporter, &[3, 150]).await;
        let before = exporter.calls().len();
        exporter.rescript(
            move |_, _| if taken { Does::DeliversAfter(Duration::from_secs(3)) } else { Does::Slow(ExportError::retryable("503")) },
        );
        delivery.replay_letters(&all_of("a"), None).await.unwrap();
        until("an attempt runs", || exporter.calls().len() > before).await;
        assert_eq!(delivery.cancel_replay(&all_of("a"), None).await.unwrap().sending, 2);
        tokio::time::sleep(Duration::from_secs(600)).await;
        let delivered = if taken { 2 } else { 0 };
        assert_eq!((status.replayed(), status.dead(), status.marked_letters()), (delivered, 2 - delivered, 0));
        assert_eq!((exporter.calls().len(), status.state().kind), (before + 1, StateKind::Running));
        assert_conserved(&world, &[status]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_sends_marked_letters_like_events_until_something_fails() {
    let world = World::new();
    let mut exporter = Scripted::good(true);
    exporter.limits = Limits { max_events: 2, ..Limits::default() };
    let exporter = Arc::new(exporter);
    let (delivery, status) = with_dead(&world, &exporter, &[3, 150, 151, 300, 900]).await;
    // What waits for a pause, and what was not begun.
    exporter.rescript(|_, _| retryable());
    delivery.replay_letters(&all_of("a"), None).await.unwrap();
    until("it fails", || status.state().kind == StateKind::Retrying).await;
    let before = exporter.calls().len();
    exporter.rescript(|batch, _| if numbers(batch).contains(&300) { retryable() } else { Does::Delivers });
    let begin = tokio::time::Instant::now();
    let report = delivery.shutdown(Duration::from_secs(5)).await;
    assert!(begin.elapsed() < Duration::from_secs(5) && report.in_time, "{:?}", begin.elapsed());
    assert_eq!(report.unsent, [Unsent { identity: identity("a"), stream: stream(), events: 0, letters: 3 }]);
    let sent: Vec<_> = exporter.calls()[before..].iter().map(|call| call.numbers.clone()).collect();
    assert_eq!(sent, [vec![3, 150], vec![151, 300]], "what fails is not tried again");
    drop(delivery);
    exporter.rescript(|_, _| Does::Delivers);
    let delivery = world.deliver().await;
    let status = delivery.add(spec("a", &exporter, batches_of(100))).await.unwrap();
    delivery.replay_letters(&all_of("a"), None).await.unwrap();
    assert_eq!(delivery.shutdown(Duration::from_secs(5)).await.unsent, []);
    assert_eq!((status.dead(), status.replayed()), (0, 5));
    assert_conserved(&world, &[status]);
}

#[tokio::test(start_paused = true)]
async fn a_new_order_begins_with_large_batches_whatever_was_refused_before() {
    let world = World::new();
    let exporter = Arc::new(Scripted::good(true));
    let guilty: Vec<u64> = (1..=10).map(|number| number * 70).collect();
    let (delivery, status) = with_dead(&world, &exporter, &guilty).await;
    exporter.rescript(|_, _| rejects());
    delivery.replay_letters(&all_of("a"), None).await.unwrap();
    until("all were refused", || status.marked_letters() == 0).await;
    exporter.rescript(|_, _| Does::Delivers);
    let before = exporter.calls().len();
    delivery.replay_letters(&all_of("a"), None).await.unwrap();
    until("they are delivered", || status.replayed() == 10).await;
    assert_eq!(exporter.calls()[before..].iter().map(|call| call.numbers.len()).collect::<Vec<_>>(), [10]);
}

/// Everything in memory is lost at a random await while letters are sent: each is delivered, and twice only if it was under way.
#[tokio::test(start_paused = true)]
async fn no_letter_is_lost_wherever_the_program_ends() {
    for seed in 0..24 {
        let mut random = StdRng::seed_from_u64(seed);
        let world = World::new();
        let world = if seed % 2 == 0 { world.lazy() } else { world };
        let mut exporter = Scripted::good(random.random_bool(0.5));
        exporter.yields = 2;
        exporter.limits = Limits { max_events: 3, concurrency: 3, ordered: random.random_bool(0.5), ..Limits::default() };
        exporter.destination = random.random_bool(0.5).then(|| "dir".to_owned());
        let exporter = Arc::new(exporter);
        let guilty: Vec<u64> = (1..=10).map(|number| number * 90).collect();
        let (delivery, _) = with_dead(&world, &exporter, &guilty).await;
        delivery.shutdown(Duration::from_secs(5)).await;
        let before = exporter.calls().len();
        let dice = std::sync::Mutex::new(StdRng::seed_from_u64(!seed));
        exporter.rescript(move |_, _| match dice.lock().unwrap().random_range(0..8) {
            0 => retryable(),
            1 => Does::DeliversAfter(Duration::from_millis(30)),
            _ => Does::Delivers,
        });
        world.ledger.mark_letters(&LetterFilter::default(), None).await.unwrap();
        let (mut kills, mut appended) = (0, 0);
        loop {
            let delivery = world.deliver().await;
            let retry = RetryPolicy { initial: Duration::from_millis(50), max: Duration::from_secs(1), max_elapsed: None };
            let policy = flagpost_delivery::Policy { retry, ..batches_of(3) };
            let status = delivery.add(spec("a", &exporter, policy)).await.unwrap();
            assert_conserved(&world, &[Arc::clone(&status)]);
            if kills >= 12 {
                until("all is delivered", || status.waiting_events() == 0 && status.dead() == 0).await;
                assert_eq!((status.replayed(), status.delivered()), (10, 1_000 + appended), "seed {seed}");
                assert_conserved(&world, &[status]);
                break;
            }
            world.append(2).await;
            appended += 2;
            for _ in 0..random.random_range(0..30) {
                tokio::task::yield_now().await;
            }
            if random.random_bool(0.3) {
                tokio::time::sleep(Duration::from_millis(random.random_range(0..60))).await;
            }
            drop(delivery);
            kills += 1;
        }
        let calls = &exporter.calls()[before..];
        let times: BTreeMap<u64, usize> = calls.iter().flat_map(|call| &call.delivered).fold(BTreeMap::new(), |mut times, &number| {
            *times.entry(number).or_default() += 1;
            times
        });
        assert!(guilty.iter().all(|number| times[number] >= 1), "seed {seed}: {times:?}");
        let twice: usize = guilty.iter().map(|number| times[number] - 1).sum();
        assert!(twice <= 3 * kills, "seed {seed}: at most the batch under way: {twice} after {kills}");
    }
}
