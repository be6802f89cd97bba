//! Opening the event log and its bookkeeping, as `buffer` says.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use flagpost_event::{Clock, StreamName};
use flagpost_spool::{
    Bounds, DiskLog, DiskLogOptions, EventLog, Ledger, LedgerReport, Lock, LockError, LogStats, MemoryLog, OpenReport, RealDisk,
};

use super::StartError;
use crate::config::{Buffer, BufferType};

/// The bookkeeping's file in `buffer.path`.
pub(crate) const LEDGER: &str = "ledger.sqlite";
/// The directory of compiled plugins in `buffer.path`.
const CACHE: &str = "cache";
/// The directory of plugins' state in `buffer.path`.
const STATE: &str = "state";

/// An open store.
pub(crate) struct Store {
    /// Its id, the first part of every batch id.
    pub(crate) id: String,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) ledger: Ledger,
    pub(crate) stats: Option<LogStats>,
    /// Where compiled plugins are kept.
    pub(crate) cache: PathBuf,
    /// Where plugins keep their state. `None`: nothing outlives the process.
    pub(crate) state: Option<PathBuf>,
    /// Held until the end: no second relay writes here.
    pub(crate) lock: Option<Lock>,
}

/// Opens it. Waits for `LOCK`, scans the newest segment: everything that must be over before a request is taken.
pub(crate) async fn open(buffer: &Buffer, clock: &Arc<dyn Clock>) -> Result<Store, StartError> {
    match buffer.kind {
        BufferType::Memory => memory(buffer, clock).await,
        BufferType::Disk => {
            let (buffer, clock) = (buffer.clone(), clock.clone());
            let opened = tokio::task::spawn_blocking(move || disk(&buffer, &clock)).await;
            let store = opened.map_err(|error| StartError::Threads(std::io::Error::other(error)))??;
            store.ledger.attach(&store.id, &bounds(&*store.log)).await?;
            Ok(store)
        }
    }
}

/// Above this many bytes the oldest events are given up.
///
/// The log in memory refuses at its bound; delivery gives up the oldest events before that, a few times a second. The room between the two
/// takes what comes meanwhile.
pub(crate) fn budget(buffer: &Buffer) -> u64 {
    match buffer.kind {
        BufferType::Memory => buffer.max_bytes / 4 * 3,
        BufferType::Disk => buffer.max_bytes,
    }
}

async fn memory(buffer: &Buffer, clock: &Arc<dyn Clock>) -> Result<Store, StartError> {
    // Nothing of the store outlives the process, so its id is the process's own.
    let id = format!("{:08x}", rand::random::<u32>());
    let log = Arc::new(MemoryLog::new(buffer.max_bytes, clock.clone()));
    let ledger = Ledger::memory(clock.clone())?;
    ledger.attach(&id, &[]).await?;
    Ok(Store { id, log, ledger, stats: None, cache: temporary_cache(), state: None, lock: None })
}

/// Without a directory of its own, a relay keeps compiled plugins with the user's temporary files; the cache refuses what others can write.
pub(crate) fn temporary_cache() -> PathBuf {
    std::env::temp_dir().join(format!("flagpost-cache-{}", rustix::process::geteuid().as_raw()))
}

fn disk(buffer: &Buffer, clock: &Arc<dyn Clock>) -> Result<Store, StartError> {
    let dir = &buffer.path;
    let lock = Lock::acquire(dir, buffer.lock_timeout, &**clock).map_err(|error| match error {
        LockError::Io { source, .. } => StartError::NotWritable { path: dir.clone(), source },
        held => StartError::Locked(held),
    })?;
    let (ledger, report) = Ledger::open(&dir.join(LEDGER), clock.clone())?;
    say_ledger(&report);
    let mut options = DiskLogOptions::new(dir, rand::random());
    // Numbers that were delivered, or named in a batch, are never given again, whatever the disk lost.
    options.floors = ledger.consumers().into_iter().map(|consumer| (consumer.stream.clone(), consumer.floor())).collect();
    let (log, report) = DiskLog::open(options, Arc::new(RealDisk), clock.clone())?;
    say_log(dir, &report);
    let stats = Some(log.stats());
    let (cache, state) = (dir.join(CACHE), Some(dir.join(STATE)));
    Ok(Store { id: format!("{:08x}", log.store()), log: Arc::new(log), ledger, stats, cache, state, lock: Some(lock) })
}

fn bounds(log: &dyn EventLog) -> Vec<(StreamName, Bounds)> {
    log.streams().into_iter().map(|(id, name)| (name, log.bounds(id))).collect()
}

fn say_ledger(report: &LedgerReport) {
    if let Some(rebuilt) = &report.rebuilt {
        tracing::error!(
            set_aside = %rebuilt.set_aside.display(), why = rebuilt.why,
            "the bookkeeping was damaged and begins anew: every exporter starts at the oldest event, so events are delivered twice and none is lost"
        );
    }
}

fn say_log(dir: &Path, report: &OpenReport) {
    for damage in &report.damaged {
        let (first, last) = (damage.numbers.start, damage.numbers.end.saturating_sub(1));
        tracing::error!(stream = %damage.stream, first, last, "stored events are damaged; exporters step over them");
    }
    for (segment, position, finding) in &report.findings {
        tracing::warn!(segment, position, ?finding, "the event log is not as it was written");
    }
    if report.meta_damaged {
        tracing::warn!("the event log's `meta` file was damaged and was written anew");
    }
    tracing::info!(path = %dir.display(), store = format_args!("{:08x}", report.store), segments = report.segments, created = report.created, "the event log is open");
}
