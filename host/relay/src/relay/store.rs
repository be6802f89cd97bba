//! Opening the event log and its bookkeeping, as `buffer` says.

use std::path::PathBuf;
use std::sync::Arc;

use flagpost_event::Clock;
use flagpost_spool::{EventLog, Ledger, MemoryLog};

use super::StartError;
use crate::config::{Buffer, BufferType};

/// An open store.
pub(crate) struct Store {
    /// Its id, the first part of every batch id.
    pub(crate) id: String,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) ledger: Ledger,
    /// Where compiled plugins are kept.
    pub(crate) cache: PathBuf,
}

/// Opens it. Waits for `LOCK`, scans the newest segment: everything that must be over before a request is taken.
pub(crate) async fn open(buffer: &Buffer, clock: &Arc<dyn Clock>) -> Result<Store, StartError> {
    match buffer.kind {
        BufferType::Memory => {
            // Nothing of the store outlives the process, so its id is the process's own.
            let id = format!("{:016x}", rand::random::<u64>());
            let log = Arc::new(MemoryLog::new(buffer.max_bytes, clock.clone()));
            let ledger = Ledger::memory(clock.clone())?;
            ledger.attach(&id, &[]).await?;
            Ok(Store { id, log, ledger, cache: buffer.path.join(CACHE) })
        }
        BufferType::Disk => {
            let id = format!("{:016x}", rand::random::<u64>());
            let log = Arc::new(MemoryLog::new(buffer.max_bytes, clock.clone()));
            let ledger = Ledger::memory(clock.clone())?;
            ledger.attach(&id, &[]).await?;
            Ok(Store { id, log, ledger, cache: buffer.path.join(CACHE) })
        }
    }
}

const CACHE: &str = "cache";
