//! The file's sections, as they are written. Doc comments are the reference of the configuration, `Default` holds its defaults. Every field
//! has one, so that one mistake hides no other.

use flagpost_event::collect::CollectLimits;
use flagpost_settings::{Secret, Size, Span};
use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::schema::{exporter_schema, exporters_schema, flag_sets_schema};
use super::values::{Evaluation, HttpUrl, LogFormat, LogLevel, Mode};

const MIB: u64 = 1 << 20;

/// The whole file. `exporter` and `exporters` are decoded by their kinds.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct File {
    /// Where the relay listens.
    pub(crate) server: Server,
    /// The relay that evaluates: every request that is not flagpost's own is passed to it.
    pub(crate) upstream: Option<Upstream>,
    /// `none`: nobody evaluates, events are collected and exported only. Needed beside a retriever without `upstream`.
    pub(crate) evaluation: Option<Evaluation>,
    /// The directory of plugins that are named without a `/`, relative to the configuration file.
    #[schemars(extend("default" = DEFAULT_PLUGINS_DIR))]
    pub(crate) plugins_dir: Option<String>,
    /// What holds for all plugins.
    pub(crate) plugins: Plugins,
    /// Where events are kept until every exporter has them.
    pub(crate) buffer: Buffer,
    /// What a request with events may carry, and how long it may take.
    pub(crate) collector: Collector,
    /// Who may do what. Keys of `evaluation` and of flag sets open the collector; it is open to everyone when there is none of either.
    pub(crate) authorized_keys: AuthorizedKeys,
    /// Tenants: the key of a request decides whose events it brings. With flag sets, exporters beside them are not used.
    #[serde(rename = "flagSets")]
    #[schemars(schema_with = "flag_sets_schema")]
    _flag_sets: IgnoredAny,
    /// One exporter; comes before those of `exporters`.
    #[serde(rename = "exporter")]
    #[schemars(schema_with = "exporter_schema")]
    _exporter: IgnoredAny,
    /// Where events go: a list of exporters, or a single one.
    #[serde(rename = "exporters")]
    #[schemars(schema_with = "exporters_schema")]
    _exporters: IgnoredAny,
    /// Asks each exporter's destination in the background whether it is there and takes the credentials: at start, after failures, and while the
    /// exporter is in trouble. `/health/exporters` shows the answers. Without it only `flagpost validate --probe` asks.
    #[schemars(extend("default" = true))]
    pub(crate) probes: Option<bool>,
    /// How long exporters may take to send what waits when the relay ends.
    pub(crate) shutdown_timeout: ShutdownTimeout,
    /// What is logged: `debug`, `info`, `warn` or `error`, in any case; upstream's `dpanic`, `panic` and `fatal` mean `error`.
    pub(crate) log_level: LogLevel,
    /// How it is logged: `json` or `logfmt`.
    pub(crate) log_format: LogFormat,
    /// Answers then carry no `X-Gofeatureflag-Version`.
    pub(crate) disable_version_header: bool,
    /// What names of environment variables begin with, its `_` included: with `GOFF_`, `GOFF_SERVER_PORT` is `server.port`. Only from the file.
    #[serde(rename = "envVariablePrefix")]
    _env_variable_prefix: String,
}

/// `pluginsDir` when the file has none.
pub(crate) const DEFAULT_PLUGINS_DIR: &str = "plugins";

/// A span with a default of its own.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct ShutdownTimeout(pub(crate) Span);

impl Default for ShutdownTimeout {
    fn default() -> Self {
        // Orchestrators kill after 30 s: what waits is on disk, so there is no reason to come near that.
        ShutdownTimeout(Span::seconds(10))
    }
}

/// Where the relay listens.
#[derive(Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Server {
    /// `http`, or `unixsocket` with `unixSocketPath`. `lambda` is refused.
    pub(crate) mode: Mode,
    /// The address to listen at.
    pub(crate) host: String,
    /// The port to listen at; 0 lets the system choose.
    pub(crate) port: u16,
    /// Serves health, info and metrics at a port of their own; 0: at `port`.
    pub(crate) monitoring_port: u16,
    /// The socket to listen at when `mode` is `unixsocket`. An existing socket file is replaced.
    pub(crate) unix_socket_path: Option<String>,
    /// HTTPS at `port`.
    pub(crate) tls: Option<Tls>,
}

impl Default for Server {
    fn default() -> Self {
        Server { mode: Mode::Http, host: "0.0.0.0".to_owned(), port: 1031, monitoring_port: 0, unix_socket_path: None, tls: None }
    }
}

/// Files in PEM, relative to the configuration file; read again when they change.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Tls {
    /// Mandatory. The certificate and those between it and its root.
    pub(crate) cert: Option<String>,
    /// Mandatory. The certificate's private key.
    pub(crate) key: Option<String>,
}

/// The relay that evaluates.
#[derive(Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Upstream {
    /// Mandatory. Its address, `http://relay:1031`; a path goes in front of each request's.
    pub(crate) url: Option<HttpUrl>,
    /// How long connecting to it may take.
    pub(crate) connect_timeout: Span,
    /// How long its answer may take to begin, and a client between two pieces of its request. Answers themselves may take as long as they like.
    pub(crate) response_timeout: Span,
    /// Requests, streams and upgraded connections passed on at the same time. Fewer than `collector.maxConnections`, so that they leave room
    /// for the collector's.
    pub(crate) max_connections: u32,
    /// Certificates in PEM that are trusted beside the system's and Mozilla's, relative to the configuration file.
    pub(crate) ca_file: Option<String>,
}

impl Default for Upstream {
    fn default() -> Self {
        Upstream { url: None, connect_timeout: Span::seconds(5), response_timeout: Span::seconds(60), max_connections: 4096, ca_file: None }
    }
}

/// What holds for all plugins.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Plugins {
    /// A plugin that cannot run ends the program at start. Otherwise its events are kept until it can.
    pub(crate) required: bool,
}

/// Where events are kept.
#[derive(Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Buffer {
    /// `disk`: events survive a crash. `memory`: what was not delivered is lost at the end, and said.
    pub(crate) r#type: BufferType,
    /// When a request is answered: `disk`, when its events are synced.
    pub(crate) ack: Ack,
    /// The directory of the store, relative to the working directory.
    #[schemars(extend("x-default" = "`$STATE_DIRECTORY`, else `/var/lib/flagpost` where it exists, else `./data`"))]
    pub(crate) path: Option<String>,
    /// How much may wait for exporters, all together.
    #[schemars(extend("x-default" = "`4GiB`, in memory `256MiB`"))]
    pub(crate) max_bytes: Option<Size>,
    /// Free disk below which requests are refused with 429.
    pub(crate) min_free: Size,
    /// How long to wait for another relay that has the store open.
    pub(crate) lock_timeout: Span,
    /// How long events are kept for an exporter that has gone from the configuration.
    pub(crate) keep_removed: Span,
}

impl Default for Buffer {
    fn default() -> Self {
        Buffer {
            r#type: BufferType::Disk,
            ack: Ack::Disk,
            path: None,
            max_bytes: None,
            min_free: Size(512 * MIB),
            lock_timeout: Span::seconds(30),
            keep_removed: Span::seconds(24 * 3600),
        }
    }
}

/// `buffer.type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub enum BufferType {
    /// Events survive a crash.
    #[default]
    Disk,
    /// Events live in memory; what was not delivered is lost at the end, and said.
    Memory,
}

/// `buffer.ack`: when a request is answered.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Ack {
    /// When its events are synced to disk.
    #[default]
    Disk,
}

/// What a request with events may carry. Above a limit it is answered 413 and nothing of it is kept.
#[derive(Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Collector {
    /// Bytes of a request's body as it is sent.
    pub(crate) max_body: Size,
    /// Bytes of a compressed body once it is decompressed.
    pub(crate) max_inflated: Size,
    /// Events in a request.
    pub(crate) max_events: u32,
    /// Bytes of a request's `meta`, which is copied onto each event.
    pub(crate) max_meta: Size,
    /// Bytes of all events of a request as they are stored, `meta` included.
    pub(crate) max_encoded: Size,
    /// Bytes of one event. A larger one is dropped and counted, the others are kept.
    pub(crate) max_event: Size,
    /// Nesting of an event's JSON.
    pub(crate) max_depth: u16,
    /// Time for a request's head, idle time between requests included.
    pub(crate) header_timeout: Span,
    /// Time for a request's body.
    pub(crate) body_timeout: Span,
    /// Connections at the same time.
    pub(crate) max_connections: u32,
    /// Bodies of `POST /v1/data/exported` must be signed with it (`X-Hub-Signature-256`): the `secret` of the webhook that sends them.
    pub(crate) webhook_secret: Option<Secret>,
    /// Bytes that all requests together may hold while they are taken; beyond it they are answered 429. Without it: 512 MiB, or a quarter of
    /// the memory there is if that is less.
    pub(crate) max_in_flight: Option<Size>,
}

impl Default for Collector {
    fn default() -> Self {
        let limits = CollectLimits::default();
        let number = |limit: usize| u32::try_from(limit).unwrap_or(u32::MAX);
        Collector {
            max_body: Size(32 * MIB),
            max_inflated: Size(128 * MIB),
            max_events: number(limits.max_events),
            max_meta: Size(limits.max_meta_bytes as u64),
            max_encoded: Size(limits.max_encoded_bytes as u64),
            max_event: Size(limits.max_event_bytes as u64),
            max_depth: u16::try_from(limits.max_depth).unwrap_or(u16::MAX),
            // Clients flush once a minute and keep their connection: a shorter time would only make them connect anew.
            header_timeout: Span::seconds(120),
            body_timeout: Span::seconds(30),
            max_connections: 10_000,
            webhook_secret: None,
            max_in_flight: None,
        }
    }
}

/// Keys that requests are sent with, as `X-API-Key` or `Authorization: Bearer`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct AuthorizedKeys {
    /// Open the collector.
    pub(crate) evaluation: Vec<Secret>,
    /// Open the collector and, alone, the admin routes.
    pub(crate) admin: Vec<Secret>,
}

/// A tenant. Nothing is inherited from the top level.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct FlagSet {
    /// What it is called in logs, metrics and streams.
    #[schemars(extend("x-default" = "a hash of its keys"))]
    pub(crate) name: Option<String>,
    /// Mandatory. The keys of its clients; none may be another flag set's.
    pub(crate) api_keys: Vec<Secret>,
    /// One exporter; comes before those of `exporters`.
    #[serde(rename = "exporter", skip_serializing)]
    #[schemars(schema_with = "exporter_schema")]
    _exporter: IgnoredAny,
    /// Where this flag set's events go.
    #[serde(rename = "exporters", skip_serializing)]
    #[schemars(schema_with = "exporters_schema")]
    _exporters: IgnoredAny,
}
