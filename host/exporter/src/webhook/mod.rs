//! The `webhook` exporter: one POST per batch, with upstream's body, headers and signature.

mod body;
mod client;
mod config;
pub(crate) mod fuzzed;
mod outcome;
mod redirect;

use std::sync::Arc;

use async_trait::async_trait;
use flagpost_event::{Clock, EventBatch};

use crate::{DEFAULT_TIMEOUT, ExportError, Exporter, ProbeError};
use client::Client;
pub(crate) use config::Keys;
use config::WebhookConfig;
#[cfg(feature = "opentelemetry")]
pub(crate) use outcome::LONGEST_WISH;
#[cfg(any(feature = "aws", feature = "azure", feature = "opentelemetry"))]
pub(crate) use outcome::{one_line, retry_after};

/// Larger bodies are put together and signed where it may take its time.
const LARGE: usize = 256 << 10;

#[derive(Debug)]
struct WebhookExporter {
    config: WebhookConfig,
    client: Client,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl Exporter for WebhookExporter {
    fn is_bulk(&self) -> bool {
        true
    }

    async fn export(&self, batch: &EventBatch) -> Result<(), ExportError> {
        let body = if batch.bytes() < LARGE {
            self.config.body.of(batch)
        } else {
            let (maker, batch) = (self.config.body.clone(), batch.clone());
            let made = tokio::task::spawn_blocking(move || maker.of(&batch)).await;
            made.map_err(|error| ExportError::Crashed { reason: format!("making the request was broken off: {error}") })?
        };
        match tokio::time::timeout(DEFAULT_TIMEOUT, self.client.post(batch.id(), body, &*self.clock)).await {
            Ok(result) => result,
            Err(_) => {
                let seconds = DEFAULT_TIMEOUT.as_secs();
                Err(ExportError::retryable(format!("{} did not answer within {seconds} s", self.client.shown())))
            }
        }
    }

    fn tries(&self) -> &'static str {
        "connected to the server; credentials show with the first batch"
    }

    async fn probe(&self) -> Result<(), ProbeError> {
        self.client.probe().await
    }
}
