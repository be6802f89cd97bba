//! The `kafka` exporter: one message per event, through librdkafka.
//!
//! # What is promised
//! * **Plain** (the default): at least once. The producer is idempotent and waits for all replicas, so what the library sends again by itself
//!   makes no duplicates. What delivery sends again does: after a timeout (nobody knows whether the messages arrived), after a restart of
//!   the relay (what was delivered in the last 200 ms), and after an export that was given up, whose messages are in the library's
//!   queue and may still go out.
//! * **Transactional** (`kafka.transactional: true`): exactly once for consumers with `isolation.level=read_committed`; see `transaction.rs`.
//! * Order is kept per key, as long as nothing fails for good: what was delivered late after a failure stands behind what went well.
//!
//! # How
//! `config.rs` turns upstream's keys (`sarama.rs`, `mapping.rs`) and the operator's own (`properties.rs`) into librdkafka's settings;
//! `client.rs` makes clients of them; `request.rs` makes messages of a batch; `produce.rs` sends them and judges each; `outcome.rs` says
//! what each of the library's codes means. The library connects by itself, in threads of its own; a client that is of no use any more
//! (fenced, or made from what somebody must correct) is thrown away, and the next attempt makes another.

mod client;
mod config;
mod mapping;
#[cfg(test)]
mod mock;
mod outcome;
mod produce;
mod properties;
mod request;
mod sarama;
#[cfg(test)]
mod tests;
mod transaction;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use flagpost_event::EventBatch;
use tokio::time::Instant;

use crate::{ExportError, Exporter, Limits, ProbeError};
use client::{Connector, Producer};
pub(crate) use config::Keys;
use outcome::Tally;
use transaction::Session;

#[derive(Debug)]
struct KafkaExporter {
    connector: Connector,
    /// Plain: the producer, shared by all streams.
    producer: Mutex<Option<Arc<Producer>>>,
    /// Transactional: one session per stream.
    sessions: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Option<Session>>>>>,
}

impl KafkaExporter {
    fn new(connector: Connector) -> Self {
        KafkaExporter { connector, producer: Mutex::default(), sessions: Mutex::default() }
    }

    async fn plain(&self, batch: &EventBatch) -> Result<(), ExportError> {
        let producer = self.producer()?;
        let mut tally = Tally::default();
        let messages = request::messages(batch, &mut tally);
        let deadline = Instant::now() + self.connector.config.timeout;
        produce::send(&self.connector, &producer, messages, deadline, &mut tally).await;
        if tally.spent() || tally.fruitless() {
            self.forget(&producer);
        }
        tally.outcome()
    }

    /// The producer; a new one when there is none.
    fn producer(&self) -> Result<Arc<Producer>, ExportError> {
        let mut known = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(producer) = &*known {
            return Ok(Arc::clone(producer));
        }
        let producer = Arc::new(self.connector.producer(None)?);
        *known = Some(Arc::clone(&producer));
        Ok(producer)
    }

    /// The next attempt makes another producer, unless somebody else saw to that.
    fn forget(&self, producer: &Arc<Producer>) {
        let mut known = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref().is_some_and(|known| Arc::ptr_eq(known, producer)) {
            *known = None;
        }
    }

    fn session(&self, id: &str) -> Arc<tokio::sync::Mutex<Option<Session>>> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(sessions.entry(id.to_owned()).or_default())
    }
}

#[async_trait]
impl Exporter for KafkaExporter {
    fn is_bulk(&self) -> bool {
        self.connector.config.transactional.is_some()
    }

    async fn export(&self, batch: &EventBatch) -> Result<(), ExportError> {
        match &self.connector.config.transactional {
            None => self.plain(batch).await,
            Some(exporter) => {
                let id = transaction::id(exporter, batch.id());
                transaction::export(&self.connector, &self.session(&id), &id, batch).await
            }
        }
    }

    fn limits(&self) -> Limits {
        Limits { max_events: request::MOST_EVENTS, max_bytes: request::MOST_BYTES, ..Limits::default() }
    }

    fn tries(&self) -> &'static str {
        "asked the brokers for the topic"
    }

    async fn probe(&self) -> Result<(), ProbeError> {
        let connector = self.connector.clone();
        let probing = tokio::task::spawn_blocking(move || connector.probe());
        probing.await.unwrap_or_else(|error| Err(ProbeError { reason: format!("the probe was broken off: {error}") }))
    }

    async fn close(&self) {
        *self.producer.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
