//! A log in memory that can be told to misbehave.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use flagpost_event::{Clock, StreamName};
use flagpost_spool::{
    AppendError, Bounds, EventLog, Follower, MemoryLog, Part, Pressure, Read, ReadError, ReadLimit, SegmentInfo, StreamId,
};

/// What it does, to be changed while it is used.
#[derive(Debug, Default)]
pub(crate) struct Oddities {
    /// Reads and trims give way, so that a crash can happen there.
    pub(crate) yields: bool,
    /// These events are damaged.
    pub(crate) damaged: Range<u64>,
    /// Reads fail.
    pub(crate) fails: AtomicBool,
    /// Trims never return.
    pub(crate) hangs: AtomicBool,
    /// How often it was read and trimmed.
    pub(crate) reads: AtomicUsize,
    pub(crate) trims: AtomicUsize,
}

pub(crate) struct OddLog(MemoryLog, Arc<Oddities>);

impl OddLog {
    pub(crate) fn over(clock: Arc<dyn Clock>, oddities: &Arc<Oddities>) -> Arc<dyn EventLog> {
        Arc::new(OddLog(MemoryLog::new(u64::MAX / 2, clock), Arc::clone(oddities)))
    }

    async fn give_way(&self) {
        if self.1.yields {
            tokio::task::yield_now().await;
        }
    }
}

#[async_trait]
impl EventLog for OddLog {
    fn stream(&self, name: &StreamName) -> StreamId {
        self.0.stream(name)
    }
    fn streams(&self) -> Vec<(StreamId, StreamName)> {
        self.0.streams()
    }
    async fn append(&self, parts: Vec<Part>) -> Result<(), AppendError> {
        self.0.append(parts).await
    }
    fn bounds(&self, stream: StreamId) -> Bounds {
        self.0.bounds(stream)
    }
    fn follow(&self, stream: StreamId) -> Follower {
        self.0.follow(stream)
    }
    async fn read(&self, stream: StreamId, from: u64, mut limit: ReadLimit) -> Result<Read, ReadError> {
        let Oddities { damaged, fails, reads, .. } = &*self.1;
        reads.fetch_add(1, Ordering::Relaxed);
        self.give_way().await;
        if fails.load(Ordering::Relaxed) {
            return Err(ReadError { stream, from, source: io::Error::other("the disk is away") });
        }
        if damaged.contains(&from) {
            return Ok(Read::Damaged(from..damaged.end));
        }
        if from < damaged.start {
            limit.events = limit.events.min((damaged.start - from) as usize);
        }
        let read = self.0.read(stream, from, limit).await;
        self.give_way().await;
        read
    }
    fn bytes_before(&self, stream: StreamId, number: u64) -> u64 {
        self.0.bytes_before(stream, number)
    }
    fn number_within(&self, stream: StreamId, bytes: u64) -> u64 {
        self.0.number_within(stream, bytes)
    }
    fn appended_at(&self, stream: StreamId, number: u64) -> Option<u64> {
        self.0.appended_at(stream, number)
    }
    async fn trim(&self, keep_from: &[(StreamId, u64)]) {
        self.1.trims.fetch_add(1, Ordering::Relaxed);
        if self.1.hangs.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        self.give_way().await;
        self.0.trim(keep_from).await;
        self.give_way().await;
    }
    fn segments(&self) -> Vec<SegmentInfo> {
        self.0.segments()
    }
    fn pressure(&self) -> Pressure {
        self.0.pressure()
    }
    async fn close(&self) {
        self.0.close().await;
    }
}
