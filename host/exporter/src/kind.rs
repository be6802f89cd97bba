//! The registry of built-in kinds: what the configuration calls them, which keys they take, how they are built.

use std::sync::Arc;

use flagpost_event::{Clock, SystemClock};

use crate::{ConfigError, Exporter, LineSink};

/// Builds an exporter from its own keys.
pub type BuildFn = fn(serde_json::Value, &BuildContext) -> Result<Arc<dyn Exporter>, ConfigError>;

/// A built-in kind of exporter.
#[derive(Clone, Copy, Debug)]
pub struct KindInfo {
    /// The `kind` in the configuration; upstream's name.
    pub name: &'static str,
    /// The keys it takes beside the ones every exporter has (`kind`, `name`, `eventType`, `flushInterval`, ...). Upstream's names.
    pub keys: &'static [&'static str],
    /// Those keys that say where data goes: an unnamed exporter's identity is a hash over them.
    pub location_keys: &'static [&'static str],
    /// Builds one from an object with nothing but [`keys`](Self::keys). Writes nothing and connects to nothing.
    pub build: BuildFn,
}

/// What an exporter knows of the program it runs in.
#[derive(Clone, Debug)]
pub struct BuildContext {
    /// The machine's name, upstream's `os.Hostname()`.
    pub hostname: String,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// Where the `log` exporter writes.
    pub lines: Arc<dyn LineSink>,
}

impl BuildContext {
    /// This machine's name and clock, log lines to standard error.
    pub fn system() -> Self {
        let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
        BuildContext { hostname, clock: Arc::new(SystemClock), lines: Arc::new(crate::StderrLines) }
    }
}

/// All built-in kinds.
pub fn kinds() -> &'static [KindInfo] {
    &[crate::file::KIND, crate::log::KIND, crate::webhook::KIND]
}
