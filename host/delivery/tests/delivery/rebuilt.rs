//! A bookkeeping that is lost while events wait: duplicates are allowed, loss is not.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flagpost_delivery::{Delivery, DeliveryOptions, Policy, TaskStatus};
use flagpost_event::{EventKind, StreamName, SystemClock};
use flagpost_exporter::Exporter;
use flagpost_spool::{Bounds, DiskLog, DiskLogOptions, EventLog, Ledger, Part, RealDisk};
use tempfile::TempDir;

use crate::support::{Does, Scripted, identity, retryable, spec};

const EVENTS: u64 = 400;

fn streams() -> [StreamName; 2] {
    EventKind::ALL.map(|kind| StreamName::new("default", kind))
}

struct Life {
    log: Arc<DiskLog>,
    ledger: Ledger,
    delivery: Delivery,
}

impl Life {
    async fn begin(dir: &Path) -> Life {
        let clock = Arc::new(SystemClock);
        let (ledger, _) = Ledger::open(&dir.join("ledger.sqlite"), clock.clone()).unwrap();
        let floors = ledger.consumers().into_iter().map(|consumer| (consumer.stream.clone(), consumer.floor())).collect();
        let options = DiskLogOptions { segment_bytes: 8 << 10, tail_bytes: 100, floors, ..DiskLogOptions::new(dir, 7) };
        let (log, _) = DiskLog::open(options, Arc::new(RealDisk), clock.clone()).unwrap();
        let log = Arc::new(log);
        let held: Vec<(StreamName, Bounds)> = log.streams().into_iter().map(|(id, name)| (name, log.bounds(id))).collect();
        ledger.attach("s1", &held).await.unwrap();
        let options = DeliveryOptions {
            store: "s1".to_owned(),
            clock,
            seed: 7,
            max_bytes: 1 << 30,
            keep_removed: Duration::from_secs(24 * 3600),
            runtime: tokio::runtime::Handle::current(),
        };
        let delivery = Delivery::start(log.clone(), ledger.clone(), options).await.unwrap();
        Life { log, ledger, delivery }
    }

    async fn add(&self, stream: &StreamName, exporter: &Arc<Scripted>) -> Arc<TaskStatus> {
        let mut task = spec(stream.kind.as_str(), exporter, Policy::default());
        task.stream = stream.clone();
        task.exporter = Arc::<Scripted>::clone(exporter) as Arc<dyn Exporter>;
        self.delivery.add(task).await.unwrap()
    }

    async fn end(self) {
        self.delivery.shutdown(Duration::from_secs(5)).await;
        self.log.close().await;
        self.ledger.close().await.unwrap();
    }
}

/// Waits for other threads, as long as it takes.
async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Lets the keeper go round a few times: its clock goes on at once. Whatever it began with the disk holds the registry until it has ended, so that the
/// next exporter comes after it.
async fn several_rounds() {
    tokio::time::pause();
    tokio::time::sleep(Duration::from_millis(700)).await;
    tokio::time::resume();
}

/// What became of the bookkeeping's file between two lives.
fn lose(ledger: &Path, how: &str) {
    match how {
        "deleted" => fs::remove_file(ledger).unwrap(),
        _ => fs::write(ledger, vec![0x5a; 8_192]).unwrap(),
    }
}

#[tokio::test]
async fn a_backlog_survives_the_loss_of_the_bookkeeping_however_late_its_exporters_come() {
    for how in ["deleted", "damaged"] {
        let dir = TempDir::new().unwrap();
        let exporters = streams().map(|_| Arc::new(Scripted::new(false, |_, _| retryable())));
        let life = Life::begin(dir.path()).await;
        for (stream, exporter) in streams().iter().zip(&exporters) {
            life.add(stream, exporter).await;
        }
        for number in 1..=EVENTS {
            for stream in &streams() {
                let lines = Bytes::from(format!("{{\"stream\":\"{stream}\",\"number\":{number},\"pad\":\"{}\"}}\n", "p".repeat(60)));
                life.log.append(vec![Part { stream: life.log.stream(stream), lines, count: 1 }]).await.unwrap();
            }
        }
        let segments = life.log.segments().len();
        assert!(segments > 5, "{segments}");
        life.end().await;
        lose(&dir.path().join("ledger.sqlite"), how);

        let life = Life::begin(dir.path()).await;
        let [first, second] = streams();
        exporters.iter().for_each(|exporter| exporter.rescript(|_, _| Does::Delivers));
        several_rounds().await;
        let one = life.add(&first, &exporters[0]).await;
        until(|| one.waiting_events() == 0).await;
        several_rounds().await;
        let other = life.add(&second, &exporters[1]).await;
        until(|| other.waiting_events() == 0).await;
        for (status, exporter) in [&one, &other].into_iter().zip(&exporters) {
            assert_eq!(
                exporter.delivered().into_keys().collect::<Vec<_>>(),
                (1..=EVENTS).collect::<Vec<_>>(),
                "{how}: {}",
                status.stream()
            );
            assert_eq!((status.accepted(), status.delivered()), (EVENTS, EVENTS), "{how}: {}", status.stream());
        }
        // Once all are known, what is consumed goes.
        life.delivery.retain(&streams().map(|stream| (identity(stream.kind.as_str()), stream))).await.unwrap();
        until(|| life.log.segments().len() <= 2).await;
        life.end().await;
    }
}
