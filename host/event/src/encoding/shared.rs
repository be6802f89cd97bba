//! Encoding a batch once for several exporters.
//!
//! JSON lines are shared already: they are the stored bytes. A CSV text or a Parquet file is worth keeping only when another exporter is
//! about to ask for it: one with the same encoding, on the same stream, which cut the same batch. So exporters register their encodings,
//! and nothing is kept for one that is alone: it streams, and memory stays bounded by its row group. Where there are several, what the first
//! one writes is kept, at most [`MOST_BYTES`] in all, until each of the others took it or newer batches pushed it out. What does not fit is
//! encoded again.
//!
//! A batch is recognised by its id *and* its lines. The id alone names a set of events within one exporter: after partial failures `….r1` of
//! two exporters are different sets. Comparing the lines costs little beside encoding them.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::{Chunks, Encoded, Encoding, Format};
use crate::EventBatch;

/// Most bytes that are kept for others, of lines and of what they became.
const MOST_BYTES: usize = 32 << 20;

/// Kept bytes are in pieces of this size.
const PIECE: usize = 256 << 10;

/// What is encoded in this program: which encodings are used by how many exporters, and batches that others will ask for.
#[derive(Debug, Default)]
pub struct Encodings {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    users: HashMap<String, usize>,
    /// Oldest first.
    kept: VecDeque<Kept>,
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    fingerprint: String,
    batch: EventBatch,
    body: Arc<Body>,
    /// Users that did not take it yet.
    waiting: usize,
}

#[derive(Debug)]
struct Body {
    pieces: Vec<Bytes>,
    encoded: Encoded,
}

impl Kept {
    fn bytes(&self) -> usize {
        self.batch.bytes() + self.body.pieces.iter().map(Bytes::len).sum::<usize>()
    }
}

/// An encoding that is registered while it lives.
#[derive(Debug)]
pub struct SharedEncoding {
    encoding: Encoding,
    pool: Arc<Encodings>,
}

impl Encodings {
    /// Registers an exporter's encoding.
    pub fn register(self: &Arc<Self>, encoding: Encoding) -> SharedEncoding {
        *self.lock().users.entry(encoding.fingerprint().to_owned()).or_default() += 1;
        SharedEncoding { encoding, pool: Arc::clone(self) }
    }

    /// Bytes that are kept for others now.
    pub fn kept_bytes(&self) -> usize {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What another one left.
    fn take(&self, fingerprint: &str, batch: &EventBatch) -> Option<Arc<Body>> {
        let mut state = self.lock();
        let at = state.kept.iter().position(|kept| kept.fingerprint == fingerprint && kept.batch.is_same(batch))?;
        let kept = state.kept.get_mut(at)?;
        let body = Arc::clone(&kept.body);
        // A retry takes it twice; then another one encodes again.
        kept.waiting -= 1;
        if kept.waiting == 0 {
            state.remove(at);
        }
        Some(body)
    }

    fn keep(&self, fingerprint: &str, batch: &EventBatch, body: Body) {
        let mut state = self.lock();
        let others = state.users.get(fingerprint).map_or(0, |users| users.saturating_sub(1));
        let kept = Kept { fingerprint: fingerprint.to_owned(), batch: batch.clone(), body: Arc::new(body), waiting: others };
        let bytes = kept.bytes();
        if others == 0 || bytes > MOST_BYTES {
            return;
        }
        while state.bytes + bytes > MOST_BYTES && !state.kept.is_empty() {
            state.remove(0);
        }
        state.bytes += bytes;
        state.kept.push_back(kept);
    }
}

impl State {
    fn remove(&mut self, at: usize) {
        if let Some(kept) = self.kept.remove(at) {
            self.bytes -= kept.bytes();
        }
    }
}

impl SharedEncoding {
    /// The encoding itself.
    pub fn encoding(&self) -> &Encoding {
        &self.encoding
    }

    /// As [`Encoding::encode`], with bytes that another exporter left, if there are any.
    ///
    /// # Errors
    /// What `out` failed with.
    pub fn encode(&self, batch: &EventBatch, out: &mut (dyn Write + Send)) -> io::Result<Encoded> {
        let fingerprint = self.encoding.fingerprint();
        let others = self.pool.lock().users.get(fingerprint).is_some_and(|users| *users > 1);
        if self.encoding.format() == Format::JsonLines || !others {
            return self.encoding.encode(batch, out);
        }
        if let Some(body) = self.pool.take(fingerprint, batch) {
            body.pieces.iter().try_for_each(|piece| out.write_all(piece))?;
            return Ok(body.encoded.clone());
        }
        let mut pieces = Vec::new();
        let mut size = 0;
        let mut tee = Chunks::new(PIECE, |piece: Bytes| {
            out.write_all(&piece)?;
            size += piece.len();
            // Too much to keep: what is written goes on, what was kept is let go.
            if size > MOST_BYTES {
                pieces.clear();
            } else {
                pieces.push(piece);
            }
            Ok(())
        });
        let encoded = self.encoding.encode(batch, &mut tee)?;
        tee.finish()?;
        if size <= MOST_BYTES {
            self.pool.keep(fingerprint, batch, Body { pieces, encoded: encoded.clone() });
        }
        Ok(encoded)
    }
}

impl Drop for SharedEncoding {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        let fingerprint = self.encoding.fingerprint();
        if let Some(users) = state.users.get_mut(fingerprint) {
            *users -= 1;
            if *users < 2 {
                while let Some(at) = state.kept.iter().position(|kept| kept.fingerprint == fingerprint) {
                    state.remove(at);
                }
            }
        }
        state.users.retain(|_, users| *users > 0);
    }
}
