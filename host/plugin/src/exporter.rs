//! A plugin as an exporter.

use async_trait::async_trait;
use flagpost_event::EventBatch;
use flagpost_exporter::{ExportError, Exporter, Limits, Readiness};
use tokio::sync::watch;

use crate::{PluginReport, PluginSpec, PluginState, PluginStats};

/// A component as an [`Exporter`].
#[derive(Debug)]
pub struct WasmExporter {
    pub(crate) spec: PluginSpec,
}

impl WasmExporter {
    /// State and facts, for `/health/exporters`.
    pub fn report(&self) -> PluginReport {
        PluginReport {
            name: self.spec.name.clone(),
            path: self.spec.path.clone(),
            state: PluginState::Compiling,
            reason: None,
            digest: None,
            size: None,
            interface: None,
            imports: Vec::new(),
            generation: None,
            bulk: None,
            last_error: None,
            memory_peak: 0,
            stats: self.stats(),
        }
    }

    /// Counters, for `/metrics`.
    pub fn stats(&self) -> PluginStats {
        PluginStats::default()
    }
}

#[async_trait]
impl Exporter for WasmExporter {
    fn is_bulk(&self) -> bool {
        true
    }

    async fn export(&self, _batch: &EventBatch) -> Result<(), ExportError> {
        Err(ExportError::retryable("the plugin is not loaded yet"))
    }

    fn limits(&self) -> Limits {
        Limits::default()
    }

    fn readiness(&self) -> Option<watch::Receiver<Readiness>> {
        None
    }
}
