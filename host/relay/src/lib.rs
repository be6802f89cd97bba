//! flagpost: a relay for the evaluation data of feature flags.
//!
//! It takes the events that GO Feature Flag's clients send, keeps them safe on disk, and delivers them to every configured exporter:
//! built-in kinds, WebAssembly components, and, in an embedding program, one's own types. The program `flagpost` is [`cli`] around
//! [`Relay`]; a library user starts at [`Relay::builder`].
#![forbid(unsafe_code)]

/// The page's Rust compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub struct Readme;

pub mod cli;
pub mod config;
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod intake;
mod letters;
mod logging;
mod probe;
mod process;
mod relay;
mod reloads;
mod through;
mod tls;

pub use flagpost_delivery::{Policy, RetryPolicy, ShutdownReport, TaskStatus, Unsent, WhenFull};
pub use flagpost_event::{Clock, Event, EventBatch, EventKind, FeatureEvent, Json, SystemClock, TrackingEvent};
pub use flagpost_exporter::{ExportError, Exporter, Limits, RejectedEvent, Secret};
pub use relay::{CollectError, ExporterOptions, Relay, RelayBuilder, ReloadError, StartError};
pub use reloads::Reloaded;
pub use tls::TlsError;
