//! What an event log promises, whatever it keeps its events in.

use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use flagpost_event::StreamName;

use crate::head::Follower;

/// A stream's number within one store. Stable for the store's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u32);

/// Events of one stream to append.
#[derive(Clone, Debug)]
pub struct Part {
    /// Their stream.
    pub stream: StreamId,
    /// Canonical JSON lines, each ended by `\n`.
    pub lines: Bytes,
    /// How many lines.
    pub count: u32,
}

/// The log: streams of events with dense numbers. All methods may be called from any task; none holds a lock across an await.
#[async_trait]
pub trait EventLog: Send + Sync + 'static {
    /// The id of the stream of that name; a new stream gets one (durable with its first block).
    fn stream(&self, name: &StreamName) -> StreamId;

    /// Every stream that is known.
    fn streams(&self) -> Vec<(StreamId, StreamName)>;

    /// Appends all parts and returns once they survive a crash. An error means that none is promised.
    async fn append(&self, parts: Vec<Part>) -> Result<(), AppendError>;

    /// The numbers that are held.
    fn bounds(&self, stream: StreamId) -> Bounds;

    /// Waits for [`Bounds::head`] to move.
    fn follow(&self, stream: StreamId) -> Follower;

    /// Events from number `from` on, within the limit (at least one event, however large). [`Read::Damaged`] and [`Read::Gone`] name
    /// numbers that cannot be had: a reader steps over them and counts them.
    async fn read(&self, stream: StreamId, from: u64, limit: ReadLimit) -> Result<Read, ReadError>;

    /// Bytes of the stream's lines in numbers below `number`, since the stream began. Exact at the head; elsewhere at most 64 KiB and a block
    /// less, never more. Never decreasing in `number`. `bytes_before(head) - bytes_before(cursor)` is what waits.
    fn bytes_before(&self, stream: StreamId, number: u64) -> u64;

    /// The lowest number of the stream from which on at most `bytes` wait (a block boundary, or the head): where a cursor steps to when its
    /// budget is `bytes`.
    fn number_within(&self, stream: StreamId, bytes: u64) -> u64;

    /// When the event was appended, in Unix milliseconds, at most 5 s too early; `None` when it is not held.
    fn appended_at(&self, stream: StreamId, number: u64) -> Option<u64>;

    /// Gives up every event below its stream's number: segments wholly below are unlinked. Streams that are not named keep everything
    /// that exists. The caller has made the cursors durable before.
    async fn trim(&self, keep_from: &[(StreamId, u64)]);

    /// The segments, oldest first: what they cost and what they hold.
    fn segments(&self) -> Vec<SegmentInfo>;

    /// How far the log is behind its intake.
    fn pressure(&self) -> Pressure;

    /// Ends the log: what was accepted is durable when this returns. Later appends are refused.
    async fn close(&self);
}

/// The numbers of a stream that a log holds: `oldest..head`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The first event that is still held; equals `head` when none is.
    pub oldest: u64,
    /// The number that the next event gets. The first event of a stream has number 1.
    pub head: u64,
}

/// How much one read may return.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimit {
    /// Most events.
    pub events: usize,
    /// Most bytes of lines; one larger event alone is still returned.
    pub bytes: usize,
}

/// What a read found.
#[derive(Clone, Debug)]
pub enum Read {
    /// Consecutive events from the number asked for.
    Events(Run),
    /// These numbers are damaged; the range starts at the number asked for.
    Damaged(Range<u64>),
    /// These numbers were trimmed; the range starts at the number asked for.
    Gone(Range<u64>),
    /// Nothing is there yet.
    End,
}

/// Consecutive events.
#[derive(Clone, Debug)]
pub struct Run {
    /// Number of the first.
    pub first: u64,
    /// How many.
    pub count: usize,
    /// Chunks of whole lines, each line ended by `\n`.
    pub lines: Vec<Bytes>,
}

/// One segment as a budget sees it.
#[derive(Clone, Debug)]
pub struct SegmentInfo {
    /// Bytes it occupies.
    pub bytes: u64,
    /// Per stream the numbers it holds.
    pub holds: Vec<(StreamId, Range<u64>)>,
}

/// How far the log is behind its intake; the door refuses new requests above its limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Bytes that wait for a sync.
    pub queued_bytes: u64,
    /// How long the oldest of them has waited.
    pub queue_age: Duration,
    /// Bytes on disk in segments (memory: bytes held).
    pub held_bytes: u64,
    /// Free bytes on the store's file system; `None` in memory or when it cannot be told.
    pub free_bytes: Option<u64>,
}

/// An append that is not promised.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The disk refused a write or a sync; events of this group are not promised.
    #[error("the event log could not be written to disk ({during})")]
    Disk {
        /// What was being done.
        during: &'static str,
        /// The system's answer, shared by all requests of the group.
        #[source]
        source: std::sync::Arc<std::io::Error>,
    },
    /// Memory variant: its bound is reached.
    #[error("the in-memory event log is full ({bound} bytes, `buffer.maxBytes`)")]
    Full {
        /// The bound in bytes.
        bound: u64,
    },
    /// Memory variant: the events alone take more than its bound.
    #[error("the events take more than the in-memory event log may hold ({bound} bytes, `buffer.maxBytes`): send fewer at a time")]
    TooLarge {
        /// The bound in bytes.
        bound: u64,
    },
    /// The log was closed.
    #[error("the event log is closed")]
    Closed,
}

/// A read that failed for a reason that may pass. Damage is not an error: see [`Read::Damaged`].
#[derive(Debug, thiserror::Error)]
#[error("the event log could not be read (stream {stream:?}, from event {from})")]
pub struct ReadError {
    /// The stream.
    pub stream: StreamId,
    /// The number asked for.
    pub from: u64,
    /// The system's answer.
    #[source]
    pub source: std::io::Error,
}
