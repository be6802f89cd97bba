//! The WASM host: turns a component file into an exporter.

mod cache;
mod compile;
mod convert;
mod engine;
mod exporter;
mod generation;
mod guest;
mod host;
mod load;
mod outbound;
mod policy;
mod report;
mod spec;
mod stats;
mod text;
mod world;

pub use compile::compile_main;
pub use exporter::WasmExporter;
pub use host::{Compiler, HostError, HostOptions, PluginHost};
pub use outbound::{Resolver, SystemResolver};
pub use report::{PluginReport, PluginState, PluginStats};
pub use spec::{PluginLimits, PluginSpec, SpecError, SpecProblem};
