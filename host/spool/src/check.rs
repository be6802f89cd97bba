//! `flagpost spool check`: reads every record of a store and says what is there and what is damaged. Changes nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;

use flagpost_event::StreamName;

use crate::disk::Disk;
use crate::export::write_ranges;
use crate::meta::Meta;
use crate::recovery::{self, OpenError};
use crate::segment::file_name;
use crate::segment::map::{count, merge};
use crate::segment::scan::Finding;

/// What a store holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckReport {
    /// The store's id, when anything names it.
    pub store: Option<u32>,
    /// What is wrong with the file `meta`.
    pub meta: Option<&'static str>,
    /// Its segments, oldest first.
    pub segments: Vec<SegmentCheck>,
    /// Its streams.
    pub streams: Vec<StreamCheck>,
}

/// One segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentCheck {
    /// Its file.
    pub file: String,
    /// The file's length.
    pub bytes: u64,
    /// It was ended in good order.
    pub sealed: bool,
    /// The numbers it answers for.
    pub holds: Vec<(StreamName, Range<u64>)>,
    /// What is not as it was written, and at which byte.
    pub findings: Vec<(u64, Finding)>,
}

/// One stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamCheck {
    /// The stream.
    pub stream: StreamName,
    /// The numbers from the oldest one held to the head.
    pub numbers: Range<u64>,
    /// Events of them that are lost.
    pub damaged: Vec<Range<u64>>,
    /// Events between them that were consumed and removed.
    pub gone: Vec<Range<u64>>,
}

impl CheckReport {
    /// Whether there was anything of a store.
    pub fn is_store(&self) -> bool {
        self.store.is_some() || self.meta.is_some() || !self.segments.is_empty()
    }

    /// No event is lost and every byte is as it was written. A write that a crash cut short is no damage: nobody was promised it.
    pub fn is_healthy(&self) -> bool {
        let harmless = |finding: &Finding| matches!(finding, Finding::TornWrite { .. });
        let intact = |segment: &SegmentCheck| segment.findings.iter().all(|(_, finding)| harmless(finding));
        self.meta.is_none() && self.streams.iter().all(|stream| stream.damaged.is_empty()) && self.segments.iter().all(intact)
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.store {
            Some(store) => writeln!(f, "store {store:08x}")?,
            None => writeln!(f, "no store id")?,
        }
        if let Some(meta) = self.meta {
            writeln!(f, "meta: {meta}")?;
        }
        for segment in &self.segments {
            let state = if segment.sealed { "sealed" } else { "not sealed" };
            writeln!(f, "{}: {} bytes, {state}", segment.file, segment.bytes)?;
            for (stream, numbers) in &segment.holds {
                writeln!(f, "  {stream} {} to {}", numbers.start, numbers.end - 1)?;
            }
            for (at, finding) in &segment.findings {
                writeln!(f, "  byte {at}: {finding}")?;
            }
        }
        for stream in &self.streams {
            let damaged: u64 = stream.damaged.iter().map(count).fold(0, u64::saturating_add);
            write!(f, "{}: {} events from {}, {damaged} damaged", stream.stream, count(&stream.numbers), stream.numbers.start)?;
            write_ranges(f, "damaged", &stream.damaged)?;
            write_ranges(f, "already removed", &stream.gone)?;
            writeln!(f)?;
        }
        writeln!(f, "{}", if self.is_healthy() { "nothing is damaged" } else { "damage was found" })
    }
}

/// Reads the whole store. It may be in use: what is written meanwhile may or may not be seen.
pub fn check(dir: &Path, disk: &dyn Disk) -> Result<CheckReport, OpenError> {
    let recovered = recovery::load(disk, dir, true)?;
    let meta = match recovered.meta {
        Meta::Is { .. } => None,
        Meta::Absent if recovered.segments.is_empty() => None,
        Meta::Absent => Some("is missing; it will be written anew"),
        Meta::Damaged => Some("is damaged; it will be written anew"),
    };
    let mut streams: BTreeMap<StreamName, StreamCheck> = BTreeMap::new();
    let mut segments = Vec::new();
    for (sequence, found) in recovered.segments {
        let holds = found.map.streams.iter().map(|(name, held)| (name.clone(), held.numbers.clone()));
        let holds = holds.collect();
        for (name, held) in found.map.streams {
            let fresh = StreamCheck { stream: name.clone(), numbers: held.numbers.clone(), damaged: Vec::new(), gone: Vec::new() };
            let stream = streams.entry(name).or_insert(fresh);
            if held.numbers.start > stream.numbers.end {
                stream.gone.push(stream.numbers.end..held.numbers.start);
            }
            stream.numbers.end = stream.numbers.end.max(held.numbers.end);
            stream.damaged = merge([std::mem::take(&mut stream.damaged), held.damaged].concat());
        }
        let file = file_name(sequence);
        segments.push(SegmentCheck { file, bytes: found.len, sealed: found.sealed, holds, findings: found.findings });
    }
    for (name, known) in recovered.streams {
        let fresh = StreamCheck { stream: name.clone(), numbers: known.head..known.head, damaged: Vec::new(), gone: Vec::new() };
        streams.entry(name).or_insert(fresh);
    }
    Ok(CheckReport { store: recovered.store, meta, segments, streams: streams.into_values().collect() })
}
