//! The `file` exporter's keys.

use std::path::PathBuf;

use crate::ConfigError;
use crate::config::Keys;

use super::name::NameTemplate;

/// Upstream's default name.
const DEFAULT_FILENAME: &str = "flag-variation-{{ .Hostname}}-{{ .Timestamp}}.{{ .Format}}";

/// Upstream's default format: JSON lines.
const DEFAULT_FORMAT: &str = "JSON";

/// Formats that upstream knows and this version does not write.
const LATER_FORMATS: [&str; 2] = ["csv", "parquet"];

/// A checked configuration.
#[derive(Debug)]
pub(super) struct FileConfig {
    /// Where files go; created when missing.
    pub(super) dir: PathBuf,
    /// What they are called.
    pub(super) name: NameTemplate,
}

impl FileConfig {
    pub(super) fn read(config: serde_json::Value, hostname: &str) -> Result<Self, ConfigError> {
        let mut keys = Keys::new(config)?;
        let dir = keys.required("file", "outputDir", "out");
        let format = keys.text("format").unwrap_or_else(|| DEFAULT_FORMAT.to_owned()).to_lowercase();
        if LATER_FORMATS.contains(&format.as_str()) {
            keys.problem("format", format!("`{format}` is not written by this version"), "use `format: JSON`");
        } else if !format.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            keys.problem("format", "is the files' extension: expected letters and digits", "use `format: JSON`");
        }
        let filename = keys.text("filename").unwrap_or_else(|| DEFAULT_FILENAME.to_owned());
        let name = NameTemplate::parse(&filename, hostname, &format)
            .map_err(|message| keys.problem("filename", message, "see upstream's file exporter for the default name"))
            .ok();
        // Upstream's keys for the other formats; without effect on JSON lines there too.
        keys.text("csvTemplate");
        keys.text("parquetCompressionCodec");
        keys.finish()?;
        let missing = || ConfigError { problems: Vec::new() };
        Ok(FileConfig { dir: PathBuf::from(dir), name: name.ok_or_else(missing)? })
    }
}
