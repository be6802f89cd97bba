//! The `sqs` exporter: one message per event, through SendMessageBatch.
//!
//! # What is promised
//! * At least once. What comes twice: messages of a call whose answer was not heard, what was delivered in the last 200 ms before a crash.
//! * **Standard queues** have no order, so several calls are under way at the same time.
//! * **FIFO queues** (`….fifo`): a message's de-duplication id is made of the store, the stream and the event's number. It is the same in every
//!   batch and attempt, also after a restart, so the queue itself drops what comes twice within its five minutes. Messages of one group follow
//!   each other in their order: calls of different groups go on beside each other, and after one in which something failed nothing else of these groups
//!   is sent before that was sent again. Only within one call (ten messages) the service may take a message and put off an earlier one of the same group.
//! * Only what failed is sent again. What the service calls the sender's fault is rejected alone, as is a message that is too large.
//!
//! # How
//! `request.rs` makes chains of calls; a chain is sent one call after the other and ends with its first trouble, and no chain goes on once another is
//! in trouble. A call that is refused as a whole is sent again in halves until the guilty message is alone.

mod config;
mod outcome;
mod request;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use aws_sdk_sqs::types::{MessageAttributeValue, QueueAttributeName, SendMessageBatchRequestEntry};
use flagpost_event::{Clock, EventBatch};
use futures_util::{StreamExt, stream};

use crate::aws::{Failure, Lazy, Meaning, Tally};
use crate::{ExportError, Exporter, Limits, ProbeError};
pub(crate) use config::Keys;
use config::SqsConfig;
use request::Message;

/// Calls at the same time.
const CALLS: usize = 16;

/// The most events of one export: several rounds of [`CALLS`].
const MOST_EVENTS: usize = 1_000;

/// The most bytes of one export. They are held twice for a while: as lines and as requests.
const MOST_BYTES: usize = 8 << 20;

#[derive(Debug)]
struct SqsExporter {
    config: SqsConfig,
    client: Lazy<aws_sdk_sqs::Client>,
    clock: Arc<dyn Clock>,
}

impl SqsExporter {
    fn shown(&self) -> String {
        format!("queue `{}`", self.config.queue)
    }

    async fn call(&self, client: &aws_sdk_sqs::Client, sent: &[Message<'_>], tally: &Mutex<Tally>) -> Result<(), Failure> {
        let broken = |error: aws_sdk_sqs::error::BuildError| Failure::new(Meaning::Passing, error.to_string());
        let (name, value) = request::EMITTER;
        let mut entries = Vec::with_capacity(sent.len());
        for message in sent {
            let attribute = MessageAttributeValue::builder().data_type("String").string_value(value).build().map_err(broken)?;
            let (group, id) = message.group.clone().unzip();
            let entry = SendMessageBatchRequestEntry::builder()
                .id(message.index.to_string())
                .message_body(&*message.body)
                .message_attributes(name, attribute)
                .set_message_group_id(group)
                .set_message_deduplication_id(id);
            entries.push(entry.build().map_err(broken)?);
        }
        let call = client.send_message_batch().queue_url(&self.config.queue).set_entries(Some(entries));
        let answer = call.send().await.map_err(|error| Failure::of(&self.shown(), &error, outcome::OWN, &*self.clock))?;
        let successful: Vec<&str> = answer.successful().iter().map(|entry| entry.id()).collect();
        outcome::settle(&self.shown(), sent, &successful, answer.failed(), &mut lock(tally));
        Ok(())
    }

    async fn chain(&self, client: &aws_sdk_sqs::Client, calls: Vec<Vec<Message<'_>>>, tally: &Mutex<Tally>) {
        let mut waiting = VecDeque::from(calls);
        while let Some(mut sent) = waiting.pop_front() {
            if lock(tally).troubled() {
                let rest = sent.iter().chain(waiting.iter().flatten()).map(|message| message.index);
                return lock(tally).again(rest, || Failure::new(Meaning::Passing, "waits for those before it"));
            }
            let Err(failure) = self.call(client, &sent, tally).await else { continue };
            if failure.meaning == Meaning::Refused && sent.len() > 1 && !lock(tally).hopeless() {
                waiting.push_front(sent.split_off(sent.len() / 2));
                waiting.push_front(sent);
            } else if failure.meaning == Meaning::Refused && sent.len() == 1 {
                lock(tally).reject(sent[0].index, failure.reason);
            } else {
                lock(tally).again(sent.iter().map(|message| message.index), || failure);
            }
        }
    }
}

fn lock(tally: &Mutex<Tally>) -> std::sync::MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Exporter for SqsExporter {
    fn is_bulk(&self) -> bool {
        false
    }

    async fn export(&self, batch: &EventBatch) -> Result<(), ExportError> {
        let mut tally = Tally::default();
        let messages = request::messages(batch, self.config.groups, &mut tally);
        let tally = Mutex::new(tally);
        if !messages.is_empty() {
            let client = self.client.get().await?;
            let chains = stream::iter(request::chains(messages));
            chains.for_each_concurrent(CALLS, |calls| self.chain(&client, calls, &tally)).await;
        }
        let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
        if tally.alarming() {
            self.client.forget();
        }
        tally.outcome()
    }

    fn limits(&self) -> Limits {
        Limits { max_events: MOST_EVENTS, max_bytes: MOST_BYTES, ..Limits::default() }
    }

    fn tries(&self) -> &'static str {
        "asked for the queue"
    }

    async fn probe(&self) -> Result<(), ProbeError> {
        let told = |failure: Failure| ProbeError { reason: failure.told() };
        let client = self.client.get().await.map_err(told)?;
        let call = client.get_queue_attributes().queue_url(&self.config.queue).attribute_names(QueueAttributeName::QueueArn);
        match call.send().await {
            Ok(_) => Ok(()),
            Err(error) => {
                self.client.forget();
                Err(told(Failure::of(&self.shown(), &error, outcome::OWN, &*self.clock)))
            }
        }
    }

    async fn close(&self) {
        self.client.forget();
    }
}
