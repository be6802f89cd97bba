//! Delivery: one worker per exporter and stream. It cuts a batch, sends, retries, suspects, dead-letters and moves the cursor.

mod admission;
mod budget;
mod delivery;
mod ids;
mod keeper;
mod lane;
mod lanes;
mod letters;
mod options;
mod partial;
mod ranges;
mod rarity;
mod retry;
mod status;
mod suspicion;
mod tasks;
mod worker;

pub use admission::{Admission, Blocked};
pub use delivery::{Delivery, DeliveryError, ShutdownReport, Unsent};
pub use options::{DEFAULT_FLUSH_INTERVAL, DEFAULT_MAX_EVENTS, DeliveryOptions, Policy, RetryPolicy, TaskSpec, WhenFull};
pub use status::{LastError, Numbers, StateKind, TaskState, TaskStatus};
