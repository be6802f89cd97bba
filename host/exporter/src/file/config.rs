//! The `file` exporter's keys.

use std::path::PathBuf;
use std::sync::Arc;

use flagpost_settings::{Place, Problems};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::require;
use crate::kind::Kind;
use crate::{BuildContext, Exporter};

use super::FileExporter;
use super::name::NameTemplate;

/// Upstream's default name.
pub(crate) const DEFAULT_FILENAME: &str = "flag-variation-{{ .Hostname}}-{{ .Timestamp}}.{{ .Format}}";

/// Upstream's default format: JSON lines.
pub(crate) const DEFAULT_FORMAT: &str = "JSON";

/// Upstream's default line of CSV: nine columns and a line feed.
pub(crate) const DEFAULT_CSV_TEMPLATE: &str =
    "{{ .Kind}};{{ .ContextKind}};{{ .UserKey}};{{ .CreationDate}};{{ .Key}};{{ .Variation}};{{ .Value}};{{ .Default}};{{ .Source}}\n";

/// Upstream's default compression of Parquet.
pub(crate) const DEFAULT_PARQUET_CODEC: &str = "SNAPPY";

/// Formats that upstream knows and this version does not write.
const LATER_FORMATS: [&str; 2] = ["csv", "parquet"];

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
    /// One line of CSV: a template over an event's fields, with its line feed.
    csv_template: String,
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
}

impl Kind for Keys {
    const NAME: &'static str = "file";
    const LOCATION: &'static [&'static str] = &["outputDir", "filename"];

    fn build(self, problems: &mut Problems, context: &BuildContext) -> Option<Arc<dyn Exporter>> {
        let config = self.check(problems, &context.hostname)?;
        Some(Arc::new(FileExporter::new(config, Arc::clone(&context.clock))))
    }
}

impl Keys {
    fn check(self, problems: &mut Problems, hostname: &str) -> Option<FileConfig> {
        require(problems, Self::NAME, "outputDir", &self.output_dir, "out");
        let format = self.format.to_lowercase();
        if LATER_FORMATS.contains(&format.as_str()) {
            problems.error("format", Place::Nowhere, format!("`{format}` is not written by this version"), "use `format: JSON`");
        } else if !format.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            problems.error("format", Place::Nowhere, "is the files' extension: expected letters and digits", "use `format: JSON`");
        }
        // Without effect on JSON lines, as upstream's.
        let _ = (self.csv_template, self.parquet_compression_codec);
        match NameTemplate::parse(&self.filename, hostname, &format) {
            Ok(name) => Some(FileConfig { dir: PathBuf::from(self.output_dir), name }),
            Err(message) => {
                problems.error("filename", Place::Nowhere, message, "see upstream's file exporter for the default name");
                None
            }
        }
    }
}
