//! The `opentelemetry` exporter: one span per event, over OTLP (gRPC or HTTP).
//!
//! # What is promised
//! * `Ok` means that the collector acknowledged every span. There is no background processor that buffers and drops, as in an SDK: a batch is
//!   one request (more only where it would be larger than collectors take), and its answer is waited for.
//! * At least once. An event has the same trace id and span id each time it is sent (`ids.rs`), so a backend that keeps one span per id keeps
//!   one. OTLP itself de-duplicates nothing, and a span's end, the time of sending, differs.
//! * **Partial success** names a number and no spans. When all were refused, or some of several, the batch counts as refused: delivery
//!   sends it again in halves until the guilty stand alone, so spans that had been accepted come twice, with the same ids.
//!
//! # How
//! `config.rs` puts together the exporter's keys and what the configuration says about OpenTelemetry (`crate::otel`); `span.rs` makes a span
//! of an event: upstream's names and attributes; `request.rs` makes requests of a batch; `client.rs` sends them by `grpc.rs` or `http.rs`;
//! `outcome.rs` says what replies mean. Messages and the service are those of `opentelemetry-proto`. The SDK's own exporter
//! (`opentelemetry-otlp`) is not used: it hides partial success, the server's wish to wait, and what kind of failure it was.

mod client;
mod config;
mod grpc;
mod http;
mod ids;
mod outcome;
mod request;
mod span;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use flagpost_event::{Clock, EventBatch};

use crate::{ExportError, Exporter, Limits, ProbeError};
use client::Client;
pub(crate) use config::Keys;
use request::{Made, Shape, make};

/// Larger batches are turned into spans where it may take its time.
const LARGE: usize = 64 << 10;

#[derive(Debug)]
struct OpenTelemetryExporter {
    client: Client,
    shape: Arc<Shape>,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl Exporter for OpenTelemetryExporter {
    fn is_bulk(&self) -> bool {
        false
    }

    async fn export(&self, batch: &EventBatch) -> Result<(), ExportError> {
        let now = self.clock.now();
        let Made { requests, rejected } = if batch.bytes() < LARGE {
            make(batch, &self.shape, now)
        } else {
            let (batch, shape) = (batch.clone(), Arc::clone(&self.shape));
            let made = tokio::task::spawn_blocking(move || make(&batch, &shape, now)).await;
            made.map_err(|error| ExportError::Crashed { reason: format!("making the request was broken off: {error}") })?
        };
        let mut delivered = 0;
        let mut requests = requests.into_iter();
        while let Some(request) = requests.next() {
            if let Err(error) = self.client.send(request.message, request.events.len(), &*self.clock).await {
                let unsent = request.events.into_iter().chain(requests.flat_map(|request| request.events)).collect();
                return Err(outcome::stopped(error, delivered, unsent, rejected));
            }
            delivered += request.events.len();
        }
        outcome::finished(delivered, rejected)
    }

    fn limits(&self) -> Limits {
        Limits { max_events: request::MOST_EVENTS, max_bytes: request::MOST_BYTES, ..Limits::default() }
    }

    fn tries(&self) -> &'static str {
        "sent a request without spans"
    }

    async fn probe(&self) -> Result<(), ProbeError> {
        let asked = self.client.send(request::empty(), 0, &*self.clock).await;
        asked.map_err(|error| ProbeError { reason: error.to_string() })
    }
}
