//! What can be told about a plugin at any moment.

use std::path::PathBuf;

use serde::Serialize;

use crate::PluginDiagnostic;
pub use crate::payload::Encoding as PluginEncoding;

/// A plugin's state and facts, for `/health/exporters`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginReport {
    /// The exporter's name.
    pub name: String,
    /// The component's file.
    pub path: PathBuf,
    /// Where in its life it is.
    pub state: PluginState,
    /// Why it is invalid, and what to do.
    pub reason: Option<String>,
    /// Hex SHA-256 of the file last read.
    pub digest: Option<String>,
    /// Size of that file in bytes.
    pub size: Option<u64>,
    /// The interface it exports, with version.
    pub interface: Option<String>,
    /// The interfaces it imports.
    pub imports: Vec<String>,
    /// Its author's name for it, with its version.
    pub title: Option<String>,
    /// How it takes events; `None` before it is ready.
    pub encoding: Option<PluginEncoding>,
    /// What is wrong with its `config:`.
    pub diagnostics: Vec<PluginDiagnostic>,
    /// Counts implementations, from 1. `None`: never ready yet.
    pub generation: Option<u64>,
    /// Whether it takes batches; `None` before it is ready.
    pub bulk: Option<bool>,
    /// Its last failed call.
    pub last_error: Option<String>,
    /// Largest linear memory an instance had, in bytes.
    pub memory_peak: u64,
    /// What it did so far.
    pub stats: PluginStats,
}

/// Where in its life a plugin is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PluginState {
    /// Being read, compiled, tried. Events wait.
    Compiling,
    /// Takes batches.
    Ready,
    /// Its file cannot run. Events wait for a good one.
    Invalid,
}

/// Counters of one plugin since the program's start. All rise only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginStats {
    /// Calls of `export`.
    pub calls: u64,
    /// Instances made.
    pub instances: u64,
    /// Calls ended by a trap (exits included).
    pub traps: u64,
    /// Calls ended by the wall limit.
    pub timeouts: u64,
    /// Calls ended by the CPU limit.
    pub cpu_exceeded: u64,
    /// Growths of memory refused.
    pub memory_refused: u64,
    /// Growths of tables refused.
    pub tables_refused: u64,
    /// Calls that held too many handles of the host's at once.
    pub resources_refused: u64,
    /// Calls that handed the host too much data at once.
    pub hostcall_exceeded: u64,
    /// Requests made, by either HTTP interface.
    pub http_requests: u64,
    /// Requests refused by `allowedHosts` or by the address rules.
    pub http_denied: u64,
    /// Responses cut at the cap.
    pub http_truncated: u64,
    /// Bytes of log and output dropped over the cap.
    pub log_dropped_bytes: u64,
    /// Results that broke the contract (too long, wrong index).
    pub bad_results: u64,
}
