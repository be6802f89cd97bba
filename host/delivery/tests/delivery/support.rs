//! A store in memory, a clock that is tokio's, and an exporter that does what the test says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use flagpost_delivery::{Delivery, DeliveryOptions, Policy, TaskSpec, TaskStatus};
use flagpost_event::{Clock, EventBatch, EventKind, ObjectPlan, StreamName};
use flagpost_exporter::{ExportError, Exporter, Limits, PlanFacts, Readiness};
use flagpost_spool::{Bounds, EventLog, Identity, Ledger, MemoryLog, Part};
use tokio::sync::watch;
use tokio::time::Instant;

/// Wall time that follows tokio's paused clock.
#[derive(Debug)]
pub(crate) struct TestClock(Instant);

/// An arbitrary moment: 2025-06-01.
const EPOCH: Duration = Duration::from_secs(1_748_736_000);

impl Clock for TestClock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + EPOCH + self.0.elapsed()
    }
}

/// What survives a crash: the log and its bookkeeping.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) ledger: Ledger,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) max_bytes: u64,
    pub(crate) keep_removed: Duration,
    pub(crate) seed: u64,
}

pub(crate) fn stream() -> StreamName {
    StreamName::new("default", EventKind::Feature)
}

impl World {
    pub(crate) fn new() -> World {
        World::over(|clock| Arc::new(MemoryLog::new(u64::MAX / 2, clock)))
    }

    pub(crate) fn over(log: impl FnOnce(Arc<dyn Clock>) -> Arc<dyn EventLog>) -> World {
        // `RUST_LOG=debug cargo test …` shows what delivery says.
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let _others_too = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
        let clock: Arc<dyn Clock> = Arc::new(TestClock(Instant::now()));
        let ledger = Ledger::memory(Arc::clone(&clock)).unwrap();
        let keep_removed = Duration::from_secs(24 * 3600);
        World { log: log(Arc::clone(&clock)), ledger, clock, max_bytes: 4 << 30, keep_removed, seed: 7 }
    }

    /// The same with a bookkeeping that loses what it did not write for 200 ms when it crashes.
    pub(crate) fn lazy(self) -> World {
        World { ledger: Ledger::lazy(Arc::clone(&self.clock)).unwrap(), ..self }
    }

    pub(crate) async fn deliver(&self) -> Delivery {
        let options = DeliveryOptions {
            store: "s1".to_owned(),
            clock: Arc::clone(&self.clock),
            seed: self.seed,
            max_bytes: self.max_bytes,
            keep_removed: self.keep_removed,
            runtime: tokio::runtime::Handle::current(),
        };
        let streams: Vec<(StreamName, Bounds)> = self.log.streams().into_iter().map(|(id, name)| (name, self.log.bounds(id))).collect();
        self.ledger.attach("s1", &streams).await.unwrap();
        Delivery::start(Arc::clone(&self.log), self.ledger.clone(), options).await.unwrap()
    }

    /// Appends `count` events to the stream; each line holds its number.
    pub(crate) async fn append_to(&self, name: &StreamName, count: u64) {
        let stream = self.log.stream(name);
        let first = self.log.bounds(stream).head;
        let lines: String = (first..first + count).map(|number| format!("{{\"stream\":\"{name}\",\"number\":{number}}}\n")).collect();
        let part = Part { stream, lines: Bytes::from(lines), count: u32::try_from(count).unwrap() };
        self.log.append(vec![part]).await.unwrap();
    }

    pub(crate) async fn append(&self, count: u64) {
        self.append_to(&stream(), count).await;
    }

    /// The dead letters of an exporter: number and reason, checked against the events' bytes.
    pub(crate) async fn dead(&self, name: &str) -> BTreeMap<u64, String> {
        let record = self.ledger.consumers().into_iter().find(|record| record.identity.exporter == name).unwrap();
        let letters = self.ledger.dead_letters(record.id, None, 1_000_000).await.unwrap();
        for letter in &letters {
            assert_eq!(number(&letter.event), letter.number, "the letter holds the event itself");
            assert!(letter.attempts > 0 && letter.first_tried > 0 && letter.condemned_at >= letter.first_tried);
        }
        letters.into_iter().map(|letter| (letter.number, letter.reason)).collect()
    }
}

/// The number in a test event's line.
pub(crate) fn number(line: &[u8]) -> u64 {
    let event: serde_json::Value = serde_json::from_slice(line).unwrap();
    event["number"].as_u64().unwrap()
}

pub(crate) fn numbers(batch: &EventBatch) -> Vec<u64> {
    batch.lines().map(number).collect()
}

/// What a scripted exporter does with a batch.
pub(crate) enum Does {
    /// Delivers it.
    Delivers,
    /// Delivers it, after this long.
    DeliversAfter(Duration),
    /// Delivers it, and never comes back.
    DeliversAndHangs,
    /// Fails; a partial failure delivers what it does not name.
    Fails(ExportError),
    /// Fails after [`SLOW`].
    Slow(ExportError),
    /// Never comes back.
    Hangs,
    Panics,
}

/// What a slow failure takes.
pub(crate) const SLOW: Duration = Duration::from_secs(3);

pub(crate) fn retryable() -> Does {
    Does::Fails(ExportError::retryable("503"))
}

pub(crate) fn crashes() -> Does {
    Does::Fails(ExportError::Crashed { reason: "trap".to_owned() })
}

pub(crate) fn rejects() -> Does {
    Does::Fails(ExportError::rejected("400"))
}

/// One call of an exporter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) attempt: u32,
    pub(crate) numbers: Vec<u64>,
    pub(crate) object: Option<ObjectPlan>,
    /// Numbers that it delivered.
    pub(crate) delivered: Vec<u64>,
    pub(crate) at: Instant,
}

type Script = dyn Fn(&EventBatch, usize) -> Does + Send + Sync;

/// An exporter that keeps what it is given and does what a script says.
pub(crate) struct Scripted {
    pub(crate) bulk: bool,
    pub(crate) limits: Limits,
    pub(crate) destination: Option<String>,
    pub(crate) readiness: Option<watch::Receiver<Readiness>>,
    /// How often each call gives way before and after it does something.
    pub(crate) yields: usize,
    script: Mutex<Arc<Script>>,
    calls: Mutex<Vec<Call>>,
    running: Mutex<(usize, usize)>,
    closed: Mutex<usize>,
}

impl Scripted {
    pub(crate) fn new(bulk: bool, script: impl Fn(&EventBatch, usize) -> Does + Send + Sync + 'static) -> Scripted {
        Scripted {
            bulk,
            limits: Limits::default(),
            destination: None,
            readiness: None,
            yields: 0,
            script: Mutex::new(Arc::new(script)),
            calls: Mutex::default(),
            running: Mutex::default(),
            closed: Mutex::default(),
        }
    }

    pub(crate) fn good(bulk: bool) -> Scripted {
        Scripted::new(bulk, |_, _| Does::Delivers)
    }

    pub(crate) fn rescript(&self, script: impl Fn(&EventBatch, usize) -> Does + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Arc::new(script);
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    pub(crate) fn closed(&self) -> usize {
        *self.closed.lock().unwrap()
    }

    /// Most calls that ran at the same time.
    pub(crate) fn most_at_once(&self) -> usize {
        self.running.lock().unwrap().1
    }

    /// How often each event was delivered.
    pub(crate) fn delivered(&self) -> BTreeMap<u64, usize> {
        let mut counts = BTreeMap::new();
        for number in self.calls().into_iter().flat_map(|call| call.delivered) {
            *counts.entry(number).or_default() += 1;
        }
        counts
    }

    /// The events that were delivered; each must have been delivered once.
    pub(crate) fn once(&self) -> BTreeSet<u64> {
        let delivered = self.delivered();
        let twice: Vec<_> = delivered.iter().filter(|(_, count)| **count > 1).take(5).collect();
        assert!(twice.is_empty(), "delivered more than once: {twice:?}");
        delivered.into_keys().collect()
    }
}

/// Counts a call even if it is dropped.
struct Running<'a>(&'a Scripted);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.lock().unwrap().0 -= 1;
    }
}

#[async_trait]
impl Exporter for Scripted {
    fn is_bulk(&self) -> bool {
        self.bulk
    }

    async fn export(&self, batch: &EventBatch) -> Result<(), ExportError> {
        let _running = {
            let mut running = self.running.lock().unwrap();
            running.0 += 1;
            running.1 = running.1.max(running.0);
            Running(self)
        };
        let index = {
            let mut calls = self.calls.lock().unwrap();
            calls.push(Call {
                id: batch.id().to_string(),
                attempt: batch.attempt(),
                numbers: numbers(batch),
                object: batch.object().cloned(),
                delivered: Vec::new(),
                at: Instant::now(),
            });
            calls.len() - 1
        };
        for _ in 0..self.yields {
            tokio::task::yield_now().await;
        }
        let script = self.script.lock().unwrap().clone();
        let does = script(batch, index);
        let deliver = |skip: &dyn Fn(u32) -> bool| {
            let delivered = numbers(batch).into_iter().zip(0..).filter(|(_, index)| !skip(*index)).map(|(number, _)| number);
            self.calls.lock().unwrap()[index].delivered = delivered.collect();
        };
        let outcome = match does {
            Does::Delivers => {
                deliver(&|_| false);
                Ok(())
            }
            Does::DeliversAfter(time) => {
                tokio::time::sleep(time).await;
                deliver(&|_| false);
                Ok(())
            }
            Does::DeliversAndHangs => {
                deliver(&|_| false);
                std::future::pending().await
            }
            Does::Fails(error) => {
                if let ExportError::Partial { retry, rejected, .. } = &error {
                    deliver(&|index| retry.contains(&index) || rejected.iter().any(|event| event.index == index));
                }
                Err(error)
            }
            Does::Slow(error) => {
                tokio::time::sleep(SLOW).await;
                Err(error)
            }
            Does::Hangs => std::future::pending().await,
            Does::Panics => panic!("as the script says"),
        };
        for _ in 0..self.yields {
            tokio::task::yield_now().await;
        }
        outcome
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn readiness(&self) -> Option<watch::Receiver<Readiness>> {
        self.readiness.clone()
    }

    fn destination(&self) -> Option<String> {
        self.destination.clone()
    }

    async fn plan(&self, facts: &PlanFacts<'_>) -> Result<Option<ObjectPlan>, ExportError> {
        Ok(Some(ObjectPlan { name: format!("{}-{}", facts.timestamp, facts.batch), offset: None }))
    }

    async fn close(&self) {
        *self.closed.lock().unwrap() += 1;
    }
}

pub(crate) fn identity(name: &str) -> Identity {
    Identity { flag_set: "default".to_owned(), exporter: name.to_owned() }
}

pub(crate) fn spec(name: &str, exporter: &Arc<Scripted>, policy: Policy) -> TaskSpec {
    let exporter: Arc<dyn Exporter> = Arc::<Scripted>::clone(exporter);
    TaskSpec { identity: identity(name), kind: "scripted".to_owned(), stream: stream(), exporter, policy }
}

/// Batches of at most `max_events`, flushed after a second.
pub(crate) fn batches_of(max_events: usize) -> Policy {
    Policy { max_events, flush_interval: Duration::from_secs(1), ..Policy::default() }
}

/// Lets (paused) time pass until the condition holds; gives up after six hours.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(6 * 3600), "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The sum that no crash may break, from the ledger's own numbers as well as from what an operator sees.
pub(crate) fn assert_conserved(world: &World, statuses: &[Arc<TaskStatus>]) {
    for status in statuses {
        let dropped: u64 = status.dropped().values().sum();
        let sum = status.delivered() + status.waiting_events() + status.dead() + dropped;
        assert_eq!(status.accepted(), sum, "{status:?}");
        let record = world.ledger.consumers().into_iter().find(|record| record.identity == *status.identity());
        let record = record.expect("a task has a record");
        assert_eq!((record.start, record.dead, &record.dropped), (status.numbers().start, status.dead(), &status.dropped()));
        assert!(record.cursor <= status.numbers().cursor);
    }
}
