//! The file's sections, as they are written. Every field has a default, so that one mistake hides no other.

use flagpost_settings::{Size, Span};
use serde::Deserialize;
use serde::de::IgnoredAny;
use url::Url;

/// The whole file. `exporter` and `exporters` are decoded by their kinds.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct File {
    pub(crate) server: Server,
    pub(crate) upstream: Option<Upstream>,
    pub(crate) evaluation: Option<Evaluation>,
    pub(crate) plugins_dir: Option<String>,
    pub(crate) plugins: Plugins,
    pub(crate) buffer: Buffer,
    pub(crate) collector: Collector,
    pub(crate) shutdown_timeout: Option<Span>,
    pub(crate) log_level: Option<LogLevel>,
    pub(crate) log_format: Option<LogFormat>,
    #[serde(rename = "exporter")]
    _exporter: IgnoredAny,
    #[serde(rename = "exporters")]
    _exporters: IgnoredAny,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Server {
    pub(crate) mode: Option<Mode>,
    pub(crate) host: Option<String>,
    pub(crate) port: Option<u16>,
}

/// Upstream's `server.mode`; any text it does not know behaves as `http`, as upstream's does.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Mode;

impl TryFrom<String> for Mode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "lambda" => Err(format!(
                "the relay does not run as a lambda: it would lose what its disk holds; remove the key and {}",
                super::keys::TWO_WAYS
            )),
            "unixsocket" => Err("unix sockets are not served yet; remove the key and use `server.host` and `server.port`".to_owned()),
            _ => Ok(Mode),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Upstream {
    pub(crate) url: Option<HttpUrl>,
    pub(crate) connect_timeout: Option<Span>,
}

/// An absolute `http` or `https` URL without query and fragment.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct HttpUrl(pub(crate) Url);

impl TryFrom<String> for HttpUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        const FIX: &str = "write it like `http://relay:1031`";
        let url = Url::parse(&text).map_err(|error| format!("not a URL ({error}); {FIX}"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(format!("expected an `http` or `https` URL; {FIX}"));
        }
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
            return Err(format!("a relay's URL has no user, query or fragment; {FIX}"));
        }
        Ok(HttpUrl(url))
    }
}

/// Who evaluates flags when there is no `upstream`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Evaluation {
    /// Nobody: events are collected and exported only.
    None,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Plugins {
    pub(crate) required: bool,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Buffer {
    pub(crate) r#type: BufferType,
    pub(crate) ack: Ack,
    pub(crate) path: Option<String>,
    pub(crate) max_bytes: Option<Size>,
    pub(crate) min_free: Option<Size>,
    pub(crate) lock_timeout: Option<Span>,
    pub(crate) keep_removed: Option<Span>,
}

/// `buffer.type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BufferType {
    /// Events survive a crash.
    #[default]
    Disk,
    /// Events live in memory; what was not delivered is lost at the end, and said.
    Memory,
}

/// `buffer.ack`: when a request is answered.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Ack {
    /// When its events are synced to disk.
    #[default]
    Disk,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Collector {
    pub(crate) max_body: Option<Size>,
    pub(crate) max_inflated: Option<Size>,
    pub(crate) max_events: Option<u32>,
    pub(crate) max_meta: Option<Size>,
    pub(crate) max_encoded: Option<Size>,
    pub(crate) max_event: Option<Size>,
    pub(crate) max_depth: Option<u16>,
    pub(crate) header_timeout: Option<Span>,
    pub(crate) body_timeout: Option<Span>,
    pub(crate) max_connections: Option<u32>,
}

/// `logLevel`: upstream's names, in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct LogLevel(pub tracing::Level);

impl TryFrom<String> for LogLevel {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        use tracing::Level;
        Ok(LogLevel(match text.to_ascii_lowercase().as_str() {
            "trace" => Level::TRACE,
            "debug" => Level::DEBUG,
            "info" => Level::INFO,
            "warn" => Level::WARN,
            "error" | "dpanic" | "panic" | "fatal" => Level::ERROR,
            _ => return Err(format!("unrecognized level: \"{text}\"; use one of `debug`, `info`, `warn`, `error`")),
        }))
    }
}

/// `logFormat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum LogFormat {
    /// One JSON object per line.
    #[default]
    Json,
    /// `key=value` pairs.
    Logfmt,
}

impl TryFrom<String> for LogFormat {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "json" => Ok(LogFormat::Json),
            "logfmt" => Ok(LogFormat::Logfmt),
            _ => Err(format!("invalid log format {text}; use `json` or `logfmt`")),
        }
    }
}
