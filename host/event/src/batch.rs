//! What an exporter is given: an identified set of events of one stream, as canonical JSON lines.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{EventKind, StreamName};

/// Names an exact set of events: `<store>-<stream>-<first>-<last>`, plus `.r<k>` for the k-th subset after a partial failure.
///
/// A retry of the same set has the same id and another set never has it: it is safe as an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BatchId(Arc<str>);

impl BatchId {
    /// An id from its text.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        BatchId(text.into())
    }

    /// The id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where an exporter that writes objects or files puts one batch. Resolved once, durable before the first attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectPlan {
    /// The object's or file's name, as the exporter's template gave it.
    pub name: String,
    /// Appending exporters: the file's length in bytes before the batch. A retry truncates to it first.
    pub offset: Option<u64>,
}

/// Events of one stream, in order, as canonical JSON lines; a retry of it is the same set with a higher `attempt`.
#[derive(Clone, Debug)]
pub struct EventBatch {
    id: BatchId,
    stream: StreamName,
    attempt: u32,
    len: usize,
    bytes: usize,
    lines: Arc<[Bytes]>,
    object: Option<ObjectPlan>,
    numbers: Arc<[Range<u64>]>,
}

impl EventBatch {
    /// A batch of `lines`: chunks of whole lines, each line ended by `\n`. The first attempt is 1.
    pub fn new(id: BatchId, stream: StreamName, attempt: u32, lines: impl Into<Arc<[Bytes]>>) -> Self {
        let lines = lines.into();
        let len = lines.iter().map(|chunk| memchr::memchr_iter(b'\n', chunk).count()).sum();
        let bytes = lines.iter().map(Bytes::len).sum();
        debug_assert!(lines.iter().all(|chunk| chunk.last().is_none_or(|&byte| byte == b'\n')), "chunks hold whole lines");
        EventBatch { id, stream, attempt, len, bytes, lines, object: None, numbers: Arc::default() }
    }

    /// The same batch with its planned object.
    #[must_use]
    pub fn with_object(mut self, object: Option<ObjectPlan>) -> Self {
        self.object = object;
        self
    }

    /// The same batch with its events' numbers: sorted ranges that hold as many numbers as there are events.
    #[must_use]
    pub fn with_numbers(mut self, numbers: impl Into<Arc<[Range<u64>]>>) -> Self {
        self.numbers = numbers.into();
        debug_assert_eq!(self.numbers().count(), self.len, "each event has a number");
        self
    }

    /// Names exactly these events.
    pub fn id(&self) -> &BatchId {
        &self.id
    }

    /// The stream all events are of.
    pub fn stream(&self) -> &StreamName {
        &self.stream
    }

    /// The kind of every event.
    pub fn kind(&self) -> EventKind {
        self.stream.kind
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none. Delivery never hands out such a batch.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Size of all lines in bytes, newlines included.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The stored chunks: whole lines, each ended by `\n`. Concatenated they are the batch as JSON lines.
    pub fn chunks(&self) -> &[Bytes] {
        &self.lines
    }

    /// Each event's canonical JSON, without the newline.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.lines.iter().flat_map(|chunk| {
            let mut rest = &chunk[..];
            std::iter::from_fn(move || {
                let end = memchr::memchr(b'\n', rest)?;
                let line = &rest[..end];
                rest = &rest[end + 1..];
                Some(line)
            })
        })
    }

    /// Each event's number in its stream: it never changes and no other event of the stream has it, whatever batch the event is in. Empty
    /// when nobody numbered them; delivery does.
    pub fn numbers(&self) -> impl Iterator<Item = u64> + '_ {
        self.numbers.iter().cloned().flatten()
    }

    /// An id for each event, the same in every batch and every attempt that holds it: `<store>-<stream>-<number>`. Where nobody numbered the
    /// events it is the batch's id and the place in it.
    pub fn event_ids(&self) -> impl Iterator<Item = String> + '_ {
        let numbered = !self.numbers.is_empty();
        // `<store>-<stream>-<first>-<last>[.r<k>]`
        let scope = if numbered { self.id.as_str().rsplitn(3, '-').last() } else { Some(self.id.as_str()) };
        let scope = scope.unwrap_or_default();
        let places = 0..if numbered { 0 } else { self.len as u64 };
        self.numbers().chain(places).map(move |number| format!("{scope}-{number}"))
    }

    /// Whether it is the same events under the same id. Lines that both were lent are not read.
    pub fn is_same(&self, other: &EventBatch) -> bool {
        let one = |a: &Bytes, b: &Bytes| a.as_ptr() == b.as_ptr() && a.len() == b.len();
        let lent = || self.lines.len() == other.lines.len() && self.lines.iter().zip(&*other.lines).all(|(a, b)| one(a, b));
        self.id == other.id && self.stream == other.stream && self.bytes == other.bytes && (lent() || self.lines().eq(other.lines()))
    }

    /// The planned object, when the exporter plans objects.
    pub fn object(&self) -> Option<&ObjectPlan> {
        self.object.as_ref()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::single_range_in_vec_init)]

    use super::*;

    #[test]
    fn lines_span_chunks_in_order() {
        let stream = StreamName::new("default", EventKind::Feature);
        let chunks = vec![Bytes::from_static(b"{\"a\":1}\n{\"b\":2}\n"), Bytes::from_static(b""), Bytes::from_static(b"{}\n")];
        let batch = EventBatch::new(BatchId::new("s-1-1-3"), stream, 1, chunks);
        assert_eq!(batch.len(), 3);
        assert_eq!(batch.bytes(), 19);
        assert_eq!(batch.lines().collect::<Vec<_>>(), [&b"{\"a\":1}"[..], b"{\"b\":2}", b"{}"]);
    }

    #[test]
    fn an_event_has_one_id_in_every_batch_that_holds_it() {
        let ids = |id: &str, lines: &'static str, numbers: Vec<Range<u64>>| {
            let stream = StreamName::new("a-b", EventKind::Feature);
            let batch = EventBatch::new(BatchId::new(id), stream, 1, vec![Bytes::from_static(lines.as_bytes())]);
            batch.with_numbers(numbers).event_ids().collect::<Vec<_>>()
        };
        let whole = ids("s1-a-b.feature-7-9", "{}\n{}\n{}\n", vec![7..10]);
        assert_eq!(whole, ["s1-a-b.feature-7", "s1-a-b.feature-8", "s1-a-b.feature-9"]);
        assert_eq!(ids("s1-a-b.feature-7-9.r1", "{}\n{}\n", vec![7..8, 9..10]), [whole[0].as_str(), &whole[2]]);
        let unnumbered =
            EventBatch::new(BatchId::new("mine"), StreamName::new("d", EventKind::Feature), 1, vec![Bytes::from_static(b"{}\n{}\n")]);
        assert_eq!(unnumbered.event_ids().collect::<Vec<_>>(), ["mine-0", "mine-1"]);
    }
}
