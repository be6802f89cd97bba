//! The `file` exporter.

use crate::KindInfo;

/// What the registry knows of it.
pub(crate) const KIND: KindInfo = KindInfo {
    name: "file",
    keys: &["outputDir", "filename", "format", "csvTemplate", "parquetCompressionCodec"],
    location_keys: &["outputDir", "filename"],
    build: |_, _| todo!(),
};
