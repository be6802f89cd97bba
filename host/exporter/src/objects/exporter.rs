//! The exporter of every object store.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use flagpost_event::{BatchId, EventBatch, EventKind, ObjectPlan, StreamName};

use crate::format::outcome;
use crate::{ExportError, Exporter, PlanFacts, ProbeError};

use super::upload::upload;
use super::{Object, ObjectConfig, ObjectStore};

/// Batches that were planned and not tried yet are few; should one be given up, it is forgotten with the others at this many.
const MOST_FRESH: usize = 64;

/// Writes each batch as an object of a store.
#[derive(Debug)]
pub(crate) struct ObjectExporter<S> {
    pub(super) store: Arc<S>,
    config: Arc<ObjectConfig>,
    /// Batches planned by this process and not tried yet: nobody can have left anything of them.
    fresh: Mutex<HashSet<BatchId>>,
}

impl<S: ObjectStore> ObjectExporter<S> {
    pub(crate) fn new(store: S, config: ObjectConfig) -> Self {
        ObjectExporter { store: Arc::new(store), config: Arc::new(config), fresh: Mutex::default() }
    }
}

#[async_trait]
impl<S: ObjectStore> Exporter for ObjectExporter<S> {
    fn is_bulk(&self) -> bool {
        true
    }

    fn destination(&self) -> Option<String> {
        Some(format!("{}/{}", self.store.place(), self.config.templates))
    }

    async fn plan(&self, facts: &PlanFacts<'_>) -> Result<Option<ObjectPlan>, ExportError> {
        let name = self.config.names.render(facts)?;
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        if fresh.len() >= MOST_FRESH {
            fresh.clear();
        }
        fresh.insert(facts.batch.clone());
        Ok(Some(ObjectPlan { name, offset: None }))
    }

    async fn export(&self, batch: &EventBatch) -> Result<(), ExportError> {
        let name = match batch.object() {
            Some(plan) => plan.name.clone(),
            // An embedding program that plans nothing.
            None => {
                let facts = PlanFacts { batch: batch.id(), stream: batch.stream(), timestamp: self.config.clock.unix_seconds() };
                self.config.names.render(&facts)?
            }
        };
        let object = Object { name, owner: owner(batch.id(), &self.config.exporter) };
        let fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner).remove(batch.id());
        outcome(upload(&self.store, &self.config, object, batch.clone(), fresh).await?)
    }

    async fn probe(&self) -> Result<(), ProbeError> {
        // A name where the exporter's own will be: rights may end at a path.
        let (batch, stream) = (BatchId::new("probe"), StreamName::new("probe", EventKind::Feature));
        let facts = PlanFacts { batch: &batch, stream: &stream, timestamp: self.config.clock.unix_seconds() };
        let name = self.config.names.render(&facts).map_err(|error| ProbeError { reason: error.to_string() })?;
        let object = Object { name: format!("{name}.probe"), owner: owner(&batch, &self.config.exporter) };
        self.store.probe(&object).await
    }
}

/// Who an object belongs to. The batch's id alone is not enough: two exporters of one stream have batches of equal ids, and after partial
/// failures they hold different events. What HTTP headers cannot hold as it is is percent-encoded.
fn owner(batch: &BatchId, exporter: &str) -> String {
    let text = format!("{}@{exporter}", batch.as_str());
    let mut owner = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' {
            owner.push(char::from(byte));
        } else {
            owner.push_str(&format!("%{byte:02X}"));
        }
    }
    owner
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_headers_and_differ_where_the_owners_do() {
        let owner = |batch: &str, exporter: &str| owner(&BatchId::new(batch), exporter);
        assert_eq!(owner("ab12-default/feature-1-9.r2", "s3-0a1b2c3d"), "ab12-default/feature-1-9.r2@s3-0a1b2c3d");
        assert_eq!(owner("ab12-Zoë 🚀/feature-1-9", "a%b"), "ab12-Zo%C3%AB%20%F0%9F%9A%80/feature-1-9@a%25b");
        assert_ne!(owner("a", "one"), owner("a", "two"));
    }
}
