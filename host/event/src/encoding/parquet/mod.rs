//! Parquet with upstream's columns.
//!
//! Names, order and types are those that upstream's files have, so that tables over old and new files are one: every column is required,
//! texts are `BYTE_ARRAY`/`UTF8`, `creationDate` is `INT64` (seconds), objects are `MAP<UTF8, UTF8>` in the older three-level form.
//! What upstream destroys is kept: a value of an object that is no text is its JSON text (`12`, `null`, `{"a":1}`), and `value`, always JSON
//! text, is `null` for no value. Statistics and page indexes are arrow-rs's; equality queries by DuckDB and pyarrow are part of the tests,
//! because upstream's page indexes break them.
//!
//! A file's metadata names the batch and the stream, nothing else. The writer is the column writers of arrow-rs's `parquet`, without
//! Arrow: one row group at a time, whose texts are slices of the stored lines.

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{WriterProperties, WriterPropertiesPtr};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::TypePtr;

use super::Encoded;
use crate::{Event, EventBatch, EventKind};
use columns::Columns;

mod columns;
mod map;

/// Lines of so many bytes make a row group.
const ROW_GROUP: usize = 8 << 20;

/// The keys of a file's metadata.
const BATCH_KEY: &str = "flagpost.batch";
const STREAM_KEY: &str = "flagpost.stream";

const FEATURE: &str = "
message parquet_go_root {
  required binary kind (STRING); required binary contextKind (STRING); required binary userKey (STRING); required int64 creationDate;
  required binary key (STRING); required binary variation (STRING); required binary value (STRING); required boolean default;
  required binary version (STRING); required binary source (STRING);
  required group metadata (MAP) { repeated group key_value (MAP_KEY_VALUE) { required binary key (STRING); required binary value (STRING); } }
}";

const TRACKING: &str = "
message parquet_go_root {
  required binary kind (STRING); required binary contextKind (STRING); required binary userKey (STRING); required int64 creationDate;
  required binary key (STRING);
  required group evaluationContext (MAP) { repeated group key_value (MAP_KEY_VALUE) { required binary key (STRING); required binary value (STRING); } }
  required group trackingEventDetails (MAP) { repeated group key_value (MAP_KEY_VALUE) { required binary key (STRING); required binary value (STRING); } }
}";

/// How pages are compressed; upstream's `parquetCompressionCodec`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Codec {
    /// Not at all.
    Uncompressed,
    /// Upstream's default.
    #[default]
    Snappy,
    /// Level 6.
    Gzip,
    /// Level 1.
    Brotli,
    /// Level 3.
    Zstd,
    /// LZ4 blocks without Hadoop's frame.
    Lz4Raw,
}

impl Codec {
    /// All that can be written, with upstream's names.
    pub const ALL: [(&'static str, Codec); 6] = [
        ("UNCOMPRESSED", Codec::Uncompressed),
        ("SNAPPY", Codec::Snappy),
        ("GZIP", Codec::Gzip),
        ("BROTLI", Codec::Brotli),
        ("ZSTD", Codec::Zstd),
        ("LZ4_RAW", Codec::Lz4Raw),
    ];

    fn compression(self) -> Compression {
        match self {
            Codec::Uncompressed => Compression::UNCOMPRESSED,
            Codec::Snappy => Compression::SNAPPY,
            Codec::Gzip => Compression::GZIP(GzipLevel::default()),
            Codec::Brotli => Compression::BROTLI(BrotliLevel::default()),
            Codec::Zstd => Compression::ZSTD(ZstdLevel::try_new(3).unwrap_or_default()),
            Codec::Lz4Raw => Compression::LZ4_RAW,
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Codec::ALL.iter().find(|(_, codec)| codec == self).map_or("", |(name, _)| name))
    }
}

/// Not a codec, or one that nobody could read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Upstream's words.
    #[error("not a valid CompressionCodec string")]
    Unknown,
    /// Upstream takes it and writes files that nothing reads.
    #[error("{0} has no interoperable form: use LZ4_RAW")]
    Unreadable(String),
}

impl FromStr for Codec {
    type Err = CodecError;

    fn from_str(text: &str) -> Result<Self, CodecError> {
        match Codec::ALL.iter().find(|(name, _)| *name == text) {
            Some((_, codec)) => Ok(*codec),
            None if matches!(text, "LZ4" | "LZO") => Err(CodecError::Unreadable(text.to_owned())),
            None => Err(CodecError::Unknown),
        }
    }
}

/// A writer of files.
pub(super) struct Parquet {
    codec: Codec,
}

impl Parquet {
    pub(super) fn new(codec: Codec) -> Self {
        Parquet { codec }
    }

    fn properties(&self, batch: &EventBatch) -> WriterPropertiesPtr {
        let facts = [(BATCH_KEY, batch.id().to_string()), (STREAM_KEY, batch.stream().to_string())];
        let facts = facts.into_iter().map(|(key, value)| KeyValue::new(key.to_owned(), value)).collect();
        Arc::new(WriterProperties::builder().set_compression(self.codec.compression()).set_key_value_metadata(Some(facts)).build())
    }

    pub(super) fn encode(&self, batch: &EventBatch, out: &mut (dyn Write + Send)) -> io::Result<Encoded> {
        let kind = batch.kind();
        let mut encoded = Encoded::default();
        let mut columns = Columns::new(kind);
        let mut out = Some(out);
        let mut writer = None;
        let mut index = 0;
        for chunk in batch.chunks() {
            let mut start = 0;
            while let Some(length) = memchr::memchr(b'\n', &chunk[start..]) {
                let line = chunk.slice(start..start + length);
                start += length + 1;
                match Event::from_line(kind, &line) {
                    Ok(event) => columns.push(&event, &line),
                    Err(error) => encoded.refuse(index, error),
                }
                index += 1;
                if columns.bytes() >= ROW_GROUP {
                    encoded.events += self.flush(&mut columns, &mut writer, &mut out, batch)?;
                }
            }
        }
        encoded.events += self.flush(&mut columns, &mut writer, &mut out, batch)?;
        if let Some(writer) = writer {
            writer.close().map_err(broken)?;
        }
        Ok(encoded)
    }

    /// Writes the row group, if it has rows; how many.
    fn flush<'o>(
        &self,
        columns: &mut Columns,
        writer: &mut Option<SerializedFileWriter<&'o mut (dyn Write + Send)>>,
        out: &mut Option<&'o mut (dyn Write + Send)>,
        batch: &EventBatch,
    ) -> io::Result<usize> {
        if columns.rows() == 0 {
            return Ok(0);
        }
        if let Some(out) = out.take() {
            // With the first rows, so that a batch without any leaves nothing behind.
            *writer = Some(SerializedFileWriter::new(out, schema(batch.kind())?, self.properties(batch)).map_err(broken)?);
        }
        let Some(writer) = writer else { return Ok(0) };
        columns.write(writer).map_err(broken)
    }
}

/// The columns of a kind's files.
fn schema(kind: EventKind) -> io::Result<TypePtr> {
    static SCHEMAS: [OnceLock<TypePtr>; 2] = [OnceLock::new(), OnceLock::new()];
    let (cell, text) = match kind {
        EventKind::Feature => (&SCHEMAS[0], FEATURE),
        EventKind::Tracking => (&SCHEMAS[1], TRACKING),
    };
    if let Some(schema) = cell.get() {
        return Ok(Arc::clone(schema));
    }
    let schema = parse_message_type(text).map_err(broken)?;
    Ok(Arc::clone(cell.get_or_init(|| Arc::new(schema))))
}

/// The id of the batch that a Parquet file holds, by its metadata; `None` when it is no such file.
pub fn batch_of(file: std::fs::File) -> Option<String> {
    let reader = SerializedFileReader::new(file).ok()?;
    let facts = reader.metadata().file_metadata().key_value_metadata()?;
    facts.iter().find(|fact| fact.key == BATCH_KEY)?.value.clone()
}

/// The cause, when it was the file's or the connection's.
fn broken(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(cause) => match cause.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(cause) => io::Error::other(cause),
        },
        other => io::Error::other(other),
    }
}

/// A part of a line without copying it, or a copy of what is not a part.
fn part(line: &Bytes, text: &str) -> Bytes {
    let (start, end) = (line.as_ptr() as usize, line.as_ptr() as usize + line.len());
    let at = text.as_ptr() as usize;
    if text.is_empty() {
        Bytes::new()
    } else if at >= start && at + text.len() <= end {
        line.slice_ref(text.as_bytes())
    } else {
        Bytes::copy_from_slice(text.as_bytes())
    }
}
