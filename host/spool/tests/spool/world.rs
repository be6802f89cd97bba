//! A log on a simulated disk, with someone who uses it at random.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use flagpost_event::{Clock, EventKind, StreamName};
use flagpost_spool::testing::SimDisk;
use flagpost_spool::{DiskLog, DiskLogOptions, EventLog, OpenError, OpenReport, Part};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::oracle::Oracle;

pub(crate) const DIR: &str = "/store";
const STREAMS: usize = 3;

/// A clock that stands still.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noon;

impl Clock for Noon {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000)
    }
}

pub(crate) fn stream_name(index: usize) -> StreamName {
    StreamName::new(["default", "acme", "default"][index], EventKind::ALL[index / 2])
}

pub(crate) fn part(log: &dyn EventLog, stream: usize, lines: &[String]) -> Part {
    Part { stream: log.stream(&stream_name(stream)), lines: Bytes::from(lines.concat()), count: u32::try_from(lines.len()).unwrap() }
}

pub(crate) fn open(disk: &SimDisk, segment_bytes: u64) -> Result<(DiskLog, OpenReport), OpenError> {
    let options = DiskLogOptions { segment_bytes, tail_bytes: 4 << 10, ..DiskLogOptions::new(Path::new(DIR), 99) };
    DiskLog::open(options, Arc::new(disk.clone()), Arc::new(Noon))
}

/// Someone who appends, reads and trims at random, and remembers everything.
#[derive(Debug)]
pub(crate) struct User {
    pub(crate) oracle: Oracle,
    pub(crate) random: StdRng,
}

impl User {
    pub(crate) fn new(seed: u64) -> User {
        User { oracle: Oracle::default(), random: StdRng::seed_from_u64(seed) }
    }

    /// Some requests at once; returns how many failed.
    pub(crate) async fn append(&mut self, log: &DiskLog) -> usize {
        let mut requests = Vec::new();
        for _ in 0..self.random.random_range(1..5) {
            let mut of_request = Vec::new();
            for stream in 0..STREAMS {
                if self.random.random_bool(0.5) {
                    let count = if self.random.random_bool(0.005) { 1_100 } else { self.random.random_range(1..12) };
                    of_request.push((stream, self.oracle.submit(stream, count)));
                }
            }
            requests.push(of_request);
        }
        let appends = requests.iter().map(|of_request| {
            let parts = of_request.iter().map(|(stream, lines)| part(log, *stream, lines));
            log.append(parts.collect())
        });
        let mut failed = 0;
        for (answer, of_request) in join_all(appends.collect()).await.into_iter().zip(&requests) {
            match answer {
                Ok(()) => of_request.iter().for_each(|(stream, lines)| self.oracle.promise(*stream, lines)),
                Err(_) => failed += 1,
            }
        }
        failed
    }

    /// Gives up some events of some streams; the oracle looks at them before. Nothing when they cannot be read.
    pub(crate) async fn trim(&mut self, log: &DiskLog) {
        match self.oracle.check(log, &[]).await {
            Err(error) if error.contains("ReadError") => return,
            answer => answer.unwrap(),
        }
        let mut keep = Vec::new();
        for stream in 0..STREAMS {
            let id = log.stream(&stream_name(stream));
            let bounds = log.bounds(id);
            if self.random.random_bool(0.7) {
                let from = if self.random.random_bool(0.3) { bounds.head } else { self.random.random_range(bounds.oldest..=bounds.head) };
                self.oracle.gave_up(stream, from);
                keep.push((id, from));
            }
        }
        log.trim(&keep).await;
    }
}

/// Polls all at once; all answers in order.
async fn join_all<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut pending: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut waiting = false;
        for (future, answer) in &mut pending {
            if answer.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(ready) => *answer = Some(ready),
                    std::task::Poll::Pending => waiting = true,
                }
            }
        }
        if waiting { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    pending.into_iter().filter_map(|(_, answer)| answer).collect()
}

/// Runs on a thread of its own kind: tests are seeded, the runtime adds as little chance as possible.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
