//! From a [`Write`] to pieces of one size, for uploads in parts.

use std::io::{self, Write};

use bytes::{Bytes, BytesMut};

/// Collects what is written and hands it on in pieces of `size` bytes; the last one, from [`finish`](Self::finish), may be smaller.
pub struct Chunks<F> {
    size: usize,
    buffer: BytesMut,
    next: F,
}

impl<F: FnMut(Bytes) -> io::Result<()>> Chunks<F> {
    /// `next` takes each piece; its error ends the writing. `size` is 1 at least.
    pub fn new(size: usize, next: F) -> Self {
        Chunks { size: size.max(1), buffer: BytesMut::new(), next }
    }

    /// Hands the rest on, if there is any.
    ///
    /// # Errors
    /// What `next` says.
    pub fn finish(mut self) -> io::Result<()> {
        let rest = self.buffer.split().freeze();
        if rest.is_empty() { Ok(()) } else { (self.next)(rest) }
    }
}

impl<F: FnMut(Bytes) -> io::Result<()>> Write for Chunks<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.size - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() == self.size {
            (self.next)(self.buffer.split().freeze())?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        // Pieces have one size.
        Ok(())
    }
}

impl<F> std::fmt::Debug for Chunks<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chunks").field("size", &self.size).field("waiting", &self.buffer.len()).finish_non_exhaustive()
    }
}
