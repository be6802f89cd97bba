//! The `file` exporter's keys.

use std::path::PathBuf;
use std::sync::Arc;

use flagpost_settings::{Place, Problems};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::require;
use crate::format::{DEFAULT_CSV_TEMPLATE, DEFAULT_FORMAT, DEFAULT_PARQUET_CODEC, FileFormat, FormatKeys};
use crate::kind::Kind;
use crate::name::{DEFAULT_FILENAME, NameTemplate};
use crate::{BuildContext, Exporter};

use super::FileExporter;

/// Files in a directory: one per batch, or one that grows.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Keys {
    /// Mandatory. The directory that files are written to; made when it is missing. A relative one starts at the working directory.
    output_dir: String,
    /// `JSON` (one object per line), `CSV` or `Parquet`, in any case. Any other word of letters and digits means JSON lines, too, and is the
    /// files' extension.
    format: String,
    /// Names of files: a template with `{{ .Hostname}}`, `{{ .Timestamp}}` (Unix seconds), `{{ .Format}}` and, beyond upstream's,
    /// `{{ .BatchId}}`, `{{ .Date}}`, `{{ .Hour}}`, `{{ .FlagSet}}`, `{{ .EventType}}`. With `Timestamp` or `BatchId` each batch has a file
    /// of its own; with neither, one file grows.
    filename: String,
    /// One line of CSV: a template in the language of Go's text/template over an event's fields, with its line feed. The default fits feature
    /// events; tracking events have one of their own.
    csv_template: String,
    /// Ours: writes every value that `csvTemplate` prints as a quoted field (RFC 4180), so that separators and line feeds in values are safe.
    csv_quote: bool,
    /// How Parquet is compressed: `UNCOMPRESSED`, `SNAPPY`, `GZIP`, `BROTLI`, `ZSTD` or `LZ4_RAW`.
    parquet_compression_codec: String,
}

impl Default for Keys {
    fn default() -> Self {
        Keys {
            output_dir: String::new(),
            format: DEFAULT_FORMAT.to_owned(),
            filename: DEFAULT_FILENAME.to_owned(),
            csv_template: DEFAULT_CSV_TEMPLATE.to_owned(),
            csv_quote: false,
            parquet_compression_codec: DEFAULT_PARQUET_CODEC.to_owned(),
        }
    }
}

/// A checked configuration.
#[derive(Debug)]
pub(super) struct FileConfig {
    /// Where files go; created when missing.
    pub(super) dir: PathBuf,
    /// What they are called.
    pub(super) name: NameTemplate,
    /// What stands in them.
    pub(super) format: FileFormat,
}

impl Kind for Keys {
    const NAME: &'static str = "file";
    const LOCATION: &'static [&'static str] = &["outputDir", "filename"];

    fn build(self, problems: &mut Problems, context: &BuildContext) -> Option<Arc<dyn Exporter>> {
        let config = self.check(problems, context)?;
        Some(Arc::new(FileExporter::new(config, Arc::clone(&context.clock))))
    }
}

impl Keys {
    fn check(self, problems: &mut Problems, context: &BuildContext) -> Option<FileConfig> {
        require(problems, Self::NAME, "outputDir", &self.output_dir, "out");
        let keys = FormatKeys {
            format: &self.format,
            csv_template: &self.csv_template,
            csv_quote: self.csv_quote,
            codec: &self.parquet_compression_codec,
        };
        let format = keys.check(problems, context);
        let extension = format.as_ref().map_or("json", |format| &format.extension);
        let filename = if self.filename.is_empty() { DEFAULT_FILENAME } else { &self.filename };
        let name = NameTemplate::file(filename, &context.hostname, extension)
            .map_err(|message| problems.error("filename", Place::Nowhere, message, "see upstream's file exporter for the default name"))
            .ok();
        let (format, name) = (format?, name?);
        if !format.encoding.encoding().can_append() && !name.per_batch() {
            let message = "a Parquet file cannot grow: each batch needs a file of its own";
            problems.error("filename", Place::Nowhere, message, "put `{{ .Timestamp}}` or `{{ .BatchId}}` into the name");
            return None;
        }
        Some(FileConfig { dir: PathBuf::from(self.output_dir), name, format })
    }
}
