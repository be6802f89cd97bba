//! The WASM host: turns a component file into an exporter.
//!
//! # What it must bear
//!
//! A plugin is code of someone else's, in any language, that runs inside the relay. It may loop, take all memory, trap, exit, never
//! answer, print for ever, return nonsense, or reach for hosts and files it was not granted. None of that may stop the relay, slow
//! another exporter, lose an event, or show up as anything but a clear error of that one exporter. And its file may be anything at all.
//!
//! # Layout
//!
//! ```text
//! spec        what the configuration says, and every problem of it
//! host        one engine, linker, cache and compile queue for all plugins
//! exporter    the `Exporter`: calls, and what is told about them
//! life        a plugin's life: loading, ready, another file in its place, invalid, healed; `watch`, `restarts`, `memory`
//! distribution  images out of OCI registries: references, credentials, the client, the cache on disk
//! load        read → pin → recognise (world) → compile, or take from the cache → try out
//! compile     the child process            cache   artefacts, each with a MAC; `trusted`, the only `unsafe`
//! generation  one implementation with its instances; `Slot`, the one place where another takes over
//! guest       a store with its instance: limits, imports, output, calls
//! contract    the exporter interfaces, one adapter each, behind one trait
//! describe    what a plugin says of itself, and whether its configuration fits; `schema`, `places`: where it does not
//! payload     a batch as a plugin wants it, made once for all of them
//! convert     lines to records; answers to outcomes, believed only as far as they make sense
//! policy      host grammar and address rules: pure
//! outbound    HTTP for guests: one client per plugin, names and addresses checked
//! secrets     what a guest uses without having it; `redact`: what no text shows; `denials`: what was refused
//! state       `key-value`, on disk, within its quota; `metrics`: a plugin's own numbers, bounded
//! ```
//!
//! # Failure cases
//!
//! * *Wrong configuration* is an error of [`PluginHost::load`]. *Wrong bytes* are the state [`PluginState::Invalid`]: events wait, and
//!   another file in the same place is loaded when it has been stable for half a second.
//! * *Another file in place of one that runs* is loaded beside it and takes over between two calls. While it does not run, the older one
//!   goes on, and the report says why ([`PluginReport::refused`]).
//! * *A plugin that crashes again and again* is slowed ([`PluginReport::slowed`]).
//! * *A call that ends without an answer* (trap, exit, a limit, cancelled) drops the store with everything in it; delivery gets
//!   [`ExportError::Crashed`](flagpost_exporter::ExportError::Crashed), and the next call a new instance. A store that trapped is never
//!   entered again.
//! * *An answer that contradicts itself* (indices out of range, named twice) is treated as a crash: nothing is known about the batch.
//! * *A damaged or forged cache entry* is compiled anew.
//!
//! # What is not promised
//!
//! No state of a guest survives a call: instances are replaced after 10,000 calls, at three quarters of their memory, when idle for five
//! minutes, and after any failure. CPU time is bounded to within one tick (10 ms) of guest code; memory counts linear memories, not what
//! the host holds on a guest's behalf (that is bounded separately: handles, bytes per call, response size). Side channels between plugins
//! in one process are not closed.
//!
//! # Doors
//!
//! Replacing a running plugin is installing another `Generation` in its slot; another exporter interface is another module in `contract`
//! and another entry in `world`.

mod cache;
mod compile;
mod contract;
mod convert;
mod denials;
mod describe;
pub mod distribution;
mod engine;
mod exporter;
#[doc(hidden)]
pub mod fuzzing;
mod generation;
mod guest;
mod host;
mod life;
mod load;
mod memory;
mod metrics;
mod outbound;
mod payload;
mod places;
mod policy;
mod redact;
mod report;
mod restarts;
mod schema;
mod secrets;
mod spec;
mod state;
mod stats;
mod text;
mod watch;
mod world;

pub use compile::compile_main;
pub use distribution::{ImageReference, PluginImage, RegistryAccess};
pub use exporter::WasmExporter;
pub use host::{Compiler, HostError, HostOptions, PluginHost};
pub use metrics::PluginMetric;
pub use outbound::{Resolver, Responder, SystemResolver, Unanswered};
pub use places::{Places, PluginDiagnostic};
pub use redact::Hidden;
pub use report::{LoadStep, PluginEncoding, PluginReport, PluginState, PluginStats, RefusedFile};
pub use spec::{PluginGrants, PluginHttp, PluginLimits, PluginSecret, PluginSpec, SecretUse, SpecError, SpecProblem, StateQuota};
