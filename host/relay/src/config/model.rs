//! A configuration that holds: defaults applied, every value checked.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flagpost_delivery::Policy;
use flagpost_event::EventKind;
use flagpost_event::collect::CollectLimits;
use flagpost_exporter::{Exporter, Secret};
use flagpost_plugin::PluginSpec;
use flagpost_settings::Node;
use flagpost_spool::Identity;
use sha2::{Digest, Sha256};
use url::Url;

use super::file::BufferType;
use super::values::{LogFormat, LogLevel};

/// The flag set of everything that names none.
pub const DEFAULT_FLAG_SET: &str = "default";

/// What the relay runs with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens.
    pub server: Server,
    /// The relay that every other request is passed to; `None`: events are collected and exported only.
    pub upstream: Option<Upstream>,
    /// `plugins.required`: a plugin that cannot run ends the program at start.
    pub plugins_required: bool,
    /// Where events are kept.
    pub buffer: Buffer,
    /// What a request may carry and how long it may take.
    pub collector: Collector,
    /// How long exporters may take to send what waits at the end.
    pub shutdown_timeout: Duration,
    /// What is logged.
    pub log_level: LogLevel,
    /// How it is logged.
    pub log_format: LogFormat,
    /// `disableVersionHeader`: answers carry no `X-Gofeatureflag-Version`.
    pub disable_version_header: bool,
    /// Who may do what.
    pub authorized_keys: AuthorizedKeys,
    /// `flagSets`, in the file's order. Empty: everything belongs to [`DEFAULT_FLAG_SET`]. Otherwise a request's key decides its flag set,
    /// and each exporter's identity names the one that it serves.
    pub flag_sets: Vec<FlagSet>,
    /// The destinations of all flag sets, in the file's order.
    pub exporters: Vec<ExporterConfig>,
}

impl Config {
    /// Keeps events elsewhere than the file says.
    pub(crate) fn set_buffer(&mut self, kind: BufferType, path: Option<PathBuf>, max_bytes: Option<u64>) {
        if kind != self.buffer.kind || max_bytes.is_some() {
            self.buffer.max_bytes = max_bytes.unwrap_or(super::default_max_bytes(kind));
        }
        self.buffer.kind = kind;
        self.buffer.path = path.unwrap_or_else(|| std::mem::take(&mut self.buffer.path));
    }
}

/// `server`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// `server.host`, default 0.0.0.0.
    pub host: String,
    /// `server.port`, default 1031; 0 lets the system choose.
    pub port: u16,
    /// `server.monitoringPort`: health, info and metrics are served there instead. `None` (upstream writes 0): on `port`.
    pub monitoring_port: Option<u16>,
    /// `server.unixSocketPath`, when `server.mode` is `unixsocket`: the collector listens there instead of at `host` and `port`.
    pub unix_socket: Option<PathBuf>,
    /// `server.tls`: HTTPS at `port`.
    pub tls: Option<Tls>,
}

/// `server.tls`: files in PEM, read again when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// `server.tls.cert`: the certificate and those between it and its root.
    pub cert: PathBuf,
    /// `server.tls.key`.
    pub key: PathBuf,
}

/// `authorizedKeys`. Upstream's rules: keys of `evaluation` and of flag sets open the collector, and it is open to everyone when there is
/// none of either; keys of `admin` open it, too, and alone open the admin routes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthorizedKeys {
    /// `authorizedKeys.evaluation`, and upstream's deprecated `apiKeys`.
    pub evaluation: Vec<Secret>,
    /// `authorizedKeys.admin`.
    pub admin: Vec<Secret>,
}

/// One of `flagSets`: a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlagSet {
    /// `name`; without one, a hash of its sorted keys' digests.
    pub name: String,
    /// `apiKeys`: never empty, and none is another flag set's.
    pub api_keys: Vec<Secret>,
}

/// `upstream`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// `upstream.url`; its path goes in front of each request's.
    pub url: Url,
    /// `upstream.connectTimeout`, default 5 s.
    pub connect_timeout: Duration,
    /// `upstream.responseTimeout`, default 60 s: how long upstream may take until its answer begins, and a client between two pieces of its
    /// request. Answers themselves may take as long as they like.
    pub response_timeout: Duration,
    /// `upstream.maxConnections`, default 4,096: requests, streams and upgraded connections passed on at the same time. Fewer than
    /// `collector.maxConnections`, so that they leave room for the collector's.
    pub max_connections: usize,
    /// `upstream.caFile`: certificates in PEM that are trusted beside the system's and Mozilla's.
    pub ca_file: Option<PathBuf>,
}

impl Upstream {
    /// The relay at `url`, with the defaults of all other keys.
    pub fn at(url: Url) -> Upstream {
        let (connect_timeout, response_timeout) = (Duration::from_secs(5), Duration::from_secs(60));
        Upstream { url, connect_timeout, response_timeout, max_connections: 4096, ca_file: None }
    }
}

/// `buffer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// `buffer.type`.
    pub kind: BufferType,
    /// `buffer.path`, absolute or relative to the working directory; memory buffers keep only compiled plugins there.
    pub path: PathBuf,
    /// `buffer.maxBytes`, default 4 GiB (memory: 256 MiB).
    pub max_bytes: u64,
    /// `buffer.minFree`, default 512 MiB: below it requests are refused.
    pub min_free: u64,
    /// `buffer.lockTimeout`, default 30 s.
    pub lock_timeout: Duration,
    /// `buffer.keepRemoved`, default 24 h.
    pub keep_removed: Duration,
}

/// `collector`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    /// `collector.webhookSecret`: bodies of `/v1/data/exported` must be signed with it (`X-Hub-Signature-256`).
    pub webhook_secret: Option<Secret>,
    /// `collector.maxBody`: bytes of a request's body as sent.
    pub max_body: usize,
    /// `collector.maxInflated`: bytes of a compressed body after decompression.
    pub max_inflated: usize,
    /// What the decoded request may hold.
    pub limits: CollectLimits,
    /// `collector.headerTimeout`: time for a request's head, idle time between requests included.
    pub header_timeout: Duration,
    /// `collector.bodyTimeout`: time for a request's body.
    pub body_timeout: Duration,
    /// `collector.maxConnections`: connections at the same time.
    pub max_connections: usize,
    /// `collector.maxInFlight`: bytes that all requests together may hold while they are taken. Default: 512 MiB, or a quarter of the
    /// memory there is if that is less.
    pub max_in_flight: usize,
}

/// One destination.
#[derive(Clone, Debug)]
pub struct ExporterConfig {
    /// What its cursors belong to.
    pub identity: Identity,
    /// `kind`.
    pub kind: String,
    /// `eventType`: the streams it reads.
    pub events: Vec<EventKind>,
    /// How it is served.
    pub policy: Policy,
    /// Where events go.
    pub target: Target,
    /// What a built-in kind was built from; `None` for an embedding program's own type.
    pub(crate) made_of: Option<Fingerprint>,
}

impl ExporterConfig {
    /// Whether the other one sends the same events in the same way to the same place, however it is served.
    pub(crate) fn does_the_same(&self, other: &ExporterConfig) -> bool {
        let same = match (&self.target, &other.target) {
            (Target::Wasm(one), Target::Wasm(other)) => one == other,
            (Target::Native(_), Target::Native(_)) if self.made_of.is_some() => self.made_of == other.made_of,
            (Target::Native(one), Target::Native(other)) => Arc::ptr_eq(one, other),
            _ => false,
        };
        same && self.identity == other.identity && self.kind == other.kind && self.events == other.events
    }
}

/// A digest of everything that an exporter was built from, secrets included.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of the keys of a kind, as they hold.
    pub(crate) fn of(keys: &Node) -> Fingerprint {
        Fingerprint(Sha256::digest(keys.to_json().to_string()).into())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint")
    }
}

/// Where an exporter's events go.
#[derive(Clone)]
pub enum Target {
    /// A built-in kind, or an embedding program's own type.
    Native(Arc<dyn Exporter>),
    /// `kind: wasm`.
    Wasm(Box<PluginSpec>),
}

impl Target {
    /// The same target; a plugin is told whose it is and what it gets.
    pub(crate) fn named(mut self, flag_set: &str, name: &str, events: &[EventKind]) -> Target {
        if let Target::Wasm(spec) = &mut self {
            name.clone_into(&mut spec.name);
            flag_set.clone_into(&mut spec.flag_set);
            events.clone_into(&mut spec.events);
        }
        self
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Native(_) => f.write_str("Native"),
            Target::Wasm(spec) => write!(f, "Wasm({})", spec.path.display()),
        }
    }
}
