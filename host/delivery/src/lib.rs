//! Delivery: one worker per exporter and stream. It cuts a batch, sends, retries, suspects, dead-letters and moves the cursor.

mod admission;
mod delivery;
mod options;
mod status;

pub use admission::{Admission, Blocked};
pub use delivery::{Delivery, DeliveryError, Ledger, ShutdownReport, Unsent};
pub use options::{DEFAULT_FLUSH_INTERVAL, DEFAULT_MAX_EVENTS, DeliveryOptions, Policy, RetryPolicy, TaskSpec, WhenFull};
pub use status::{LastError, Numbers, StateKind, TaskState, TaskStatus};
