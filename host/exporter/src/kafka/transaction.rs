//! Exactly once into Kafka: each batch is one transaction, and the transaction remembers which batch it was.
//!
//! A relay may be killed after the broker committed a transaction and before the relay noted that. After the restart the same batch comes
//! again: its plan is durable before its first attempt, so it has the same events and the same id. What tells the relay that it was
//! delivered must become durable together with the messages, so it is part of the transaction: an offset commit of a consumer group of our
//! own, whose metadata holds a digest of the batch (its id and its lines). The broker makes both visible or neither. The group has no members
//! and reads nothing.
//!
//! * **Before the first batch** of a session the producer is initialised under a fixed transactional id. That fences a predecessor (a
//!   process that hangs, an export that was given up) for good, ends what it left open, and waits for a commit under way. Only then is
//!   the marker read, so it cannot change any more behind our back.
//! * **A batch whose digest is the marker's** was delivered: nothing is sent.
//! * **Anything unclear** (a timeout while committing, a dropped future, a fatal error) ends the session: the next attempt begins with
//!   fencing and reading the marker.
//! * **Refused events** are left out. What the producer itself refuses (its own limit) never was in the transaction. A refusal of a broker's spoils
//!   it: it is ended and begun again at once, in smaller groups until the guilty message is alone, then without that one. The rest is
//!   committed, and the marker names the events that were left out, so that the batch has the same outcome after a crash. (When they are
//!   too many to be named there, or time runs out, nothing is committed, and delivery brings the rest as another batch.)
//!
//! The id is `flagpost-<store>-<stream>-<exporter>`: two stores or two exporters never fence each other, and the relay's lock keeps two
//! relays off one store. The digest covers the lines, not only the id: a store that was restored from a backup gives old numbers to new
//! events, and those must not be taken for delivered.
//!
//! # Where exactly once ends
//! * Consumers that read uncommitted messages see those of transactions that were ended without effect.
//! * A marker is kept by the broker for `offsets.retention.minutes` (seven days) after the last batch: a relay killed between commit and
//!   note, and started again only after that, sends its last batch twice.
//! * When the batch itself changed meanwhile (part of it was given up over budget, or could not be read any more, or it killed the
//!   process three times and is being bisected), it is another batch: its events may be in Kafka twice. Nothing is ever left out.
//! * Bookkeeping that was damaged and rebuilt starts at the oldest event it has: those events come again, as other batches.

use std::collections::HashSet;

use flagpost_event::{BatchId, EventBatch};
use rdkafka::consumer::{Consumer, ConsumerGroupMetadata};
use rdkafka::error::KafkaError;
use rdkafka::producer::Producer as _;
use rdkafka::{Offset, TopicPartitionList};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::{ExportError, RejectedEvent};

use super::client::{Connector, Producer};
use super::outcome::{Meaning, Tally, failure};
use super::produce::Spoilt;
use super::{produce, request};

/// In front of transactional ids and groups: what rights are given for.
const PREFIX: &str = "flagpost-";

/// The partition whose offset of the group carries the marker. Every topic has it.
const MARKED: i32 = 0;

/// An initialised producer, and the batch that was last delivered.
pub(super) struct Session {
    producer: Producer,
    group: ConsumerGroupMetadata,
    marker: Marker,
    /// The most bytes that are sent at once: less after the brokers refused more.
    bytes: usize,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("marker", &self.marker).finish_non_exhaustive()
    }
}

/// What the group's offset says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Marker {
    /// How many events were delivered under this id: what the offset itself holds, for people.
    events: i64,
    /// The digest of the last batch; empty when there was none.
    digest: String,
    /// The places in it of events that were refused.
    refused: Vec<u32>,
}

/// Brokers take 4,096 bytes of metadata with an offset (`offset.metadata.max.bytes`); some take less.
const MOST_MARKED: usize = 2_000;

impl Marker {
    /// The offset's metadata: the digest, and the refused events' places after a blank.
    fn text(&self) -> String {
        let places: Vec<String> = self.refused.iter().map(u32::to_string).collect();
        if places.is_empty() { self.digest.clone() } else { format!("{} {}", self.digest, places.join(",")) }
    }

    fn read(events: i64, text: &str) -> Marker {
        let (digest, places) = text.split_once(' ').unwrap_or((text, ""));
        Marker { events, digest: digest.to_owned(), refused: places.split(',').filter_map(|place| place.parse().ok()).collect() }
    }
}

/// The transactional id, and the group's.
pub(super) fn id(exporter: &str, batch: &BatchId) -> String {
    format!("{PREFIX}{}-{exporter}", scope(batch.as_str()))
}

/// Store and stream: a batch id without `-<first>-<last>[.r<k>]`.
fn scope(batch: &str) -> &str {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let whole = match batch.rsplit_once(".r") {
        Some((whole, subset)) if number(subset) => whole,
        _ => batch,
    };
    let numbers = whole.rsplit_once('-').filter(|(_, last)| number(last)).and_then(|(rest, _)| rest.rsplit_once('-'));
    match numbers {
        Some((scope, first)) if number(first) => scope,
        _ => batch,
    }
}

/// Names the batch's exact events.
fn digest(batch: &EventBatch) -> String {
    let mut hash = Sha256::new();
    hash.update(batch.id().as_str().as_bytes());
    hash.update([0]);
    batch.chunks().iter().for_each(|chunk| hash.update(chunk));
    hex::encode(hash.finalize())
}

/// Delivers the batch, unless it was delivered. A future that is dropped leaves no session: the next attempt makes one.
pub(super) async fn export(connector: &Connector, slot: &Mutex<Option<Session>>, id: &str, batch: &EventBatch) -> Result<(), ExportError> {
    let mut slot = slot.lock().await;
    let mut session = match slot.take() {
        Some(session) => session,
        None => {
            let id = id.to_owned();
            blocking(connector, move |connector| open(connector, &id)).await?
        }
    };
    let digest = {
        let batch = batch.clone();
        blocking(connector, move |_| Ok(digest(&batch))).await?
    };
    if session.marker.digest == digest {
        tracing::info!(batch = %batch.id(), "the batch was committed before the relay ended; it is not sent again");
        let refused = session.marker.refused.iter();
        let reason = "refused by the brokers, or by the producer's own limit, when the batch was delivered".to_owned();
        let rejected: Vec<_> = refused.map(|&index| RejectedEvent { index, reason: reason.clone() }).collect();
        *slot = Some(session);
        return Tally { delivered: batch.len() - rejected.len().min(batch.len()), rejected, ..Tally::default() }.outcome();
    }
    let deadline = Instant::now() + connector.config.timeout;
    // What brokers refused in this call.
    let mut guilty: Vec<RejectedEvent> = Vec::new();
    loop {
        let mut tally = Tally::default();
        let mut messages = request::messages(batch, &mut tally);
        messages.retain(|message| guilty.iter().all(|event| event.index != message.index));
        guilty.iter().for_each(|event| tally.reject(event.index, event.reason.clone()));
        if messages.is_empty() {
            *slot = Some(session);
            return undone(tally, batch.len());
        }
        session.producer.begin_transaction().map_err(|error| connector.failed(&error))?;
        let spoilt = produce::send_transaction(connector, &session.producer, &messages, session.bytes, deadline, &mut tally).await;
        if let Some(spoilt) = spoilt {
            session = blocking(connector, move |connector| abort(connector, session)).await?;
            match spoilt {
                Spoilt::Together(bytes) => session.bytes = bytes,
                Spoilt::Alone(event) => guilty.push(event),
            }
            continue;
        }
        let mut refused: Vec<u32> = tally.rejected.iter().map(|event| event.index).collect();
        refused.sort_unstable();
        let events = i64::try_from(tally.delivered).unwrap_or(i64::MAX);
        let marker = Marker { events: session.marker.events.saturating_add(events), digest: digest.clone(), refused };
        if tally.retry.is_empty() && tally.delivered > 0 && marker.text().len() <= MOST_MARKED {
            *slot = Some(blocking(connector, move |connector| commit(connector, session, marker)).await?);
            return tally.outcome();
        }
        // A session that is not put back is fenced by the next one.
        if !tally.spent() {
            match blocking(connector, move |connector| abort(connector, session)).await {
                Ok(session) => *slot = Some(session),
                Err(error) => tracing::debug!(%error, "a transaction could not be ended; the next session ends it"),
            }
        }
        return undone(tally, batch.len());
    }
}

/// Nothing of the batch was delivered. Events that are known to be refused are named, so that the rest comes again without them.
fn undone(tally: Tally, events: usize) -> Result<(), ExportError> {
    let trouble = tally.trouble.unwrap_or((Meaning::Passing, "no message was delivered".to_owned()));
    if tally.rejected.is_empty() || matches!(trouble.0, Meaning::Alarm(_)) {
        return Err(failure(trouble));
    }
    let guilty: HashSet<u32> = tally.rejected.iter().map(|event| event.index).collect();
    let retry = (0..u32::try_from(events).unwrap_or(u32::MAX)).filter(|index| !guilty.contains(index)).collect();
    Tally { retry, rejected: tally.rejected, ..Tally::default() }.outcome()
}

/// Fences the predecessor, then reads the marker. Blocks.
fn open(connector: &Connector, id: &str) -> Result<Session, ExportError> {
    let failed = |error: KafkaError| connector.failed(&error);
    let timeout = connector.config.timeout;
    let producer = connector.producer(Some(id))?;
    producer.init_transactions(timeout).map_err(failed)?;
    let consumer = connector.consumer(Some(id))?;
    let mut asked = TopicPartitionList::new();
    asked.add_partition(&connector.config.topic, MARKED);
    let known = consumer.committed_offsets(asked, timeout).map_err(failed)?;
    let place = known.find_partition(&connector.config.topic, MARKED);
    if let Some(Err(error)) = place.as_ref().map(|place| place.error()) {
        return Err(failed(error));
    }
    let marker = match place.map(|place| (place.offset(), place.metadata().to_owned())) {
        Some((Offset::Offset(events), text)) => Marker::read(events, &text),
        _ => Marker::default(),
    };
    let group = consumer.group_metadata().ok_or_else(|| ExportError::retryable("librdkafka gives no group"))?;
    Ok(Session { producer, group, marker, bytes: usize::MAX })
}

/// Commits messages and marker together. Blocks. After any failure the session is gone: whether it was committed is read from the marker.
fn commit(connector: &Connector, mut session: Session, marker: Marker) -> Result<Session, ExportError> {
    let failed = |error: KafkaError| connector.failed(&error);
    let timeout = connector.config.timeout;
    let mut offsets = TopicPartitionList::new();
    {
        let mut place = offsets.add_partition(&connector.config.topic, MARKED);
        place.set_offset(Offset::Offset(marker.events)).map_err(failed)?;
        place.set_metadata(marker.text());
    }
    session.producer.send_offsets_to_transaction(&offsets, &session.group, timeout).map_err(failed)?;
    session.producer.commit_transaction(timeout).map_err(failed)?;
    session.marker = marker;
    session.bytes = session.bytes.saturating_mul(2);
    Ok(session)
}

/// Ends the transaction without effect. Blocks. After a failure the session is gone; the next one ends it.
fn abort(connector: &Connector, session: Session) -> Result<Session, ExportError> {
    session.producer.abort_transaction(connector.config.timeout).map_err(|error| connector.failed(&error))?;
    Ok(session)
}

/// Runs `work` where it may block. It goes on when the caller stops waiting; its session is then dropped.
async fn blocking<T: Send + 'static>(
    connector: &Connector,
    work: impl FnOnce(&Connector) -> Result<T, ExportError> + Send + 'static,
) -> Result<T, ExportError> {
    let connector = connector.clone();
    match tokio::task::spawn_blocking(move || work(&connector)).await {
        Ok(result) => result,
        Err(error) => Err(ExportError::Crashed { reason: format!("a transaction was broken off: {error}") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use flagpost_event::{EventKind, StreamName};

    #[test]
    fn the_transactional_id_is_the_same_for_every_batch_of_a_stream() {
        let cases = [
            ("s1-default.feature-1-100", "flagpost-s1-default.feature-mine"),
            ("s1-default.feature-1-100.r7", "flagpost-s1-default.feature-mine"),
            ("s1-a-b.tracking-9-9", "flagpost-s1-a-b.tracking-mine"),
            ("s1-a~2erx.feature-9-9.r12", "flagpost-s1-a~2erx.feature-mine"),
            ("mine", "flagpost-mine-mine"),
            ("a-1", "flagpost-a-1-mine"),
        ];
        for (batch, expected) in cases {
            assert_eq!(id("mine", &BatchId::new(batch)), expected);
        }
    }

    #[test]
    fn the_digest_names_the_id_and_every_byte() {
        let of = |id: &str, lines: &[&'static str]| {
            let chunks: Vec<Bytes> = lines.iter().map(|line| Bytes::from_static(line.as_bytes())).collect();
            digest(&EventBatch::new(BatchId::new(id), StreamName::new("default", EventKind::Feature), 1, chunks))
        };
        let base = of("s-1-2", &["{}\n{\"a\":1}\n"]);
        assert_eq!(base, of("s-1-2", &["{}\n", "{\"a\":1}\n"]), "chunks are no part of it");
        assert_ne!(base, of("s-3-4", &["{}\n{\"a\":1}\n"]));
        assert_ne!(base, of("s-1-2", &["{}\n{\"a\":2}\n"]));
    }

    #[test]
    fn a_marker_names_what_was_left_out_and_older_ones_are_read() {
        for refused in [vec![], vec![3], vec![0, 17, 9_999]] {
            let marker = Marker { events: 7, digest: "ab12".to_owned(), refused };
            assert_eq!(Marker::read(7, &marker.text()), marker);
        }
        assert_eq!(Marker::read(7, "ab12"), Marker { events: 7, digest: "ab12".to_owned(), refused: vec![] });
        assert_eq!(Marker::read(0, ""), Marker::default());
    }

    #[test]
    fn when_nothing_was_committed_the_refused_are_named_and_the_rest_comes_again() {
        let refused = |indices: &[u32]| {
            let mut tally = Tally { delivered: 2, ..Tally::default() };
            indices.iter().for_each(|&index| tally.reject(index, "too large".to_owned()));
            tally
        };
        let partial = ExportError::Partial {
            retry: vec![0, 2, 3],
            rejected: vec![RejectedEvent { index: 1, reason: "too large".to_owned() }],
            after: None,
        };
        assert_eq!(undone(refused(&[1]), 4), Err(partial));
        assert_eq!(undone(refused(&[0, 1]), 2), Err(ExportError::rejected("too large")), "nothing vouches for the destination");
        let mut down = Tally::default();
        down.again(0, Meaning::Passing, || "down".to_owned());
        assert_eq!(undone(down, 1), Err(ExportError::retryable("down")));
        let mut denied = refused(&[1]);
        denied.again(0, Meaning::Alarm("ask"), || "denied".to_owned());
        assert_eq!(undone(denied, 2), Err(ExportError::misconfigured("denied: ask")));
    }
}
