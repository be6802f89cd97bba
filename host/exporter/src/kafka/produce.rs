//! Messages on their way: sent, waited for, and judged one by one.
//!
//! librdkafka packs messages into requests, one per partition and up to `batch.size`. A broker judges a request as a whole: when a topic's
//! `max.message.bytes` is smaller than a request, or one record in it is invalid, all of its messages are refused, the innocent with the
//! guilty. So what was refused together is sent again in smaller groups, down to single messages, and only a message that is refused alone
//! is guilty. Groups grow again with every success. In a transaction the first refusal of a broker spoils the whole: it has to be ended and
//! begun again, with smaller groups or without the guilty message. What the producer itself refuses never was in it.

use std::collections::VecDeque;
use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::producer::FutureRecord;
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::time::Instant;

use crate::RejectedEvent;

use super::client::{Connector, Producer};
use super::outcome::{Meaning, Tally, meaning};
use super::request::{Message, group};

/// The pause before a full queue is tried again. It is full of messages of calls that were given up; they leave it by themselves.
const QUEUE_PAUSE: Duration = Duration::from_millis(10);

/// Why a message was not delivered.
enum Failed {
    /// It never left: the producer itself refused it.
    Here(Code),
    /// A broker refused it, or nothing was heard of it.
    There(Code),
}

/// Sends the messages and waits until each is delivered or not. Ends by `deadline` and the time that a message may take.
pub(super) async fn send(connector: &Connector, producer: &Producer, messages: Vec<Message<'_>>, deadline: Instant, tally: &mut Tally) {
    let mut waiting = VecDeque::from(messages);
    let mut bytes = usize::MAX;
    while !waiting.is_empty() && tally.retry.is_empty() && Instant::now() < deadline {
        let count = group(waiting.make_contiguous(), bytes);
        let sent: Vec<Message<'_>> = waiting.drain(..count).collect();
        let total = sent.iter().map(Message::len).sum::<usize>();
        let refused = send_group(connector, producer, sent, deadline, tally).await.together;
        bytes = if refused.is_empty() { bytes.saturating_mul(2) } else { total / 2 };
        refused.into_iter().rev().for_each(|message| waiting.push_front(message));
    }
    leave(connector, waiting, tally);
}

/// How a broker spoilt a transaction: it is to be ended and begun again.
pub(super) enum Spoilt {
    /// Messages were refused together: with groups of at most that many bytes.
    Together(usize),
    /// A message was refused alone, for this reason: without it. It is in the tally.
    Alone(RejectedEvent),
}

/// The same within a transaction, in groups of at most `bytes`. `None`: the transaction is not spoilt by a refusal; the tally says whether all is
/// in it.
pub(super) async fn send_transaction(
    connector: &Connector,
    producer: &Producer,
    messages: &[Message<'_>],
    bytes: usize,
    deadline: Instant,
    tally: &mut Tally,
) -> Option<Spoilt> {
    let mut waiting = messages;
    while !waiting.is_empty() && tally.retry.is_empty() && Instant::now() < deadline {
        let (sent, rest) = waiting.split_at(group(waiting, bytes));
        let refused = send_group(connector, producer, sent.to_vec(), deadline, tally).await;
        if !refused.together.is_empty() {
            return Some(Spoilt::Together(sent.iter().map(Message::len).sum::<usize>() / 2));
        }
        if let Some(guilty) = refused.alone {
            return Some(Spoilt::Alone(guilty));
        }
        waiting = rest;
    }
    leave(connector, waiting.iter().cloned(), tally);
    None
}

/// What brokers refused of a group.
#[derive(Default)]
struct Refused<'a> {
    /// Messages of one request: the guilty among the innocent.
    together: Vec<Message<'a>>,
    /// The only message of its request.
    alone: Option<RejectedEvent>,
}

/// Sends messages at once.
async fn send_group<'a>(
    connector: &Connector,
    producer: &Producer,
    sent: Vec<Message<'a>>,
    deadline: Instant,
    tally: &mut Tally,
) -> Refused<'a> {
    let results = deliver(connector, producer, &sent, deadline).await;
    let together = sent.len() > 1;
    let mut refused = Refused::default();
    for (message, result) in sent.into_iter().zip(results) {
        match result {
            Ok(()) => tally.delivered += 1,
            Err(Failed::There(code)) if meaning(code) == Meaning::Refused && together => refused.together.push(message),
            Err(Failed::Here(code) | Failed::There(code)) => match connector.explain(code) {
                (Meaning::Refused, reason) => {
                    let guilty = RejectedEvent { index: message.index, reason: format!("{reason} ({} bytes)", message.len()) };
                    refused.alone = matches!(result, Err(Failed::There(_))).then(|| guilty.clone());
                    tally.reject(guilty.index, guilty.reason);
                }
                (meaning, reason) => tally.again(message.index, meaning, || reason),
            },
        }
    }
    if !refused.together.is_empty() {
        tracing::debug!(topic = %connector.config.topic, messages = refused.together.len(), "refused together; sent again in smaller groups");
    }
    refused
}

/// What there was no time for.
fn leave<'a>(connector: &Connector, waiting: impl IntoIterator<Item = Message<'a>>, tally: &mut Tally) {
    for message in waiting {
        tally.again(message.index, Meaning::Passing, || format!("topic `{}`: not sent in time", connector.config.topic));
    }
}

async fn deliver(connector: &Connector, producer: &Producer, messages: &[Message<'_>], deadline: Instant) -> Vec<Result<(), Failed>> {
    let mut queued: Vec<Result<DeliveryFuture, Code>> = Vec::with_capacity(messages.len());
    for message in messages {
        queued.push(enqueue(connector, producer, message, deadline).await);
    }
    let mut results = Vec::with_capacity(messages.len());
    for one in queued {
        results.push(match one {
            Err(code) => Err(Failed::Here(code)),
            Ok(delivery) => match delivery.await {
                Ok(Ok(_)) => {
                    connector.watch.clear();
                    Ok(())
                }
                Ok(Err((error, _))) => Err(Failed::There(code_of(&error))),
                Err(_canceled) => Err(Failed::There(Code::PurgeQueue)),
            },
        });
    }
    results
}

async fn enqueue(connector: &Connector, producer: &Producer, message: &Message<'_>, deadline: Instant) -> Result<DeliveryFuture, Code> {
    loop {
        let record = FutureRecord::to(&connector.config.topic).key(message.key.as_bytes()).payload(message.value);
        match producer.send_result(record) {
            Ok(delivery) => return Ok(delivery),
            Err((error, _)) => match code_of(&error) {
                Code::QueueFull if Instant::now() < deadline => tokio::time::sleep(QUEUE_PAUSE).await,
                code => return Err(code),
            },
        }
    }
}

fn code_of(error: &KafkaError) -> Code {
    error.rdkafka_error_code().unwrap_or(Code::Fail)
}
