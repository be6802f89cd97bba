//! What a directory holds, read without changing a byte of it.
//!
//! Every stream's numbers are dense, and each segment's table says where its own begin. So a segment answers for the numbers from its own
//! table up to the next segment's table: what is missing there is damaged, what it holds beyond was never acknowledged.

mod numbers;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use flagpost_event::StreamName;

use self::numbers::Newer;
use crate::block::FORMAT;
use crate::disk::Disk;
use crate::log::StreamId;
use crate::meta::{self, Meta};
use crate::segment::map::SegmentMap;
use crate::segment::records::Origin;
use crate::segment::scan::{self, Finding, Refused, Scan};
use crate::segment::window::{Forgives, Window};
use crate::segment::{file_name, sequence_of};

/// A store that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The disk refused something.
    #[error("the event store could not be opened: {during} {path}")]
    Io {
        /// What was being done.
        during: &'static str,
        /// With what.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A newer program wrote it.
    #[error(
        "{path} has store format {found}, and this program reads formats up to {known}: start the program that wrote it, or a newer one"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format of this program.
        known: u32,
    },
    /// A block is encoded in a way that this program does not know.
    #[error(
        "{path} holds a block of encoding {encoding} at byte {position}, and this program knows encoding 0 only: start the program that wrote it, or a newer one"
    )]
    Encoding {
        /// The segment.
        path: PathBuf,
        /// Where the block begins.
        position: u64,
        /// Its encoding.
        encoding: u8,
    },
}

impl OpenError {
    pub(crate) fn io(during: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
        let path = path.to_owned();
        move |source| OpenError::Io { during, path, source }
    }
}

/// A stream as recovery knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) id: StreamId,
    pub(crate) head: u64,
    pub(crate) bytes: u64,
}

/// A segment as recovery found it.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) map: SegmentMap,
    /// The file's length.
    pub(crate) len: u64,
    /// Length without trailing zeros, for segments that were not sealed.
    pub(crate) written: Option<u64>,
    /// It holds events whose numbers a newer segment gave to others: that one must stay as long as this one.
    pub(crate) pins_next: bool,
    /// The disk could not read all of it.
    pub(crate) unreadable: bool,
    /// Nor its table: what it holds is not known. It answers for everything that its neighbours leave over.
    pub(crate) unknown: bool,
    pub(crate) sealed: bool,
    pub(crate) findings: Vec<(u64, Finding)>,
}

/// A whole directory.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) meta: Meta,
    /// From `meta`, else from the records.
    pub(crate) store: Option<u32>,
    pub(crate) segments: BTreeMap<u64, Found>,
    pub(crate) streams: BTreeMap<StreamName, Known>,
}

/// Reads the directory. `thorough` reads every record; else sealed segments are taken at their index's word.
pub(crate) fn load(disk: &dyn Disk, dir: &Path, thorough: bool) -> Result<Recovered, OpenError> {
    let meta_path = dir.join(meta::META);
    let meta = meta::read(disk, dir).map_err(OpenError::io("reading", &meta_path))?;
    let mut store = match meta {
        Meta::Is { format, .. } if format > u32::from(FORMAT) => {
            return Err(OpenError::Newer { path: meta_path, found: format, known: u32::from(FORMAT) });
        }
        Meta::Is { store, .. } => Some(store),
        Meta::Absent | Meta::Damaged => None,
    };
    let names = disk.list(dir).map_err(OpenError::io("listing", dir))?;
    let mut sequences: Vec<u64> = names.iter().filter_map(|name| sequence_of(name)).collect();
    sequences.sort_unstable();

    let mut segments = BTreeMap::new();
    let mut newer = Newer::default();
    let mut streams = BTreeMap::new();
    let mut without_table = Vec::new();
    for &sequence in sequences.iter().rev() {
        let path = dir.join(file_name(sequence));
        // The newest segment decides which numbers come next: a byte of it that the disk keeps to itself must stop the start.
        let tolerant = thorough || newer.table;
        let (scan, len, written, unreadable) = read(disk, &path, Origin { store, segment: sequence }, thorough, tolerant)?;
        if unreadable && !thorough {
            tracing::error!(segment = %path.display(),
                "the disk cannot read all of a segment: the log starts without it, and what is in it is read when it can be");
        }
        store = store.or(scan.store);
        numbers::learn_streams(&scan, &mut streams);
        if scan.map.table.is_none() {
            without_table.push((sequence, newer.limits.clone()));
        }
        let (mut map, pins_next) = newer.bound(scan.map, sequence, scan.torn);
        if unreadable {
            // Where it ends is not known, so that a reader looks at all of it.
            map.used = len;
        }
        numbers::learn_heads(&map, &mut streams);
        let unknown = unreadable && map.table.is_none();
        segments
            .insert(sequence, Found { map, len, written, pins_next, unreadable, unknown, sealed: scan.sealed, findings: scan.findings });
    }
    for (sequence, limits) in without_table.into_iter().rev() {
        numbers::adopt(&mut segments, sequence, &limits);
    }
    if !thorough {
        // What could not be read now may be read later: readers find out what is lost.
        for found in segments.values_mut().filter(|found| found.unreadable) {
            found.map.streams.values_mut().for_each(|held| held.damaged.clear());
        }
    }
    Ok(Recovered { meta, store, segments, streams })
}

/// Reads a segment again that could not be read when the store was opened. Fails where the disk cannot read what is not forgiven.
pub(crate) fn learn(disk: &dyn Disk, path: &Path, origin: Origin, forgives: Forgives) -> io::Result<Scan> {
    let file = disk.open(path)?;
    let mut window = Window::new(&*file, forgives)?;
    if let Some(scan) = scan::sealed(&mut window, origin)? {
        return Ok(scan);
    }
    let newer = |_: Refused| io::Error::new(io::ErrorKind::InvalidData, "a newer program wrote it");
    scan::scan(&mut window, origin)?.map_err(newer)
}

/// What was learned, the file's length, its length without zeros, and whether the disk kept bytes of it to itself.
type ReadSegment = (Scan, u64, Option<u64>, bool);

fn read(disk: &dyn Disk, path: &Path, origin: Origin, thorough: bool, tolerant: bool) -> Result<ReadSegment, OpenError> {
    let failed = |source| OpenError::Io { during: "reading", path: path.to_owned(), source };
    let opened = disk.open(path).and_then(|file| file.len().map(|_| file));
    let file = match opened {
        Ok(file) => file,
        // It may be opened later: readers find out.
        Err(error) if tolerant => {
            let findings = vec![(0, Finding::NotOpened(error.to_string()))];
            return Ok((Scan { findings, ..Scan::default() }, 0, None, true));
        }
        Err(error) => return Err(failed(error)),
    };
    let mut window = Window::new(&*file, if tolerant { Forgives::All } else { Forgives::NOTHING }).map_err(failed)?;
    if !thorough && let Some(scan) = scan::sealed(&mut window, origin).map_err(failed)? {
        return Ok((scan, window.len(), None, false));
    }
    match scan::scan(&mut window, origin).map_err(failed)? {
        Ok(scan) => {
            // Bytes that could not be read are seen as zeros: they must not be cut off.
            let known = !scan.sealed && window.unreadable.is_empty();
            let written = if known { Some(window.len_without_zeros().map_err(failed)?) } else { None };
            let unreadable = !window.unreadable.is_empty();
            Ok((scan, window.len(), written.filter(|_| !unreadable), unreadable))
        }
        Err(Refused::Newer { format, .. }) => {
            Err(OpenError::Newer { path: path.to_owned(), found: u32::from(format), known: u32::from(FORMAT) })
        }
        Err(Refused::Encoding { position, encoding }) => Err(OpenError::Encoding { path: path.to_owned(), position, encoding }),
    }
}
