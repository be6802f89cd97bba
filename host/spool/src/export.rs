//! `flagpost spool export`: every event that can be read, out of a store in any condition.

use std::fmt;
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;

use flagpost_event::StreamName;

use crate::disk::Disk;
use crate::disk_log::offline::Offline;
use crate::log::{Read, ReadError};
use crate::recovery::OpenError;

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportReport {
    /// One entry per stream.
    pub streams: Vec<StreamExport>,
}

/// What was written of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamExport {
    /// The stream.
    pub stream: StreamName,
    /// Events written.
    pub events: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Events that are lost.
    pub damaged: Vec<Range<u64>>,
    /// Events between held ones that were consumed and removed.
    pub gone: Vec<Range<u64>>,
}

impl fmt::Display for ExportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for stream in &self.streams {
            write!(f, "{}: {} events, {} bytes", stream.stream, stream.events, stream.bytes)?;
            write_ranges(f, "damaged", &stream.damaged)?;
            write_ranges(f, "already removed", &stream.gone)?;
            writeln!(f)?;
        }
        Ok(())
    }
}

/// `; damaged: 5 to 9, 12` or nothing.
pub(crate) fn write_ranges(f: &mut fmt::Formatter<'_>, what: &str, ranges: &[Range<u64>]) -> fmt::Result {
    for (index, range) in ranges.iter().enumerate() {
        let lead = if index == 0 { format!("; {what}: ") } else { ", ".to_owned() };
        match range.end - range.start {
            1 => write!(f, "{lead}{}", range.start)?,
            _ => write!(f, "{lead}{} to {}", range.start, range.end - 1)?,
        }
    }
    Ok(())
}

/// An export that ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The store could not be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A block could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The events could not be written.
    #[error("the exported events could not be written")]
    Write(#[source] io::Error),
}

/// Writes every readable event of the store as its canonical JSON line: stream by stream, in the order of their numbers. `only`: of one
/// stream. Changes nothing in the store.
pub fn export(dir: &Path, disk: &dyn Disk, only: Option<&StreamName>, to: &mut dyn Write) -> Result<ExportReport, ExportError> {
    let store = Offline::open(disk, dir)?;
    let mut report = ExportReport::default();
    for (id, name) in store.streams() {
        if only.is_some_and(|only| *only != name) {
            continue;
        }
        let mut part = StreamExport { stream: name, events: 0, bytes: 0, damaged: Vec::new(), gone: Vec::new() };
        let mut from = store.oldest(id);
        loop {
            match store.read(id, from)? {
                Read::Events(run) => {
                    for chunk in &run.lines {
                        to.write_all(chunk).map_err(ExportError::Write)?;
                        part.bytes += chunk.len() as u64;
                    }
                    part.events += run.count as u64;
                    from = run.first + run.count as u64;
                }
                Read::Damaged(range) => {
                    from = range.end;
                    part.damaged.push(range);
                }
                Read::Gone(range) => {
                    from = range.end;
                    part.gone.push(range);
                }
                Read::End => break,
            }
        }
        part.damaged = crate::segment::map::merge(part.damaged);
        report.streams.push(part);
    }
    to.flush().map_err(ExportError::Write)?;
    Ok(report)
}
