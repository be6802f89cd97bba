//! How a relay is put together.

use std::path::PathBuf;
use std::sync::Arc;

use flagpost_delivery::Policy;
use flagpost_event::{Clock, EventKind, SystemClock};
use flagpost_exporter::{Exporter, Secret};
use flagpost_plugin::Compiler;
use flagpost_spool::Identity;

use super::start::{Settings, start};
use super::{Relay, StartError};
use crate::config::{self, AuthorizedKeys, BufferType, Config, DEFAULT_FLAG_SET, ExporterConfig, FlagSet, Sources, Target};

/// The `kind` of an embedding program's own exporters, in metrics and logs.
const OWN_KIND: &str = "native";

/// Puts a [`Relay`] together. Without a configuration file it has the file's defaults, and events are kept in memory.
#[derive(Default)]
pub struct RelayBuilder {
    file: Option<PathBuf>,
    config: Option<Config>,
    additions: Additions,
    listen: bool,
    clock: Option<Arc<dyn Clock>>,
    compiler: Option<Compiler>,
    seed: Option<u64>,
}

/// What a builder was given beside a configuration: added to that of the start, and to each that takes its place.
#[derive(Clone, Default)]
pub(crate) struct Additions {
    buffer: Option<(BufferType, Option<PathBuf>, Option<u64>)>,
    own: Vec<ExporterConfig>,
    flag_sets: Vec<FlagSet>,
    keys: AuthorizedKeys,
    address: Option<(String, u16)>,
}

impl Additions {
    pub(crate) fn apply(&self, config: &mut Config) {
        if let Some((kind, path, max_bytes)) = &self.buffer {
            config.set_buffer(*kind, path.clone(), *max_bytes);
        }
        if let Some((host, port)) = &self.address {
            (config.server.host, config.server.port) = (host.clone(), *port);
            config.server.unix_socket = None;
        }
        config.exporters.extend(self.own.iter().cloned());
        config.flag_sets.extend(self.flag_sets.iter().cloned());
        config.authorized_keys.evaluation.extend(self.keys.evaluation.iter().cloned());
        config.authorized_keys.admin.extend(self.keys.admin.iter().cloned());
    }
}

impl std::fmt::Debug for RelayBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RelayBuilder").field("file", &self.file).field("own", &self.additions.own).finish_non_exhaustive()
    }
}

/// How one of the embedding program's own exporters is served.
#[derive(Clone, Debug)]
pub struct ExporterOptions {
    /// Whose events it gets: the name of a flag set, of the configuration or of [`RelayBuilder::flag_set`].
    pub flag_set: String,
    /// The events it gets.
    pub events: Vec<EventKind>,
    /// When it gets them, and what happens when it fails or is slow.
    pub policy: Policy,
}

impl Default for ExporterOptions {
    /// Feature events of the default flag set, with the file's defaults: upstream's.
    fn default() -> Self {
        ExporterOptions { flag_set: DEFAULT_FLAG_SET.to_owned(), events: vec![EventKind::Feature], policy: Policy::default() }
    }
}

impl RelayBuilder {
    /// Reads the configuration from a file.
    #[must_use]
    pub fn config_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// Takes a configuration that was read before.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = Some(config);
        self
    }

    /// Keeps at most `max_bytes` of events in memory: what is not delivered when the process ends is lost.
    #[must_use]
    pub fn memory(mut self, max_bytes: u64) -> Self {
        self.additions.buffer = Some((BufferType::Memory, None, Some(max_bytes)));
        self
    }

    /// Keeps events on disk below `path`: they survive the process.
    #[must_use]
    pub fn disk(mut self, path: impl Into<PathBuf>) -> Self {
        self.additions.buffer = Some((BufferType::Disk, Some(path.into()), None));
        self
    }

    /// Adds an exporter of one's own for feature events. `name` is what its place in the log belongs to: the same name goes on there.
    #[must_use]
    pub fn exporter(self, name: impl Into<String>, exporter: impl Exporter) -> Self {
        self.exporter_with(name, exporter, ExporterOptions::default())
    }

    /// Adds an exporter of one's own.
    #[must_use]
    pub fn exporter_with(mut self, name: impl Into<String>, exporter: impl Exporter, options: ExporterOptions) -> Self {
        self.additions.own.push(ExporterConfig {
            identity: Identity { flag_set: options.flag_set, exporter: name.into() },
            kind: OWN_KIND.to_owned(),
            events: options.events,
            policy: options.policy,
            target: Target::Native(Arc::new(exporter)),
            made_of: None,
        });
        self
    }

    /// Adds a flag set: a tenant with streams and exporters of its own. Over HTTP a request with one of these keys sends its events, and
    /// with any flag set no request comes in without a key. Without keys only [`Relay::collect_for`] reaches it.
    #[must_use]
    pub fn flag_set(mut self, name: impl Into<String>, api_keys: impl IntoIterator<Item = Secret>) -> Self {
        self.additions.flag_sets.push(FlagSet { name: name.into(), api_keys: api_keys.into_iter().collect() });
        self
    }

    /// Adds keys that open the collector (`authorizedKeys.evaluation`): with any of them, nobody comes in without one.
    #[must_use]
    pub fn evaluation_keys(mut self, keys: impl IntoIterator<Item = Secret>) -> Self {
        self.additions.keys.evaluation.extend(keys);
        self
    }

    /// Adds keys that open the admin routes, and the collector too (`authorizedKeys.admin`).
    #[must_use]
    pub fn admin_keys(mut self, keys: impl IntoIterator<Item = Secret>) -> Self {
        self.additions.keys.admin.extend(keys);
        self
    }

    /// Listens where the configuration says (`server`). Without this or [`listen_at`](Self::listen_at) there is no HTTP.
    #[must_use]
    pub fn listen(mut self) -> Self {
        self.listen = true;
        self
    }

    /// Listens at this host and port; port 0 lets the system choose ([`Relay::address`]).
    #[must_use]
    pub fn listen_at(mut self, host: impl Into<String>, port: u16) -> Self {
        self.listen = true;
        self.additions.address = Some((host.into(), port));
        self
    }

    /// Reads wall time from `clock` instead of the system.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Seeds the jitter of retries, so that runs can be repeated.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Compiles plugins with the program at `program` (a `flagpost`) in a child process; otherwise in this process.
    #[must_use]
    pub fn compile_with(mut self, program: impl Into<PathBuf>) -> Self {
        self.compiler = Some(Compiler::Child(program.into()));
        self
    }

    /// Starts it: nothing is taken before this returns.
    pub async fn start(self) -> Result<Relay, StartError> {
        flagpost_exporter::install_crypto();
        let from_file = self.file.is_some() || self.config.is_some();
        let mut config = match (self.config, &self.file) {
            (Some(config), _) => config,
            (None, Some(file)) => {
                let loaded = config::load(file, &Sources::system())?;
                for warning in &loaded.warnings {
                    tracing::warn!("{warning}");
                }
                loaded.config
            }
            (None, None) => config::defaults(&Sources::system()),
        };
        let mut additions = self.additions;
        if additions.buffer.is_none() && !from_file {
            additions.buffer = Some((BufferType::Memory, None, None));
        }
        additions.apply(&mut config);
        let settings = Settings {
            clock: self.clock.unwrap_or_else(|| Arc::new(SystemClock)),
            compiler: self.compiler.unwrap_or(Compiler::InProcess),
            seed: self.seed.unwrap_or_else(rand::random),
            listen: self.listen,
            additions,
        };
        start(config, settings).await
    }
}
