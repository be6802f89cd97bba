//! The `pubsub` exporter: one message per event on a topic of Google Cloud Pub/Sub.
//!
//! # What is promised
//! * At least once. An event is delivered when the service has given its message an id. What delivery sends again may arrive twice: after a
//!   request whose answer was lost or late (nobody knows whether it arrived), after a restart of the relay (what was delivered in the last 200 ms), and
//!   after an export that was given up, whose request goes on for up to `timeout`.
//! * Order: none, as upstream, and several requests are under way. With `orderingKey`, messages of one key are published in order: a request
//!   holds one key's messages only, a key's next request waits for the one before, and when one fails, all behind it of that key come again with
//!   it. So a subscription with ordering gets them in order, repeated ones aside; a rejected event leaves a gap.
//!
//! # How
//! `request.rs` makes messages of a batch, packed into requests within the service's limits; `produce.rs` sends them and finds the guilty among
//! those that were refused together; `client.rs` speaks to the service; `outcome.rs` says what became of the batch.
//!
//! # Why the library's own batching is not used
//! The library has no call that publishes one request; it has a publisher that packs messages by itself, on timers, and keeps one task per ordering
//! key for as long as it lives: with a key per user that is a leak. After an error it refuses a key's messages until somebody resumes the key.
//! Delivery has packed the events already, and knows what to do after an error. So each request has a publisher of its own, which is
//! given exactly the messages that fill it, sends them at once, and goes: there is nothing to resume. Connections belong to the base publisher, which
//! stays.

mod client;
mod config;
mod outcome;
mod produce;
mod request;

use async_trait::async_trait;
use flagpost_event::EventBatch;

use crate::google::{Lazy, within};
use crate::{ExportError, Exporter, Limits, ProbeError};
use client::Client;
pub(crate) use config::Keys;
use config::{OrderingKey, PubSubConfig};
use outcome::Tally;

/// Calls at the same time where there is no order: the next request does not wait for the answer to the one before.
const CONCURRENCY: usize = 4;

#[derive(Debug)]
struct PubSubExporter {
    config: PubSubConfig,
    client: Lazy<Client>,
}

#[async_trait]
impl Exporter for PubSubExporter {
    fn is_bulk(&self) -> bool {
        false
    }

    async fn export(&self, batch: &EventBatch) -> Result<(), ExportError> {
        let mut tally = Tally::default();
        let lanes = request::lanes(batch, self.config.ordering, &mut tally);
        let connecting = self.client.get(Client::connect(&self.config));
        let client = within(self.config.timeout, "connecting", connecting).await.map_err(|verdict| self.config.failure(verdict))?;
        produce::send(&*client, lanes, &mut tally).await;
        if tally.spent() {
            self.client.forget(&client);
        }
        tally.outcome(&self.config)
    }

    fn limits(&self) -> Limits {
        let ordered = self.config.ordering != OrderingKey::None;
        let concurrency = if ordered { 1 } else { CONCURRENCY };
        Limits { max_events: request::MOST_MESSAGES, max_bytes: request::MOST_BYTES, concurrency, ordered }
    }

    async fn probe(&self) -> Result<(), ProbeError> {
        client::probe(&self.config).await
    }

    async fn close(&self) {
        self.client.clear();
    }
}
