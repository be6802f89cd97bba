//! What a crash can take: coalesced cursors, and nothing else.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// What a kill leaves: the files as they are between two statements, without any of what closing does.
async fn image(ledger: &Ledger, of: &TempDir) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    let (from, to) = (of.path().to_owned(), copy.path().to_owned());
    let copying = ledger.runner.run(move |_| {
        copy_files(&from, &to);
        Ok(())
    });
    copying.await.unwrap();
    copy
}

fn copy_files(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        // The shared-memory index does not survive a power cut, and is rebuilt.
        if !entry.file_name().to_string_lossy().ends_with("-shm") {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Register,
    Advance(u64),
    SavePlan(u64),
    Settle { events: u64, dead: u64, dropped: u64, plan: bool },
    Orphan,
    Stamp,
    Flush,
    Crash,
}

fn step() -> impl Strategy<Value = (usize, Step)> {
    let settle = (0_u64..50, 0_u64..5, 0_u64..5, any::<bool>());
    let step = prop_oneof![
        2 => Just(Step::Register),
        6 => (1_u64..40).prop_map(Step::Advance),
        2 => (1_u64..40).prop_map(Step::SavePlan),
        4 => settle.prop_map(|(events, dead, dropped, plan)| Step::Settle { events, dead, dropped, plan }),
        1 => Just(Step::Orphan),
        1 => Just(Step::Stamp),
        1 => Just(Step::Flush),
        2 => Just(Step::Crash),
    ];
    (0_usize..3, step)
}

/// What must be true of one consumer.
#[derive(Clone, Debug)]
struct Expected {
    record: ConsumerRecord,
    /// The lowest cursor that a crash may leave.
    durable: u64,
    letters: u64,
}

struct Run {
    directory: TempDir,
    ledger: Ledger,
    expected: [Option<Expected>; 3],
    head: u64,
    stamp: u64,
}

impl Run {
    async fn step(&mut self, which: usize, step: &Step) {
        if let Step::Register = step {
            let record = registered(&self.ledger, &format!("e{which}"), self.head).await;
            let new = Expected { durable: record.cursor, letters: 0, record: record.clone() };
            let expected = self.expected[which].get_or_insert(new);
            expected.record.orphaned_since = None;
            assert_eq!(record, expected.record);
            return;
        }
        match step {
            Step::Flush => {
                self.ledger.flush().await.unwrap();
                self.expected.iter_mut().flatten().for_each(|expected| expected.durable = expected.record.cursor);
            }
            Step::Stamp => {
                let stamp = self.ledger.next_timestamp("out", 1).await.unwrap();
                assert!(stamp > self.stamp, "never the same name twice");
                self.stamp = stamp;
            }
            Step::Crash => self.crash().await,
            _ => {}
        }
        let Some(expected) = &mut self.expected[which] else { return };
        let record = &mut expected.record;
        match step {
            Step::Advance(events) => {
                record.cursor += events;
                self.ledger.advance(record.id, record.cursor);
            }
            Step::SavePlan(events) => {
                record.plan = Some(plan(record.cursor, record.cursor + events));
                self.ledger.save_plan(record.id, record.plan.as_ref().unwrap()).await.unwrap();
                expected.durable = record.cursor;
            }
            &Step::Settle { events, dead, dropped, plan: planned } => {
                let (dead, dropped) = (dead.min(events), dropped.min(events.saturating_sub(dead)));
                let letters = (record.cursor..record.cursor + dead).map(letter).collect();
                record.cursor += events;
                record.dead += dead;
                if dropped > 0 {
                    *record.dropped.entry(DropReason::Backlog).or_default() += dropped;
                }
                record.plan = planned.then(|| plan(record.cursor, record.cursor + 5));
                let reasons = (dropped > 0).then_some((DropReason::Backlog, dropped)).into_iter().collect();
                let settlement = Settlement { cursor: record.cursor, dead: letters, dropped: reasons, plan: record.plan.clone() };
                self.ledger.settle(record.id, settlement).await.unwrap();
                (expected.durable, expected.letters) = (record.cursor, expected.letters + dead);
            }
            Step::Orphan => {
                record.orphaned_since.get_or_insert(77);
                self.ledger.orphan(record.id, 77).await.unwrap();
                expected.durable = record.cursor;
            }
            _ => {}
        }
        self.head = self.head.max(expected.record.cursor);
    }

    async fn crash(&mut self) {
        let copy = image(&self.ledger, &self.directory).await;
        self.ledger = open(&copy);
        self.directory = copy;
        for expected in self.expected.iter_mut().flatten() {
            let found = self.ledger.record(expected.record.id).expect("a registered consumer is never lost");
            assert!(expected.durable <= found.cursor && found.cursor <= expected.record.cursor, "{found:?} {expected:?}");
            expected.record.cursor = found.cursor;
            expected.durable = found.cursor;
        }
    }

    async fn check(&self) {
        for Expected { record, letters, .. } in self.expected.iter().flatten() {
            assert_eq!(self.ledger.record(record.id).as_ref(), Some(record));
            let dropped: u64 = record.dropped.values().sum();
            let sum = record.delivered() + (self.head - record.cursor) + record.dead + dropped;
            assert_eq!(sum, self.head - record.start, "accepted = delivered + waiting + dead + dropped");
            assert_eq!(self.ledger.dead_letter_count(record.id).await.unwrap(), *letters);
        }
        let floor = self.ledger.durable_floor().first().map(|(_, floor)| *floor);
        let consumers = self.ledger.consumers();
        let lowest = consumers.iter().map(|record| record.cursor).min();
        assert!(floor <= lowest, "the floor is never above a cursor");
        let durable = self.expected.iter().flatten().map(|expected| expected.durable).min();
        assert!(floor >= durable, "what was settled is durable");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn numbers_add_up_and_a_crash_takes_coalesced_moves_only(steps in proptest::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let ledger = open(&directory);
            let mut run = Run { directory, ledger, expected: [const { None }; 3], head: 1, stamp: 0 };
            for (which, step) in &steps {
                run.step(*which, step).await;
                run.check().await;
            }
        });
    }
}

#[tokio::test]
async fn moved_cursors_become_durable_by_themselves() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(&directory);
    let id = registered(&ledger, "a", 1).await.id;
    ledger.advance(id, 10);
    ledger.advance(id, 11);
    while ledger.durable_floor() != [(stream(), 11)] {
        tokio::task::yield_now().await;
    }
    let copy = image(&ledger, &directory).await;
    assert_eq!(open(&copy).record(id).unwrap().cursor, 11);
}

#[tokio::test]
async fn the_last_handle_writes_what_waits() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(&directory);
    let id = registered(&ledger, "a", 1).await.id;
    ledger.clone().advance(id, 10);
    drop(ledger);
    assert_eq!(open(&directory).record(id).unwrap().cursor, 10);
}

#[tokio::test]
async fn a_closed_bookkeeping_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(&directory);
    let id = registered(&ledger, "a", 1).await.id;
    ledger.advance(id, 10);
    ledger.close().await.unwrap();
    assert_eq!(ledger.durable_floor(), [(stream(), 10)]);
    while !matches!(ledger.flush().await, Err(LedgerError::Closed)) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn in_memory_no_time_passes_on_a_paused_clock() {
    let ledger = Ledger::memory(Arc::new(SystemClock)).unwrap();
    let before = tokio::time::Instant::now();
    let id = registered(&ledger, "a", 1).await.id;
    for cursor in 2..100 {
        ledger.advance(id, cursor);
        ledger.settle(id, Settlement { cursor, ..Settlement::default() }).await.unwrap();
    }
    ledger.flush().await.unwrap();
    assert_eq!(tokio::time::Instant::now(), before);
}
