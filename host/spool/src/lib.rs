//! The durable event log and its bookkeeping.

mod block;
mod check;
#[cfg(test)]
mod conformance;
mod disk;
mod disk_log;
mod export;
mod ledger;
mod lock;
mod log;
mod memory;
mod meta;
mod record;
mod recovery;
mod segment;
mod stats;
pub mod testing;

pub use check::{CheckReport, SegmentCheck, StreamCheck, check};
pub use disk::{Disk, DiskFile, RealDisk};
pub use disk_log::{Damage, DiskLog, DiskLogOptions, OpenReport};
pub use export::{ExportError, ExportReport, StreamExport, export};
pub use ledger::{Ledger, LedgerError, LedgerReport, Rebuilt};
pub use lock::{Lock, LockError};
pub use log::{AppendError, Bounds, EventLog, Part, Pressure, Read, ReadError, ReadLimit, Run, SegmentInfo, StreamId};
pub use memory::MemoryLog;
pub use record::{ConsumerId, ConsumerRecord, DeadLetter, DropReason, Identity, NumberRanges, Plan, Settlement};
pub use recovery::OpenError;
pub use segment::scan::Finding;
pub use stats::LogStats;
