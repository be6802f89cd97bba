//! What can be told about a plugin at any moment.

use std::path::PathBuf;

use serde::Serialize;

pub use crate::payload::Encoding as PluginEncoding;
use crate::{PluginDiagnostic, PluginGrants};

/// A plugin's state and facts, for `/health/exporters`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginReport {
    /// The exporter's name.
    pub name: String,
    /// The component's file; of an image its reference, as it was written.
    pub path: PathBuf,
    /// The image that runs, with the digest of its manifest: what a tag led to. `None`: the plugin is a file, or nothing was fetched yet.
    pub image: Option<String>,
    /// Where in its life it is.
    pub state: PluginState,
    /// Why it is invalid, and what to do.
    pub reason: Option<String>,
    /// Hex SHA-256 of the file that runs; while none does, of the one last read.
    pub digest: Option<String>,
    /// Size of that file in bytes.
    pub size: Option<u64>,
    /// What is being done with a file right now, to run it first or in place of the one that runs.
    pub loading: Option<LoadStep>,
    /// How often a file was tried so far, whatever came of it.
    pub loads: u64,
    /// The file that is there now and does not run, while an older one does.
    pub refused: Option<RefusedFile>,
    /// Earlier generations that have a call under way.
    pub draining: usize,
    /// Calls in a row that ended without an answer.
    pub crashes_in_a_row: u32,
    /// Whether its calls wait because of that.
    pub slowed: bool,
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
    /// What it is granted.
    pub grants: PluginGrants,
    /// The last thing that was refused to it, with the line that grants it.
    pub last_denial: Option<String>,
    /// Counts implementations, from 1. `None`: never ready yet.
    pub generation: Option<u64>,
    /// Whether it takes batches; `None` before it is ready.
    pub bulk: Option<bool>,
    /// Its last failed call.
    pub last_error: Option<String>,
    /// Why the files of `http.tls` that changed are not used; those before go on.
    pub certificates_refused: Option<String>,
    /// Largest linear memory an instance had, in bytes.
    pub memory_peak: u64,
    /// What it did so far.
    pub stats: PluginStats,
}

/// A step on the way from a file to a plugin that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LoadStep {
    /// Looked for in the cache of images, or fetched from its registry.
    Fetching,
    /// Read, and compared with its pin.
    Verifying,
    /// Compiled, or taken from the cache. Waits for its turn: one compilation at a time.
    Compiling,
    /// Instantiated, described, asked.
    Trying,
}

/// A file that was not taken in place of the one that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusedFile {
    /// Why, and what to do.
    pub reason: String,
    /// Its hex SHA-256, if it could be read.
    pub digest: Option<String>,
    /// When, in Unix milliseconds.
    pub at_unix_millis: u64,
}

/// Where in its life a plugin is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PluginState {
    /// Being read, compiled, tried. Events wait.
    Compiling,
    /// Takes batches, also while another file is being tried or was refused.
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
    /// Those of them that named an event twice.
    pub duplicates: u64,
    /// Reasons that were cut.
    pub texts_cut: u64,
    /// Connections and look-ups refused by `allowedSockets` or by the address rules.
    pub sockets_denied: u64,
    /// Requests that would have taken a secret's placeholder where it is not granted.
    pub secrets_refused: u64,
    /// Answers in which a secret was blanked.
    pub secrets_blanked: u64,
    /// Uses of state refused: not granted, or over the quota.
    pub state_refused: u64,
    /// Numbers of its own that were dropped over the bounds.
    pub metrics_dropped: u64,
    /// Files that took the place of one that ran.
    pub replacements: u64,
    /// Files that were not taken in place of one that ran, and ran not.
    pub files_refused: u64,
    /// Changes of the files of `http.tls` that cannot be used; those before go on.
    pub certificates_refused: u64,
}
