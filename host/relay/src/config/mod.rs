//! The configuration: upstream's file and our keys, into typed structs, with all that is wrong said at once.
//!
//! The way of a file: text -> [`yaml`] -> a tree that knows its lines ([`Node`]) -> `${NAME}` replaced in its texts ([`env`]) -> sections
//! ([`file`], [`exporters`]) decoded by [`decode_with`], which collects complaints instead of stopping at the first -> defaults and rules that
//! span keys (here) -> [`Config`]. Another format, or environment variables as a source, ends in the same tree.
//!
//! Where the file is looked for is [`locate`]'s business.

mod env;
mod exporters;
mod file;
mod identity;
mod keys;
mod locate;
mod model;
mod problem;
mod wasm;
mod yaml;

#[cfg(test)]
mod random;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flagpost_event::collect::CollectLimits;
use flagpost_exporter::BuildContext;

pub use file::{BufferType, LogFormat, LogLevel};
pub use flagpost_settings::{Place, Problem, Severity};
pub use locate::{Located, locate};
pub use model::{AuthorizedKeys, Buffer, Collector, Config, DEFAULT_FLAG_SET, ExporterConfig, FlagSet, Server, Target, Tls, Upstream};
pub use problem::ConfigError;

use flagpost_settings::{Data, Node, Problems, Size, decode_with};

/// What a configuration is read with: parameters, so that tests have their own world.
pub struct Sources<'a> {
    /// Reads an environment variable.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// What built-in exporters are built with.
    pub build: BuildContext,
}

impl fmt::Debug for Sources<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").finish_non_exhaustive()
    }
}

impl Sources<'static> {
    /// This process's environment and machine.
    pub fn system() -> Self {
        Sources { env: &|name| std::env::var(name).ok(), build: BuildContext::system() }
    }
}

/// A configuration that holds, and what was noticed without being wrong.
#[derive(Debug)]
pub struct Loaded {
    /// What the relay runs with.
    pub config: Config,
    /// To be said once.
    pub warnings: Vec<Problem>,
}

/// Reads a file. The error holds all that is wrong with it.
pub fn load(path: &Path, sources: &Sources<'_>) -> Result<Loaded, ConfigError> {
    let fail = |problem| ConfigError { file: Some(path.to_owned()), problems: vec![problem] };
    let bytes = std::fs::read(path)
        .map_err(|error| fail(Problem::error("", 0, format!("cannot be read: {error}"), "name the file with `--config FILE`")))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        fail(Problem::error("", 0, format!("not UTF-8 at byte {}", error.utf8_error().valid_up_to()), "save it as UTF-8"))
    })?;
    let base = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    from_text(&text, base, sources).map_err(|problems| ConfigError { file: Some(path.to_owned()), problems })
}

/// Reads a YAML text; relative plugin paths start at `base`. The error holds all that is wrong with it, warnings included.
pub fn from_text(text: &str, base: &Path, sources: &Sources<'_>) -> Result<Loaded, Vec<Problem>> {
    let mut root = yaml::parse(text).map_err(|problem| vec![problem])?;
    let mut problems = Problems::default();
    env::substitute(&mut root, "", sources.env, &mut problems);
    let config = assemble(&root, base, sources, &mut problems);
    match problems.finish() {
        (problems, true) => Err(problems),
        (warnings, false) => Ok(Loaded { config, warnings }),
    }
}

/// The configuration of an empty file.
pub fn defaults(sources: &Sources<'_>) -> Config {
    assemble(&Node::null(), Path::new("."), sources, &mut Problems::default())
}

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

fn assemble(root: &Node, base: &Path, sources: &Sources<'_>, problems: &mut Problems) -> Config {
    let file: file::File = decode_with(root, "", &keys::elsewhere, problems);
    // A root that is no map was complained about; nothing below it can be said.
    let root = if matches!(root.data, Data::Map(_)) { root.clone() } else { Node::null() };
    let place = |key: &str| root.place_at(key).cloned().unwrap_or(Place::Nowhere);

    if file.upstream.is_none() && file.evaluation.is_none() {
        for key in ["retriever", "retrievers"] {
            if let Some(entry) = root.get(key) {
                problems.error(key, &entry.place, "this relay does not evaluate flags itself yet", keys::TWO_WAYS);
            }
        }
    }
    let upstream = file.upstream.and_then(|upstream| match upstream.url {
        Some(url) => Some(Upstream { url: url.0, connect_timeout: upstream.connect_timeout.map_or(Duration::from_secs(5), |span| span.0) }),
        None => {
            if root.get("upstream").is_none_or(|entry| entry.value.get("url").is_none()) {
                problems.error("upstream", place("upstream"), "no `url`", "write `upstream: { url: http://relay:1031 }`");
            }
            None
        }
    });

    let memory = file.buffer.r#type == BufferType::Memory;
    let max_bytes = file.buffer.max_bytes.map_or(default_max_bytes(file.buffer.r#type), |size| size.0);
    let least = 64 * MIB;
    if max_bytes < least && !memory {
        let message = format!("{max_bytes} bytes do not hold one segment");
        problems.error("buffer.maxBytes", place("buffer.maxBytes"), message, "give it 256MiB or more");
    }
    let buffer = Buffer {
        kind: file.buffer.r#type,
        path: file.buffer.path.map_or_else(|| default_path(sources.env), PathBuf::from),
        max_bytes,
        min_free: file.buffer.min_free.map_or(512 * MIB, |size| size.0),
        lock_timeout: file.buffer.lock_timeout.map_or(Duration::from_secs(30), |span| span.0),
        keep_removed: file.buffer.keep_removed.map_or(Duration::from_secs(24 * 3600), |span| span.0),
    };
    let file::Ack::Disk = file.buffer.ack;

    let plugins_dir = base.join(file.plugins_dir.as_deref().unwrap_or("plugins"));
    let around = exporters::Surroundings { max_bytes, plugins_dir, base: base.to_owned(), build: &sources.build };
    let exporters = exporters::exporters(&root, &around, problems);
    exporters::warn_unread(&root, &exporters, problems);

    Config {
        server: Server {
            host: file.server.host.unwrap_or_else(|| "0.0.0.0".to_owned()),
            port: file.server.port.unwrap_or(1031),
            monitoring_port: None,
            unix_socket: None,
            tls: None,
        },
        upstream,
        plugins_required: file.plugins.required,
        buffer,
        collector: collector(&file.collector),
        shutdown_timeout: file.shutdown_timeout.map_or(Duration::from_secs(10), |span| span.0),
        log_level: file.log_level.unwrap_or(LogLevel(tracing::Level::INFO)),
        log_format: file.log_format.unwrap_or_default(),
        disable_version_header: false,
        authorized_keys: AuthorizedKeys::default(),
        flag_sets: Vec::new(),
        exporters,
    }
}

/// `buffer.maxBytes` when nothing says otherwise.
pub(crate) fn default_max_bytes(kind: BufferType) -> u64 {
    match kind {
        BufferType::Disk => 4 * GIB,
        BufferType::Memory => 256 * MIB,
    }
}

fn collector(keys: &file::Collector) -> Collector {
    let bytes = |size: Option<Size>, default: u64| usize::try_from(size.map_or(default, |size| size.0)).unwrap_or(usize::MAX);
    let defaults = CollectLimits::default();
    let limit = |size: Option<Size>, default: usize| bytes(size, default as u64);
    Collector {
        webhook_secret: None,
        max_body: bytes(keys.max_body, 32 * MIB),
        max_inflated: bytes(keys.max_inflated, 128 * MIB),
        limits: CollectLimits {
            max_events: keys.max_events.map_or(defaults.max_events, |events| events as usize),
            max_meta_bytes: limit(keys.max_meta, defaults.max_meta_bytes),
            max_encoded_bytes: limit(keys.max_encoded, defaults.max_encoded_bytes),
            max_event_bytes: limit(keys.max_event, defaults.max_event_bytes),
            max_depth: keys.max_depth.map_or(defaults.max_depth, usize::from),
        },
        // Clients flush once a minute and keep their connection: a shorter time would only make them connect anew.
        header_timeout: keys.header_timeout.map_or(Duration::from_secs(120), |span| span.0),
        body_timeout: keys.body_timeout.map_or(Duration::from_secs(30), |span| span.0),
        max_connections: keys.max_connections.map_or(10_000, |connections| connections as usize),
    }
}

/// `buffer.path` when the file has none: what systemd made for the service, the system's place if it is there, else the working directory's.
fn default_path(env: env::Lookup<'_>) -> PathBuf {
    // systemd lists several directories with colons; the first is the service's own.
    let state = env("STATE_DIRECTORY").and_then(|list| list.split(':').next().filter(|first| !first.is_empty()).map(PathBuf::from));
    let system = Path::new(SYSTEM_PATH);
    state.unwrap_or_else(|| if system.is_dir() { system.to_owned() } else { PathBuf::from("./data") })
}

/// Where a packaged service keeps its events.
pub const SYSTEM_PATH: &str = "/var/lib/flagpost";
