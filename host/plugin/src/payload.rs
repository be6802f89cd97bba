//! A batch in the encoding that a plugin asked for, made once for all plugins that read the same stream in it.
//!
//! Each plugin has a cursor of its own, so two of them meet the same batch at different times and hold it in different `EventBatch`es. What
//! the first one's text is made for is kept until the others that registered the same encoding for the same stream have had it, or newer
//! batches push it out: at most [`MOST_BYTES`], lines included. A plugin that is alone keeps nothing. A batch is recognised by its id and its
//! lines; lines are the log's own memory as a rule, so that comparing them is comparing pointers.
//!
//! Typed records are not shared: they are made of the lines for one call, and it is the copy into the guest that costs.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use bytestring::ByteString;
use flagpost_event::{EventBatch, StreamName};
use flagpost_exporter::{ExportError, RejectedEvent};
use flagpost_plugin_bindings::exports::flagpost::plugin::exporter::Event;
use serde::Serialize;

use crate::convert;

/// Most bytes that are kept for others, of lines and of what they became.
const MOST_BYTES: usize = 32 << 20;

/// How a plugin wants its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// Records.
    Typed,
    /// One text: a JSON array of the canonical lines.
    JsonArray,
    /// One text: the canonical lines, each ended by a line feed.
    JsonLines,
}

/// A batch's events as one call takes them.
pub(crate) enum Payload {
    Typed(Vec<Event>),
    Json { text: ByteString, array: bool },
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Payload::Typed(events) => write!(f, "Typed({})", events.len()),
            Payload::Json { text, .. } => write!(f, "Json({} bytes)", text.len()),
        }
    }
}

/// What the plugins of a host make of batches.
#[derive(Debug, Default)]
pub(crate) struct Payloads {
    state: Mutex<State>,
}

type Use = (Encoding, StreamName);
type Made = Arc<OnceLock<Result<ByteString, Vec<RejectedEvent>>>>;

#[derive(Debug, Default)]
struct State {
    users: HashMap<Use, usize>,
    /// Oldest first.
    kept: VecDeque<Kept>,
    bytes: usize,
    /// Texts made, and texts that were there already.
    counts: (u64, u64),
}

#[derive(Debug)]
struct Kept {
    encoding: Encoding,
    batch: EventBatch,
    made: Made,
    /// Plugins that did not have it yet.
    waiting: usize,
}

impl Kept {
    /// The text is about as long as the lines.
    fn bytes(&self) -> usize {
        self.batch.bytes() * 2
    }
}

/// One plugin's way of having batches encoded; it counts as a user while it lives.
#[derive(Debug)]
pub(crate) struct Encoder {
    pool: Arc<Payloads>,
    encoding: Encoding,
    streams: Vec<StreamName>,
}

impl Payloads {
    /// Registers a plugin that reads `streams`.
    pub(crate) fn register(self: &Arc<Self>, encoding: Encoding, streams: Vec<StreamName>) -> Encoder {
        if encoding != Encoding::Typed {
            let mut state = self.lock();
            for stream in &streams {
                *state.users.entry((encoding, stream.clone())).or_default() += 1;
            }
        }
        Encoder { pool: Arc::clone(self), encoding, streams }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place where the batch's text is or will be. `None`: nobody else wants it.
    fn place(&self, encoding: Encoding, batch: &EventBatch) -> Option<Made> {
        let mut state = self.lock();
        let users = state.users.get(&(encoding, batch.stream().clone())).copied().unwrap_or(0);
        if users < 2 {
            return None;
        }
        if let Some(at) = state.kept.iter().position(|kept| kept.encoding == encoding && kept.batch.is_same(batch)) {
            state.counts.1 += 1;
            let kept = state.kept.get_mut(at)?;
            let made = Arc::clone(&kept.made);
            // A retry has it twice; then another plugin makes it anew.
            kept.waiting -= 1;
            if kept.waiting == 0 {
                state.remove(at);
            }
            return Some(made);
        }
        let kept = Kept { encoding, batch: batch.clone(), made: Made::default(), waiting: users - 1 };
        let (bytes, made) = (kept.bytes(), Arc::clone(&kept.made));
        if bytes > MOST_BYTES {
            return None;
        }
        while state.bytes + bytes > MOST_BYTES && !state.kept.is_empty() {
            state.remove(0);
        }
        state.bytes += bytes;
        state.kept.push_back(kept);
        Some(made)
    }
}

impl State {
    fn remove(&mut self, at: usize) {
        if let Some(kept) = self.kept.remove(at) {
            self.bytes -= kept.bytes();
        }
    }
}

impl Encoder {
    /// The batch's events. `Err`: the outcome of a batch with lines that are no events, which nobody can ever deliver.
    pub(crate) fn encode(&self, batch: &EventBatch) -> Result<Payload, ExportError> {
        let text = match self.encoding {
            Encoding::Typed => {
                return convert::events(batch).map(Payload::Typed).map_err(|broken| convert::without(broken, batch));
            }
            encoding => match self.pool.place(encoding, batch) {
                // Two that come at the same time: one makes it, the other waits for it.
                Some(made) => made.get_or_init(|| self.make(batch)).clone(),
                None => self.make(batch),
            },
        };
        let text = text.map_err(|broken| convert::without(broken, batch))?;
        Ok(Payload::Json { text, array: self.encoding == Encoding::JsonArray })
    }

    fn make(&self, batch: &EventBatch) -> Result<ByteString, Vec<RejectedEvent>> {
        self.pool.lock().counts.0 += 1;
        let text = match (self.encoding, batch.chunks()) {
            (Encoding::JsonArray, chunks) => array(chunks, batch.bytes()),
            (_, [one]) => one.clone(),
            (_, chunks) => chunks.concat().into(),
        };
        // Looked at once; from here on the type knows.
        ByteString::try_from(text).map_err(|_| {
            let lines = (0..).zip(batch.lines()).filter(|(_, line)| std::str::from_utf8(line).is_err());
            lines.map(|(index, _)| RejectedEvent { index, reason: "the stored line is not UTF-8".to_owned() }).collect()
        })
    }
}

/// `[` and `]` around the lines, commas between them.
fn array(chunks: &[Bytes], bytes: usize) -> Bytes {
    let mut text = Vec::with_capacity(bytes + 2);
    text.push(b'[');
    for chunk in chunks {
        text.extend_from_slice(chunk);
    }
    // Inside of JSON strings line feeds are escaped, so each one ends a line.
    let mut from = 0;
    while let Some(end) = memchr::memchr(b'\n', &text[from..]) {
        text[from + end] = b',';
        from += end + 1;
    }
    // The last line's, if there is a line.
    match text.last_mut() {
        Some(last) if *last == b',' => *last = b']',
        _ => text.push(b']'),
    }
    text.into()
}

impl Drop for Encoder {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        for stream in std::mem::take(&mut self.streams) {
            let key = (self.encoding, stream);
            let Some(users) = state.users.get_mut(&key) else { continue };
            *users -= 1;
            if *users < 2 {
                while let Some(at) = state.kept.iter().position(|kept| kept.encoding == key.0 && *kept.batch.stream() == key.1) {
                    state.remove(at);
                }
            }
        }
        state.users.retain(|_, users| *users > 0);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use flagpost_event::{BatchId, EventKind};

    use super::*;

    fn stream() -> StreamName {
        StreamName::new("default", EventKind::Feature)
    }

    fn batch(id: &'static str, chunks: &[&'static str]) -> EventBatch {
        let chunks: Vec<_> = chunks.iter().map(|chunk| Bytes::from_static(chunk.as_bytes())).collect();
        EventBatch::new(BatchId::new(id), stream(), 1, chunks)
    }

    fn text(encoder: &Encoder, batch: &EventBatch) -> String {
        let Payload::Json { text, .. } = encoder.encode(batch).unwrap() else { panic!("typed") };
        text.to_string()
    }

    #[test]
    fn both_texts_hold_the_stored_lines_as_they_are() {
        let pool = Arc::new(Payloads::default());
        let table: [(&[&str], &str, &str); 3] = [
            (&["{\"a\":\"x,\\n\"}\n"], "{\"a\":\"x,\\n\"}\n", "[{\"a\":\"x,\\n\"}]"),
            (&["{}\n{\"b\":2}\n", "", "{\"c\":3}\n"], "{}\n{\"b\":2}\n{\"c\":3}\n", "[{},{\"b\":2},{\"c\":3}]"),
            (&[], "", "[]"),
        ];
        for (chunks, lines, array) in table {
            let batch = batch("s-1", chunks);
            assert_eq!(text(&pool.register(Encoding::JsonLines, vec![stream()]), &batch), lines);
            assert_eq!(text(&pool.register(Encoding::JsonArray, vec![stream()]), &batch), array);
        }
    }

    #[test]
    fn a_text_is_made_once_for_all_that_read_the_stream_and_then_let_go() {
        let pool = Arc::new(Payloads::default());
        let three: Vec<_> = (0..3).map(|_| pool.register(Encoding::JsonArray, vec![stream()])).collect();
        let other = pool.register(Encoding::JsonArray, vec![StreamName::new("acme", EventKind::Feature)]);
        let first = batch("s-1", &["{\"a\":1}\n"]);
        // The same lines at another place in memory, and under the same id other lines.
        let copy = EventBatch::new(first.id().clone(), stream(), 2, vec![Bytes::copy_from_slice(b"{\"a\":1}\n")]);
        let different = batch("s-1", &["{\"a\":2}\n"]);
        assert_eq!(text(&three[0], &first), "[{\"a\":1}]");
        assert_eq!(text(&three[1], &copy), "[{\"a\":1}]");
        assert_eq!(text(&three[2], &different), "[{\"a\":2}]");
        assert_eq!(pool.lock().counts, (2, 1));
        assert_eq!(text(&three[2], &first), "[{\"a\":1}]");
        assert_eq!(pool.lock().counts, (2, 2));
        assert_eq!(pool.lock().kept.len(), 1, "all had the first one");
        drop(other);
        drop(three);
        let state = pool.lock();
        assert_eq!((state.kept.len(), state.bytes, state.users.len()), (0, 0, 0));
    }

    #[test]
    fn what_is_kept_is_bounded_and_a_plugin_alone_keeps_nothing() {
        let pool = Arc::new(Payloads::default());
        let alone = pool.register(Encoding::JsonLines, vec![stream()]);
        let large = |id: usize| {
            let line = Bytes::from(format!("{{\"a\":\"{}\"}}\n", "x".repeat(5 << 20)));
            EventBatch::new(BatchId::new(format!("s-{id}")), stream(), 1, vec![line])
        };
        text(&alone, &large(0));
        assert_eq!(pool.lock().kept.len(), 0);
        let _second = pool.register(Encoding::JsonLines, vec![stream()]);
        for id in 0..10 {
            text(&alone, &large(id));
            assert!(pool.lock().bytes <= MOST_BYTES);
        }
        assert_eq!(pool.lock().kept.len(), 3, "three times twice 5 MiB");
    }

    #[test]
    fn a_line_that_is_not_utf_8_is_named_and_the_others_come_again() {
        let pool = Arc::new(Payloads::default());
        let encoder = pool.register(Encoding::JsonLines, vec![stream()]);
        let lines = vec![Bytes::from_static(b"{}\n{\"a\":\"\xff\"}\n"), Bytes::from_static(b"{}\n")];
        let error = encoder.encode(&EventBatch::new(BatchId::new("s-1"), stream(), 1, lines)).unwrap_err();
        let ExportError::Partial { retry, rejected, .. } = error else { panic!("{error}") };
        assert_eq!((retry, rejected[0].index, rejected.len()), (vec![0, 2], 1, 1));
    }
}
