//! Encodings of batches: what stands in files and objects.
//!
//! An [`Encoding`] writes an [`EventBatch`] into any [`Write`], so that its user decides whether the bytes go to a file, into parts of an
//! upload, or are compared with what is there already. Memory is bounded by a row group (Parquet: 8 MiB of events) or a buffer, never by
//! the batch. The bytes depend on the batch and the encoding alone: a retry writes the same ones.
//!
//! An event that cannot be encoded is left out and reported with its index and a reason; the rest is written. So one event never holds the
//! others up, as it does upstream.

mod chunks;
mod csv;
mod parquet;
mod shared;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

pub use chunks::Chunks;
pub use parquet::{Codec, CodecError, batch_of};
pub use shared::{Encodings, SharedEncoding};

use self::csv::Csv;
use self::parquet::Parquet;
use crate::{EventBatch, EventKind, TemplateError, TemplateOptions};

/// The families of encodings; upstream's `format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The canonical lines as they are stored.
    JsonLines,
    /// A template per event.
    Csv,
    /// Columns.
    Parquet,
}

impl FromStr for Format {
    type Err = std::convert::Infallible;

    /// As upstream reads it: in any case, and whatever is neither CSV nor Parquet is JSON lines.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.to_lowercase().as_str() {
            "csv" => Format::Csv,
            "parquet" => Format::Parquet,
            _ => Format::JsonLines,
        })
    }
}

/// How batches are written.
pub struct Encoding {
    inner: Inner,
    fingerprint: String,
}

enum Inner {
    JsonLines,
    Csv(Box<Csv>),
    Parquet(Parquet),
}

/// What became of a batch that was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// How many events were written. With none, nothing was.
    pub events: usize,
    /// Those that were not, in the order of their indices.
    pub refused: Vec<RefusedEvent>,
}

/// An event that cannot be encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedEvent {
    /// Its place in the batch, from 0.
    pub index: u32,
    /// Why.
    pub reason: String,
}

impl Encoding {
    /// The stored lines.
    pub fn json_lines() -> Self {
        Encoding { inner: Inner::JsonLines, fingerprint: "json".to_owned() }
    }

    /// A template per event of one of `kinds`; without one, the kind's default.
    ///
    /// # Errors
    /// A template that does not fit each of `kinds`.
    pub fn csv(template: Option<&str>, kinds: &[EventKind], options: &TemplateOptions) -> Result<Self, TemplateError> {
        let csv = Csv::new(template, kinds, options)?;
        let fingerprint = format!("csv {kinds:?} {} {:?} {template:?}", options.quote, options.zone);
        Ok(Encoding { inner: Inner::Csv(Box::new(csv)), fingerprint })
    }

    /// Columns with upstream's names and types, of events of one of `kinds`.
    pub fn parquet(codec: Codec, kinds: &[EventKind]) -> Self {
        Encoding { inner: Inner::Parquet(Parquet::new(codec)), fingerprint: format!("parquet {kinds:?} {codec}") }
    }

    /// Of equal fingerprints, the bytes of a batch are equal too.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The family.
    pub fn format(&self) -> Format {
        match self.inner {
            Inner::JsonLines => Format::JsonLines,
            Inner::Csv(_) => Format::Csv,
            Inner::Parquet(_) => Format::Parquet,
        }
    }

    /// Whether batches can be written one behind the other.
    pub fn can_append(&self) -> bool {
        self.format() != Format::Parquet
    }

    /// Whether each event ends with a newline.
    pub fn ends_lines(&self, kind: EventKind) -> bool {
        match &self.inner {
            Inner::JsonLines => true,
            Inner::Csv(csv) => csv.ends_lines(kind),
            Inner::Parquet(_) => false,
        }
    }

    /// Writes a batch.
    ///
    /// # Errors
    /// What `out` failed with; the bytes until then are of no use.
    pub fn encode(&self, batch: &EventBatch, out: &mut (dyn Write + Send)) -> io::Result<Encoded> {
        match &self.inner {
            Inner::JsonLines => {
                batch.chunks().iter().try_for_each(|chunk| out.write_all(chunk))?;
                Ok(Encoded { events: batch.len(), refused: Vec::new() })
            }
            Inner::Csv(csv) => csv.encode(batch, out),
            Inner::Parquet(parquet) => parquet.encode(batch, out),
        }
    }
}

impl fmt::Debug for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encoding({})", self.fingerprint)
    }
}

impl Encoded {
    fn refuse(&mut self, index: usize, reason: impl ToString) {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        self.refused.push(RefusedEvent { index, reason: reason.to_string() });
    }
}
