//! The durable event log and its bookkeeping.

mod log;
mod record;

pub use log::{AppendError, Bounds, EventLog, Part, Pressure, Read, ReadError, ReadLimit, Run, SegmentInfo, StreamId};
pub use record::{ConsumerId, ConsumerRecord, DeadLetter, DropReason, Identity, NumberRanges, Plan, Settlement};
