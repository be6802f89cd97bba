//! One running instance: its store's data, what it may use, what the host offers it.
//!
//! One store holds one instance and is one failure domain: a trap, a limit, an exit or a cancelled call poisons the store for good
//! (wasmtime refuses to enter it again), so it is dropped with everything in it and the next call gets a new one. No state is promised
//! between calls.

mod cpu;
mod imports;
mod instance;
mod limiter;
mod link;
mod output;
mod sockets;
mod state;

pub(crate) use instance::{CallFailure, Instance};
pub(crate) use link::linker;
pub(crate) use output::printable;
pub(crate) use state::{GuestState, Shared};

/// Handles of the host (streams, requests, pollables) that one instance may hold at once.
pub(crate) const MAX_RESOURCES: usize = 1024;

/// Bytes of one set of HTTP headers, as they lie in the host's memory; a guest may hold [`MAX_RESOURCES`] of them.
pub(crate) const MAX_HEADER_BYTES: usize = 32 << 10;

/// Bytes that one import or one result may hand to the host: a request body with every event of a call, encoded generously.
pub(crate) const MAX_HOSTCALL_BYTES: usize = 32 << 20;

/// Bytes of log and output per call; the rest is counted and dropped.
pub(crate) const MAX_LOG_BYTES: usize = 64 << 10;

/// Bytes of one log line; the rest of it is counted and dropped.
pub(crate) const MAX_LOG_LINE: usize = 8 << 10;

/// Bytes of a reason that a guest gives; cut beyond.
pub(crate) const MAX_REASON: usize = 4 << 10;

/// Bytes of output kept for the error message of a trap.
const TAIL: usize = 1 << 10;
