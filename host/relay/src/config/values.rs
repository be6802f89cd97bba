//! Values that are more than text: what they may be, and what is said otherwise.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};
use url::Url;

macro_rules! text_schema {
    ($($type:ident $schema:tt)*) => {$(
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

// Any case is taken, and upstream takes any text for `mode`: editors offer the names.
text_schema! {
    Mode { "type": "string", "enum": ["http", "unixsocket"] }
    HttpUrl { "type": "string", "format": "uri", "pattern": "^https?://" }
    LogLevel { "type": "string", "enum": ["debug", "info", "warn", "error", "dpanic", "panic", "fatal", "trace"] }
    LogFormat { "type": "string", "enum": ["json", "logfmt"] }
}

/// Upstream's `server.mode`; any text it does not know behaves as `http`, as upstream's does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", rename_all = "lowercase")]
pub(crate) enum Mode {
    Http,
    UnixSocket,
}

impl TryFrom<String> for Mode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "lambda" => Err(format!(
                "the relay does not run as a lambda: it would lose what its disk holds; remove the key and {}",
                super::keys::TWO_WAYS
            )),
            "unixsocket" => Ok(Mode::UnixSocket),
            _ => Ok(Mode::Http),
        }
    }
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
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub(crate) enum Evaluation {
    /// Nobody: events are collected and exported only.
    None,
}

/// `logLevel`: zap's names, in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct LogLevel(pub tracing::Level);

impl Default for LogLevel {
    fn default() -> Self {
        LogLevel(tracing::Level::INFO)
    }
}

impl Serialize for LogLevel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.as_str().to_ascii_lowercase())
    }
}

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", rename_all = "lowercase")]
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
