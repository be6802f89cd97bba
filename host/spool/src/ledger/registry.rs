//! Who is a consumer: first seen, gone, forgotten; and which log the cursors belong to.

use flagpost_event::StreamName;

use super::engine::Engine;
use super::mirror::{Mirror, Origin};
use super::{Ledger, LedgerError, rows};
use crate::{Bounds, ConsumerId, ConsumerRecord, Identity, Settlement};

impl Ledger {
    /// Tells the bookkeeping which log it belongs to: the store's id and what the log holds of every stream. Called once after opening,
    /// before anything is registered.
    ///
    /// A bookkeeping that is new, or that belongs to another store, then knows which events are older than itself: consumers of their
    /// streams start at the oldest event instead of the head.
    pub async fn attach(&self, store: &str, streams: &[(StreamName, Bounds)]) -> Result<(), LedgerError> {
        let (store, streams) = (store.to_owned(), streams.to_vec());
        self.runner.run(move |engine| attach(engine, &store, &streams)).await
    }

    /// The record of the consumer that is `identity` reading `stream`. One that is known resumes, also after it was orphaned. A new one
    /// starts at the head, durable before this returns; at the oldest event while the log holds events from before the bookkeeping began
    /// anew. `bounds` is what the log holds of the stream now.
    pub async fn register(&self, identity: &Identity, stream: &StreamName, bounds: Bounds) -> Result<ConsumerRecord, LedgerError> {
        let (identity, stream) = (identity.clone(), stream.clone());
        self.runner.run(move |engine| register(engine, identity, stream, bounds)).await
    }

    /// Marks a consumer as gone from the configuration, since `since_ms` in Unix milliseconds or since it was marked before.
    pub async fn orphan(&self, id: ConsumerId, since_ms: u64) -> Result<(), LedgerError> {
        self.change(id, "marking a removed exporter", move |record| {
            record.orphaned_since.get_or_insert(since_ms);
            Ok(Vec::new())
        })
        .await
    }

    /// Takes a consumer out of the registry. Its dead letters are kept.
    pub async fn forget(&self, id: ConsumerId) -> Result<(), LedgerError> {
        self.runner.run(move |engine| forget(engine, &[id])).await
    }
}

fn attach(engine: &mut Engine, store: &str, streams: &[(StreamName, Bounds)]) -> Result<(), LedgerError> {
    let (origin, known, records) = {
        let mirror = engine.mirror().lock();
        (mirror.origin, mirror.store.clone(), mirror.all())
    };
    let replaced = known.as_deref().is_some_and(|known| known != store);
    if replaced {
        tracing::error!(
            was = known,
            is = store,
            "the bookkeeping belongs to another event log: all exporters begin at the oldest event, dead letters are kept"
        );
        forget(engine, &records.iter().map(|record| record.id).collect::<Vec<_>>())?;
    } else {
        forget_the_lost(engine, &records, streams)?;
    }
    if !replaced && origin == Origin::Attached {
        return Ok(());
    }
    engine.write("noting the event log", |connection| {
        rows::set_found(connection, streams.iter().map(|(stream, bounds)| (stream, bounds.head)))?;
        rows::set_meta(connection, "store", store)?;
        rows::set_meta(connection, "origin", "attached")
    })?;
    {
        let mut mirror = engine.mirror().lock();
        mirror.origin = Origin::Attached;
        mirror.store = Some(store.to_owned());
        mirror.found = streams.iter().map(|(stream, bounds)| (stream.clone(), bounds.head)).collect();
    }
    engine.checkpoint()
}

/// Cursors above the log's head: the log lost its end and gives those numbers out again.
fn forget_the_lost(engine: &mut Engine, records: &[ConsumerRecord], streams: &[(StreamName, Bounds)]) -> Result<(), LedgerError> {
    let head = |stream: &StreamName| streams.iter().find(|(name, _)| name == stream).map_or(1, |(_, bounds)| bounds.head);
    let lost: Vec<_> = records.iter().filter(|record| record.cursor > head(&record.stream)).collect();
    for record in &lost {
        tracing::error!(
            exporter = %record.identity, stream = %record.stream, cursor = record.cursor, head = head(&record.stream),
            "the event log lost its end: the exporter begins again at the head"
        );
    }
    forget(engine, &lost.iter().map(|record| record.id).collect::<Vec<_>>())
}

fn register(engine: &mut Engine, identity: Identity, stream: StreamName, bounds: Bounds) -> Result<ConsumerRecord, LedgerError> {
    let known = engine.mirror().lock().find(&identity, &stream);
    let record = match known {
        Some(record) if record.orphaned_since.is_none() => return Ok(record),
        Some(record) => {
            let record = ConsumerRecord { orphaned_since: None, ..record };
            engine.write("resuming an exporter", |connection| rows::update(connection, &record))?;
            record
        }
        None => {
            let start = first_number(&engine.mirror().lock(), &stream, bounds);
            let mut record = ConsumerRecord {
                id: ConsumerId(0),
                identity,
                stream,
                start,
                cursor: start,
                dead: 0,
                replayed: 0,
                dropped: Default::default(),
                plan: None,
                replay: None,
                replays: 0,
                orphaned_since: None,
            };
            record.id = engine.write("registering an exporter", |connection| rows::insert(connection, &record))?;
            record
        }
    };
    let id = record.id;
    engine.mirror().lock().put(record.clone());
    // Not left in the write-ahead log: a registration that is lost there would start at a later head, and skip events.
    engine.checkpoint()?;
    let current = engine.mirror().lock().get(id);
    Ok(current.unwrap_or(record))
}

fn first_number(mirror: &Mirror, stream: &StreamName, bounds: Bounds) -> u64 {
    let older_events = match mirror.origin {
        Origin::Created => false,
        Origin::Rebuilt => true,
        Origin::Attached => mirror.found.get(stream).is_some_and(|&head| bounds.oldest < head),
    };
    if older_events { bounds.oldest } else { bounds.head }
}

fn forget(engine: &mut Engine, ids: &[ConsumerId]) -> Result<(), LedgerError> {
    if ids.is_empty() {
        return Ok(());
    }
    engine.write("forgetting an exporter", |connection| ids.iter().try_for_each(|&id| rows::forget(connection, id)))?;
    let mut mirror = engine.mirror().lock();
    ids.iter().for_each(|&id| mirror.remove(id));
    Ok(())
}

/// Applies a settlement to a record, or says which rule it breaks.
pub(crate) fn settle(record: &mut ConsumerRecord, settlement: &Settlement) -> Result<(), LedgerError> {
    let unsound = |why: String| Err(LedgerError::Unsound { id: record.id, why });
    if settlement.cursor < record.cursor {
        return unsound(format!("the cursor would move back from {} to {}", record.cursor, settlement.cursor));
    }
    let dead = record.dead + settlement.dead.len() as u64;
    let mut dropped = record.dropped.clone();
    for (&reason, count) in &settlement.dropped {
        *dropped.entry(reason).or_default() += count;
    }
    let given_up = dead + dropped.values().sum::<u64>();
    let settled = settlement.cursor - record.start;
    if given_up > settled {
        return unsound(format!("{given_up} events dead or dropped, but only {settled} settled"));
    }
    *record = ConsumerRecord { cursor: settlement.cursor, dead, dropped, plan: settlement.plan.clone(), ..record.clone() };
    Ok(())
}
