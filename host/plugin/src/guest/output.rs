//! What a guest prints and logs: into the relay's log, line by line, labelled and bounded.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use flagpost_plugin_bindings::flagpost::plugin::log::Level;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::state::Shared;
use super::{MAX_LOG_BYTES, MAX_LOG_LINE, TAIL};

/// The log of one instance, shared by its stdout, its stderr and the interface `log`.
#[derive(Clone, Debug)]
pub(super) struct Output(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    /// Bytes that may still be logged in this call.
    left: usize,
    /// Unfinished lines of stdout and stderr.
    partial: [Vec<u8>; 2],
    /// The end of what was printed in this call, for errors.
    tail: Vec<u8>,
}

/// Which standard stream.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stream {
    Stdout = 0,
    Stderr = 1,
}

impl Output {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Output(Arc::new(Mutex::new(Inner { shared, left: MAX_LOG_BYTES, partial: [Vec::new(), Vec::new()], tail: Vec::new() })))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A new call: a new budget, nothing of the last call in errors.
    pub(super) fn begin_call(&self) {
        self.with(|inner| {
            inner.left = MAX_LOG_BYTES;
            inner.tail.clear();
        });
    }

    /// Prints unfinished lines.
    pub(super) fn end_call(&self) {
        self.with(|inner| {
            for stream in [Stream::Stdout, Stream::Stderr] {
                let line = std::mem::take(&mut inner.partial[stream as usize]);
                if !line.is_empty() {
                    inner.emit(Level::Info, stream.name(), &line);
                }
            }
        });
    }

    /// The end of what was printed in this call, at most 1 KiB.
    pub(super) fn tail(&self) -> String {
        self.with(|inner| String::from_utf8_lossy(&inner.tail).trim().to_owned())
    }

    /// A message of the interface `log`.
    pub(super) fn log(&self, level: Level, message: &str) {
        self.with(|inner| inner.emit(level, "log", message.as_bytes()));
    }

    fn print(&self, stream: Stream, bytes: &[u8]) {
        self.with(|inner| {
            inner.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL)..]);
            let surplus = inner.tail.len().saturating_sub(TAIL);
            inner.tail.drain(..surplus);
            for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
                let line = &mut inner.partial[stream as usize];
                let room = MAX_LOG_LINE.saturating_sub(line.len());
                line.extend_from_slice(&piece[..piece.len().min(room)]);
                inner.shared.counters.log_dropped_bytes.add(piece.len().saturating_sub(room) as u64);
                if piece.ends_with(b"\n") {
                    let line = std::mem::take(&mut inner.partial[stream as usize]);
                    inner.emit(Level::Info, stream.name(), &line);
                }
            }
        });
    }
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

impl Inner {
    fn emit(&mut self, level: Level, source: &'static str, line: &[u8]) {
        let shown = line.len().min(MAX_LOG_LINE).min(self.left);
        self.left -= shown;
        self.shared.counters.log_dropped_bytes.add((line.len() - shown) as u64);
        let text = String::from_utf8_lossy(&line[..shown]);
        let text = printable(self.shared.hidden.hide(&text).as_bytes());
        if text.is_empty() {
            return;
        }
        let plugin = self.shared.spec.name.as_str();
        match level {
            Level::Trace => tracing::trace!(target: "flagpost_plugin::guest", plugin, source, "{text}"),
            Level::Debug => tracing::debug!(target: "flagpost_plugin::guest", plugin, source, "{text}"),
            Level::Info => tracing::info!(target: "flagpost_plugin::guest", plugin, source, "{text}"),
            Level::Warn => tracing::warn!(target: "flagpost_plugin::guest", plugin, source, "{text}"),
            Level::Error => tracing::error!(target: "flagpost_plugin::guest", plugin, source, "{text}"),
        }
    }
}

/// One line without control characters: a guest must not move the operator's cursor or forge other lines.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len());
    for c in text.trim_end().chars() {
        if c.is_control() && c != '\t' { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// One standard stream of a guest.
pub(super) struct Printer {
    pub(super) output: Output,
    pub(super) stream: Stream,
}

impl IsTerminal for Printer {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Printer {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Printer { output: self.output.clone(), stream: self.stream })
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for this one, and it is not linked.
        Box::new(tokio::io::sink())
    }
}

impl OutputStream for Printer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.output.print(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(MAX_LOG_BYTES)
    }
}

#[async_trait::async_trait]
impl Pollable for Printer {
    async fn ready(&mut self) {}
}
