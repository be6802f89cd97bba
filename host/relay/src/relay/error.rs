//! Why a relay does not start, or does not take an event.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use flagpost_delivery::DeliveryError;
use flagpost_plugin::{HostError, SpecError};
use flagpost_spool::{AppendError, LedgerError, LockError, OpenError};

use crate::config::ConfigError;
use crate::tls::TlsError;

/// A relay that did not start. Nothing was taken or sent.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is wrong; all of its problems.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// `buffer.path` cannot be written.
    #[error(
        "events cannot be kept in `{}`; give this user the right to write there, set `buffer.path` to another directory, or set \
         `buffer.type: memory` (what is not delivered is then lost at the end)",
        path.display()
    )]
    NotWritable {
        /// The directory.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// Another relay holds `buffer.path`.
    #[error(transparent)]
    Locked(LockError),
    /// The event log cannot be opened.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// The bookkeeping cannot be opened.
    #[error("the bookkeeping cannot be opened")]
    Ledger(#[from] LedgerError),
    /// The host of the plugins cannot start.
    #[error("plugins cannot be run")]
    PluginHost(#[from] HostError),
    /// A plugin's configuration is wrong.
    #[error("a plugin's configuration is wrong")]
    Plugin(#[from] SpecError),
    /// A plugin cannot run, and `plugins.required` is true.
    #[error("the plugin `{exporter}` cannot run, and `plugins.required` is true: {reason}")]
    PluginInvalid {
        /// The exporter.
        exporter: String,
        /// Why.
        reason: String,
    },
    /// A plugin that would take the place of one that runs cannot run.
    #[error("the plugin `{exporter}` of the new configuration cannot run, and the one before goes on: {reason}")]
    PluginNotTaken {
        /// The exporter.
        exporter: String,
        /// Why.
        reason: String,
    },
    /// Two exporters of one name read the same events.
    #[error("two exporters are called `{exporter}`; give each a name of its own")]
    Twice {
        /// The name.
        exporter: String,
    },
    /// An exporter serves a flag set that is not there.
    #[error("the exporter `{exporter}` is for the flag set `{flag_set}`, which is not configured")]
    UnknownFlagSet {
        /// The exporter.
        exporter: String,
        /// What it names.
        flag_set: String,
    },
    /// Two flag sets have one name.
    #[error("two flag sets are called `{flag_set}`; give each a name of its own")]
    FlagSetTwice {
        /// The name.
        flag_set: String,
    },
    /// A key opens two flag sets, so it would decide nothing.
    #[error("one API key belongs to the flag sets `{first}` and `{second}`; give each flag set keys of its own")]
    SharedKey {
        /// One of them.
        first: String,
        /// The other one.
        second: String,
    },
    /// The certificate of `server.tls` cannot be served.
    #[error("`server.tls` cannot be used")]
    Tls(#[from] TlsError),
    /// Delivery cannot start.
    #[error("delivery cannot start")]
    Delivery(#[source] Box<DeliveryError>),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: choose another `server.host`, `server.port`, `server.monitoringPort` or `server.unixSocketPath`")]
    Listen {
        /// Where.
        address: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// `upstream.caFile` cannot be used.
    #[error("the certificates of `upstream.caFile` cannot be used: {0}")]
    Upstream(String),
    /// The system gives no threads.
    #[error("the system gives no threads")]
    Threads(#[source] io::Error),
}

impl From<DeliveryError> for StartError {
    fn from(error: DeliveryError) -> Self {
        StartError::Delivery(Box::new(error))
    }
}

/// A configuration that was not put in effect. The one before goes on.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The file is wrong; all of its problems.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It cannot be put in effect.
    #[error("the configuration cannot be put in effect")]
    Refused(#[source] StartError),
}

/// An event that was not taken.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// There is no such flag set.
    #[error("there is no flag set `{flag_set}`")]
    UnknownFlagSet {
        /// What was asked for.
        flag_set: String,
    },
    /// Events are refused for now; nothing was taken.
    #[error("{reason}")]
    Refused {
        /// Why.
        reason: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// The event log did not take it; nothing is promised.
    #[error(transparent)]
    Store(#[from] AppendError),
}
