//! What an exporter is given: an identified set of events of one stream, as canonical JSON lines.

use std::fmt;
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
}

impl EventBatch {
    /// A batch of `lines`: chunks of whole lines, each line ended by `\n`. The first attempt is 1.
    pub fn new(id: BatchId, stream: StreamName, attempt: u32, lines: impl Into<Arc<[Bytes]>>) -> Self {
        let lines = lines.into();
        let len = lines.iter().map(|chunk| memchr::memchr_iter(b'\n', chunk).count()).sum();
        let bytes = lines.iter().map(Bytes::len).sum();
        debug_assert!(lines.iter().all(|chunk| chunk.last().is_none_or(|&byte| byte == b'\n')), "chunks hold whole lines");
        EventBatch { id, stream, attempt, len, bytes, lines, object: None }
    }

    /// The same batch with its planned object.
    #[must_use]
    pub fn with_object(mut self, object: Option<ObjectPlan>) -> Self {
        self.object = object;
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

    /// The planned object, when the exporter plans objects.
    pub fn object(&self) -> Option<&ObjectPlan> {
        self.object.as_ref()
    }
}

#[cfg(test)]
mod tests {
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
}
