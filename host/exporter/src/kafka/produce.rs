//! Messages on their way: sent, waited for, and judged one by one.
//!
//! librdkafka packs messages into requests, one per partition and up to `batch.size`. A broker judges a request as a whole: when a topic's
//! `max.message.bytes` is smaller than a request, or one record in it is invalid, all of its messages are refused, the innocent with the
//! guilty. So what was refused together is sent again in smaller groups, down to single messages, and only a message that is refused alone
//! is guilty. Groups grow again with every success. In a transaction the first refusal spoils the whole: it has to be ended and begun
//! again with smaller groups.

use std::collections::VecDeque;
use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::producer::FutureRecord;
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::time::Instant;

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
        let refused = send_group(connector, producer, sent, deadline, tally).await;
        bytes = if refused.is_empty() { bytes.saturating_mul(2) } else { total / 2 };
        refused.into_iter().rev().for_each(|message| waiting.push_front(message));
    }
    leave(connector, waiting, tally);
}

/// The same within a transaction, in groups of at most `bytes`. `Some(bytes)`: messages were refused together, so the transaction is spoilt; it
/// is to be ended and begun again with groups of at most that many bytes.
pub(super) async fn send_transaction(
    connector: &Connector,
    producer: &Producer,
    messages: &[Message<'_>],
    bytes: usize,
    deadline: Instant,
    tally: &mut Tally,
) -> Option<usize> {
    let mut waiting = messages;
    while !waiting.is_empty() && tally.retry.is_empty() && Instant::now() < deadline {
        let (sent, rest) = waiting.split_at(group(waiting, bytes));
        let known = tally.rejected.len();
        if !send_group(connector, producer, sent.to_vec(), deadline, tally).await.is_empty() {
            return Some(sent.iter().map(Message::len).sum::<usize>() / 2);
        }
        waiting = rest;
        if tally.rejected.len() > known && sent.len() == 1 {
            // The guilty one is found; nothing more can be sent in this transaction.
            break;
        }
    }
    leave(connector, waiting.iter().cloned(), tally);
    None
}

/// Sends messages at once. What was refused together is returned.
async fn send_group<'a>(
    connector: &Connector,
    producer: &Producer,
    sent: Vec<Message<'a>>,
    deadline: Instant,
    tally: &mut Tally,
) -> Vec<Message<'a>> {
    let results = deliver(connector, producer, &sent, deadline).await;
    let together = sent.len() > 1;
    let mut refused = Vec::new();
    for (message, result) in sent.into_iter().zip(results) {
        match result {
            Ok(()) => tally.delivered += 1,
            Err(Failed::There(code)) if meaning(code) == Meaning::Refused && together => refused.push(message),
            Err(Failed::Here(code) | Failed::There(code)) => match connector.explain(code) {
                (Meaning::Refused, reason) => tally.reject(message.index, format!("{reason} ({} bytes)", message.len())),
                (meaning, reason) => tally.again(message.index, meaning, || reason),
            },
        }
    }
    if !refused.is_empty() {
        tracing::debug!(topic = %connector.config.topic, messages = refused.len(), "refused together; sent again in smaller groups");
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
