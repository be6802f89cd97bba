//! The durable event log and its bookkeeping.

#[cfg(test)]
mod conformance;
mod ledger;
mod log;
mod memory;
mod record;

pub use ledger::{Ledger, LedgerError, LedgerReport, Rebuilt};
pub use log::{AppendError, Bounds, EventLog, Part, Pressure, Read, ReadError, ReadLimit, Run, SegmentInfo, StreamId};
pub use memory::MemoryLog;
pub use record::{ConsumerId, ConsumerRecord, DeadLetter, DropReason, Identity, NumberRanges, Plan, Settlement};
