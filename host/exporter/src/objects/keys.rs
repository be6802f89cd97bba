//! The keys that all object stores take.

use std::sync::Arc;
use std::time::Duration;

use flagpost_event::Clock;
use flagpost_settings::{Place, Problems, Span};

use crate::BuildContext;
use crate::format::{FileFormat, FormatKeys};
use crate::name::{DEFAULT_FILENAME, Join, NameTemplate};

/// How long one call may take: a part over a slow line, 200 KB/s.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// The common keys, as they were configured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ObjectKeys<'a> {
    pub(crate) path: &'a str,
    pub(crate) filename: &'a str,
    pub(crate) join: Join,
    pub(crate) format: FormatKeys<'a>,
    pub(crate) timeout: Span,
}

/// A checked configuration.
#[derive(Debug)]
pub(crate) struct ObjectConfig {
    /// What objects are called.
    pub(crate) names: NameTemplate,
    /// The names' templates: part of the destination, since other names never meet these.
    pub(crate) templates: String,
    /// What stands in them.
    pub(crate) format: FileFormat,
    /// How long one call to the store may take.
    pub(crate) timeout: Duration,
    /// The exporter's name within its flag set.
    pub(crate) exporter: String,
    pub(crate) clock: Arc<dyn Clock>,
}

impl ObjectKeys<'_> {
    /// Checks the keys; `None` only when something was complained about.
    pub(crate) fn check(self, problems: &mut Problems, context: &BuildContext) -> Option<ObjectConfig> {
        let format = self.format.check(problems, context);
        let extension = format.as_ref().map_or("json", |format| &format.extension);
        let filename = if self.filename.is_empty() { DEFAULT_FILENAME } else { self.filename };
        let names = NameTemplate::object(self.path, filename, self.join, &context.hostname, extension)
            .map_err(|(key, message)| {
                let help = "use fields such as `{{ .Timestamp}}` or `{{ .BatchId}}`, one of which makes each batch's name its own";
                problems.error(key, Place::Nowhere, message, help);
            })
            .ok();
        if self.timeout.0.is_zero() {
            problems.error("timeout", Place::Nowhere, "no call can end in no time", "write a duration: 30s");
        }
        let (format, names) = (format?, names?);
        Some(ObjectConfig {
            names,
            templates: format!("{}|{filename}", self.path),
            format,
            timeout: self.timeout.0,
            exporter: context.exporter.clone(),
            clock: Arc::clone(&context.clock),
        })
    }
}

/// A kind's struct of keys: its own, each with a default, and behind them the common ones, which `objects` hands on.
macro_rules! object_keys {
    ($(#[$doc:meta])* $type:ident { $($(#[$attribute:meta])* $field:ident: $of:ty = $default:expr,)* }) => {
        $(#[$doc])*
        #[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
        #[serde(default, rename_all = "camelCase")]
        pub(crate) struct $type {
            $($(#[$attribute])* $field: $of,)*
            /// In front of each object's name: a template, too, so that objects can be partitioned (`day={{ .Date}}/hour={{ .Hour}}`).
            path: String,
            /// `JSON` (one object per line), `CSV` or `Parquet`, in any case. Any other word of letters and digits means JSON lines, too, and
            /// is the objects' extension.
            format: String,
            /// Names of objects: a template with `{{ .Hostname}}`, `{{ .Timestamp}}` (Unix seconds), `{{ .Format}}` and, beyond upstream's,
            /// `{{ .BatchId}}`, `{{ .Date}}`, `{{ .Hour}}`, `{{ .FlagSet}}`, `{{ .EventType}}`. It or `path` holds `Timestamp` or `BatchId`:
            /// each batch is an object of its own.
            filename: String,
            /// One line of CSV: a template in the language of Go's text/template over an event's fields, with its line feed. The default fits
            /// feature events; tracking events have one of their own.
            csv_template: String,
            /// Ours: writes every value that `csvTemplate` prints as a quoted field (RFC 4180).
            csv_quote: bool,
            /// How Parquet is compressed: `UNCOMPRESSED`, `SNAPPY`, `GZIP`, `BROTLI`, `ZSTD` or `LZ4_RAW`.
            parquet_compression_codec: String,
            /// Ours: how long one call to the store may take. A large object is several calls.
            timeout: flagpost_settings::Span,
        }

        impl Default for $type {
            fn default() -> Self {
                $type {
                    $($field: $default,)*
                    path: String::new(),
                    format: $crate::format::DEFAULT_FORMAT.to_owned(),
                    filename: $crate::name::DEFAULT_FILENAME.to_owned(),
                    csv_template: $crate::format::DEFAULT_CSV_TEMPLATE.to_owned(),
                    csv_quote: false,
                    parquet_compression_codec: $crate::format::DEFAULT_PARQUET_CODEC.to_owned(),
                    timeout: flagpost_settings::Span($crate::objects::DEFAULT_TIMEOUT),
                }
            }
        }

        impl $type {
            /// The common keys.
            fn objects(&self, join: $crate::name::Join) -> $crate::objects::ObjectKeys<'_> {
                $crate::objects::ObjectKeys {
                    path: &self.path,
                    filename: &self.filename,
                    join,
                    format: $crate::format::FormatKeys {
                        format: &self.format,
                        csv_template: &self.csv_template,
                        csv_quote: self.csv_quote,
                        codec: &self.parquet_compression_codec,
                    },
                    timeout: self.timeout,
                }
            }
        }
    };
}
pub(crate) use object_keys;
