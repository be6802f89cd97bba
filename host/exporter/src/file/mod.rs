//! The `file` exporter: JSON lines, CSV or Parquet in a directory.
//!
//! A name with `{{ .Timestamp}}` or `{{ .BatchId}}` gives one file per batch (`whole.rs`): it appears complete or not at all, and never
//! over another. A name with neither gives a growing file (`append.rs`), of JSON lines or CSV. Either way `Ok` means that the bytes are synced.
//! Events that the format cannot write are rejected one by one; the file holds the others.

mod append;
mod config;
mod outcome;
mod turn;
mod whole;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use flagpost_event::{BatchId, Clock, EventBatch, ObjectPlan};

use crate::format::outcome;
use crate::{ExportError, Exporter, PlanFacts, ProbeError};
use config::FileConfig;
pub(crate) use config::Keys;

/// Batches that were planned and not tried yet are few; should one be given up, it is forgotten with the others at this many.
const MOST_FRESH: usize = 64;

#[derive(Debug)]
struct FileExporter {
    config: Arc<FileConfig>,
    clock: Arc<dyn Clock>,
    /// Growing files: batches planned by this process and not tried yet. Nothing of them can be in the file.
    fresh: Mutex<HashSet<BatchId>>,
}

impl FileExporter {
    fn new(config: FileConfig, clock: Arc<dyn Clock>) -> Self {
        FileExporter { config: Arc::new(config), clock, fresh: Mutex::default() }
    }
}

#[async_trait]
impl Exporter for FileExporter {
    fn is_bulk(&self) -> bool {
        true
    }

    fn destination(&self) -> Option<String> {
        let dir = std::path::absolute(&self.config.dir).unwrap_or_else(|_| self.config.dir.clone());
        Some(format!("file:{}", dir.display()))
    }

    async fn plan(&self, facts: &PlanFacts<'_>) -> Result<Option<ObjectPlan>, ExportError> {
        let name = self.config.name.render(facts)?;
        if self.config.name.per_batch() {
            return Ok(Some(ObjectPlan { name, offset: None }));
        }
        let path = self.config.dir.join(&name);
        let offset = blocking(move || append::length(&path)).await?;
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        if fresh.len() >= MOST_FRESH {
            fresh.clear();
        }
        fresh.insert(facts.batch.clone());
        Ok(Some(ObjectPlan { name, offset: Some(offset) }))
    }

    async fn export(&self, batch: &EventBatch) -> Result<(), ExportError> {
        // The plan decides, not the settings: they may have changed since it was made.
        let plan = match batch.object() {
            Some(plan) => plan.clone(),
            // An embedding program that plans nothing. Where a growing file may hold an earlier attempt is not known then.
            None => {
                let facts = PlanFacts { batch: batch.id(), stream: batch.stream(), timestamp: self.clock.unix_seconds() };
                ObjectPlan { name: self.config.name.render(&facts)?, offset: (!self.config.name.per_batch()).then_some(0) }
            }
        };
        let path: PathBuf = self.config.dir.join(&plan.name);
        let batch = batch.clone();
        let config = Arc::clone(&self.config);
        let Some(offset) = plan.offset else {
            return outcome(blocking(move || whole::write(&path, &plan.name, &config.format.encoding, &batch)).await?);
        };
        if !config.format.encoding.encoding().can_append() {
            // Planned for a growing file, before the format was changed.
            return Err(ExportError::NameTaken { name: plan.name });
        }
        let fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner).remove(batch.id());
        outcome(blocking(move || append::write(&path, (!fresh).then_some(offset), &config.format.encoding, &batch)).await?)
    }

    fn tries(&self) -> &'static str {
        "made a file in the directory and removed it"
    }

    async fn probe(&self) -> Result<(), ProbeError> {
        let dir = self.config.dir.clone();
        blocking(move || whole::probe(&dir)).await.map_err(|error| ProbeError { reason: error.to_string() })
    }
}

/// Runs `work` where it may block. It goes on when the caller stops waiting: see `turn.rs`.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, ExportError> + Send + 'static) -> Result<T, ExportError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(ExportError::Crashed { reason: format!("writing a file was broken off: {error}") }),
    }
}
