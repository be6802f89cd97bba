//! Opening a store: from what recovery found to a log that takes events.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

use flagpost_event::{Clock, StreamName};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::DiskLog;
use super::committer::Committer;
use super::queue::Queue;
use super::shared::Shared;
use super::state::State;
use crate::disk::Disk;
use crate::log::StreamId;
use crate::meta::{self, Meta};
use crate::recovery::{self, Known, OpenError};
use crate::segment::file_name;
use crate::segment::scan::Finding;
use crate::stats::LogStats;

/// How a [`DiskLog`] is opened.
#[derive(Clone, Debug)]
pub struct DiskLogOptions {
    /// The store's directory; made when it is not there.
    pub dir: PathBuf,
    /// Size of a segment in bytes. A larger one gives less back at a time, a smaller one costs more syncs.
    pub segment_bytes: u64,
    /// Bytes of the newest events that are kept in memory, so that those who keep up never read the disk.
    pub tail_bytes: usize,
    /// Where a new store's id comes from.
    pub seed: u64,
    /// Numbers below these were delivered or planned before ([`ConsumerRecord::floor`](crate::ConsumerRecord::floor)): they are never given
    /// to other events, whatever the disk lost.
    pub floors: Vec<(StreamName, u64)>,
}

impl DiskLogOptions {
    /// The defaults: segments of 64 MiB, a tail of 8 MiB. `seed` decides a new store's id.
    pub fn new(dir: impl Into<PathBuf>, seed: u64) -> DiskLogOptions {
        DiskLogOptions { dir: dir.into(), segment_bytes: 64 << 20, tail_bytes: 8 << 20, seed, floors: Vec::new() }
    }
}

/// Events that are lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Their stream.
    pub stream: StreamName,
    /// Their numbers.
    pub numbers: Range<u64>,
}

/// What opening found.
#[derive(Clone, Debug, Default)]
pub struct OpenReport {
    /// The store's id.
    pub store: u32,
    /// The directory was empty.
    pub created: bool,
    /// The `meta` file was damaged and written anew.
    pub meta_damaged: bool,
    /// Events that are lost, as far as it is known without reading sealed segments.
    pub damaged: Vec<Damage>,
    /// What else is not as it was written: segment file, byte, what.
    pub findings: Vec<(String, u64, Finding)>,
    /// Segments that hold something.
    pub segments: usize,
}

impl DiskLog {
    /// Opens the store in `options.dir`, or makes it. Reads the disk; blocks. The caller holds the directory's [`crate::Lock`].
    pub fn open(options: DiskLogOptions, disk: Arc<dyn Disk>, clock: Arc<dyn Clock>) -> Result<(DiskLog, OpenReport), OpenError> {
        let dir = options.dir;
        disk.create_dir(&dir).map_err(OpenError::io("creating", &dir))?;
        let mut recovered = recovery::load(&*disk, &dir, false)?;
        let store = recovered.store.unwrap_or_else(|| StdRng::seed_from_u64(options.seed).random());
        if !matches!(recovered.meta, Meta::Is { .. }) {
            let damaged = recovered.meta == Meta::Damaged;
            meta::write(&*disk, &dir, store, damaged).map_err(OpenError::io("writing", &dir.join(meta::META)))?;
        }
        let mut report = OpenReport {
            store,
            created: recovered.meta == Meta::Absent && recovered.segments.is_empty(),
            meta_damaged: recovered.meta == Meta::Damaged,
            ..OpenReport::default()
        };
        let mut free = recovered.streams.values().map(|known| known.id.0).max().unwrap_or(0);
        for (name, floor) in options.floors.into_iter().filter(|(_, floor)| *floor > 1) {
            let known = recovered.streams.entry(name).or_insert_with(|| {
                free = free.saturating_add(1);
                Known { id: StreamId(free), head: 1, bytes: 0 }
            });
            known.head = known.head.max(floor);
        }
        // A process that was killed may have written events and not synced them; they are read from the page cache. Before anybody gets to
        // see them they have to be durable: what is delivered and then lost in a power cut would give its numbers to others.
        let newest = recovered.segments.keys().next_back().copied();
        for (&sequence, found) in &mut recovered.segments {
            let path = dir.join(file_name(sequence));
            let damaged = found.map.streams.iter().flat_map(|(name, held)| held.damaged.iter().map(move |range| (name, range)));
            report.damaged.extend(damaged.map(|(name, numbers)| Damage { stream: name.clone(), numbers: numbers.clone() }));
            let findings = std::mem::take(&mut found.findings).into_iter();
            report.findings.extend(findings.map(|(at, finding)| (file_name(sequence), at, finding)));
            report.segments += usize::from(!found.map.streams.is_empty());
            // What was reserved and not used goes back; not a byte that was written.
            if let Some(written) = found.written.filter(|written| *written < found.len)
                && let Err(error) = disk.truncate(&path, written)
            {
                tracing::warn!(segment = %path.display(), %error, "reserved space could not be given back");
            }
            if !found.sealed && !found.unreadable {
                let synced = disk.open(&path).and_then(|file| file.sync_data());
                match synced {
                    Err(error) if Some(sequence) == newest => return Err(OpenError::io("syncing what was found in", &path)(error)),
                    // A newer one was begun, so this one was synced before.
                    Err(error) => tracing::error!(segment = %path.display(), %error, "an older segment could not be synced"),
                    Ok(()) => {}
                }
            }
        }
        if newest.is_some() {
            disk.sync_dir(&dir).map_err(OpenError::io("syncing", &dir))?;
        }
        let next_sequence = recovered.segments.keys().next_back().map_or(1, |newest| newest + 1);
        let state = State::restore(recovered, options.tail_bytes);
        let stats = LogStats::default();
        stats.segments(state.segments.len());
        stats.damaged_events.inc_by(state.damaged());
        let shared = Arc::new(Shared {
            disk,
            dir: dir.clone(),
            store,
            segment_bytes: options.segment_bytes,
            tail_bytes: options.tail_bytes,
            clock,
            state: Mutex::new(state),
            queue: Queue::default(),
            stats,
            free: Mutex::new(None),
            failing: Mutex::default(),
            bad: Mutex::default(),
            doomed: Mutex::default(),
        });
        let committer = Committer::new(shared.clone(), next_sequence);
        let spawned = thread::Builder::new().name("flagpost-log".into()).spawn(move || committer.run());
        spawned.map_err(OpenError::io("starting the thread that writes", &dir))?;
        Ok((DiskLog { shared }, report))
    }
}
