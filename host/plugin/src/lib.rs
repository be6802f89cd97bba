//! The WASM host: turns a component file into an exporter.

mod exporter;
mod host;
mod report;
mod spec;

pub use exporter::WasmExporter;
pub use host::{Compiler, HostError, HostOptions, PluginHost};
pub use report::{PluginReport, PluginState, PluginStats};
pub use spec::{PluginLimits, PluginSpec, SpecError, SpecProblem};

use std::ffi::OsString;
use std::process::ExitCode;

/// The body of the hidden command `flagpost plugin compile <in.wasm> <out.cwasm>`; `args` are the two paths.
pub fn compile_main(_args: impl IntoIterator<Item = OsString>) -> ExitCode {
    ExitCode::FAILURE
}
