//! Dead letters as an operator sees them: which there are, marking them to be sent again, dropping them.
//!
//! A filter may choose a million of them, and everybody's cursors wait behind whatever the ledger does: so changes go page by page.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use flagpost_event::{EventKind, StreamName};

use super::engine::Engine;
use super::graves::{self, Candidate, Group};
use super::{Ledger, LedgerError, rows};
use crate::{ConsumerId, ConsumerRecord, DeadLetter, DropReason, Identity};

/// So many letters are changed in one transaction.
const PAGE: usize = 1_000;
/// No more bytes of events are shown at once, unless one alone is larger.
const PAGE_BYTES: usize = 8 << 20;
/// So many reasons are told apart in a summary.
const REASONS: usize = 10;

/// What a dead letter is called: `<consumer>-<number>`, never given twice by one bookkeeping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LetterId {
    /// Whose it is.
    pub consumer: ConsumerId,
    /// Its number in its stream.
    pub number: u64,
}

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.consumer.0, self.number)
    }
}

/// A text that names no dead letter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no id of a dead letter: expected two numbers, `3-1042`, as they are listed")]
pub struct BadLetterId(pub String);

impl FromStr for LetterId {
    type Err = BadLetterId;

    fn from_str(text: &str) -> Result<Self, BadLetterId> {
        let parsed = text.split_once('-').and_then(|(consumer, number)| {
            let consumer: u32 = consumer.parse().ok()?;
            Some(LetterId { consumer: ConsumerId(consumer.into()), number: number.parse().ok()? })
        });
        parsed.ok_or_else(|| BadLetterId(text.to_owned()))
    }
}

/// Which dead letters: all that fit everything that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LetterFilter {
    /// Only these. Empty: any.
    pub ids: Vec<LetterId>,
    /// Only this flag set's.
    pub flag_set: Option<String>,
    /// Only this exporter's.
    pub exporter: Option<String>,
    /// Only events of this kind.
    pub kind: Option<EventKind>,
    /// Only those whose reason contains this, upper and lower case apart.
    pub reason_contains: Option<String>,
    /// Only those that are marked to be sent again.
    pub marked: bool,
}

/// Whose a dead letter is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterOwner {
    /// Its row.
    pub id: ConsumerId,
    /// The exporter.
    pub identity: Identity,
    /// What it read.
    pub stream: StreamName,
    /// Whether it is no longer in the registry: its letters cannot be sent again by anybody.
    pub gone: bool,
}

/// A dead letter and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Whose.
    pub owner: LetterOwner,
    /// What.
    pub letter: DeadLetter,
}

impl Letter {
    /// What it is called.
    pub fn id(&self) -> LetterId {
        LetterId { consumer: self.owner.id, number: self.letter.number }
    }
}

/// The dead letters of one consumer in numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterSummary {
    /// Whose.
    pub owner: LetterOwner,
    /// How many.
    pub count: u64,
    /// How many of them are marked to be sent again.
    pub marked: u64,
    /// When the first of them was condemned, Unix milliseconds.
    pub oldest: u64,
    /// When the last of them was, Unix milliseconds.
    pub newest: u64,
    /// The most frequent reasons and how often each was given.
    pub reasons: Vec<(String, u64)>,
    /// How many letters have another reason than those.
    pub other_reasons: u64,
}

/// What was done with dead letters, and what was not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LetterChange {
    /// How many were marked, no longer marked, or dropped, by consumer.
    pub changed: BTreeMap<ConsumerId, u64>,
    /// Not marked: their exporter is no longer in the registry.
    pub gone: u64,
    /// Not marked: their events could not be read when they were condemned.
    pub unreadable: u64,
    /// In the batch that is being sent again: not dropped; no longer marked, but the attempt under way may deliver them.
    pub sending: u64,
}

impl LetterChange {
    /// How many were changed.
    pub fn total(&self) -> u64 {
        self.changed.values().sum()
    }
}

impl Ledger {
    /// At most `limit` dead letters of a consumer in the order of their numbers, from the first above `after` on.
    pub async fn dead_letters(&self, id: ConsumerId, after: Option<u64>, limit: usize) -> Result<Vec<DeadLetter>, LedgerError> {
        let after = after.unwrap_or(0);
        self.reading(move |connection| graves::letters(connection, id, after, limit)).await
    }

    /// How many dead letters of a consumer are kept.
    pub async fn dead_letter_count(&self, id: ConsumerId) -> Result<u64, LedgerError> {
        self.reading(move |connection| graves::count(connection, id)).await
    }

    /// At most `limit` of the chosen dead letters in the order of their ids, from the first above `after` on; those of consumers that are gone
    /// included. Fewer when they are large; none only when there is none.
    pub async fn letters(&self, filter: &LetterFilter, after: Option<LetterId>, limit: usize) -> Result<Vec<Letter>, LedgerError> {
        let filter = filter.clone();
        self.reading(move |connection| graves::page(connection, &filter, after, limit, PAGE_BYTES)).await
    }

    /// The chosen dead letters in numbers, consumer by consumer.
    pub async fn letter_summaries(&self, filter: &LetterFilter) -> Result<Vec<LetterSummary>, LedgerError> {
        let filter = filter.clone();
        Ok(summaries(self.reading(move |connection| graves::groups(connection, &filter)).await?))
    }

    /// Marks at most `limit` of the chosen dead letters to be sent again, the oldest numbers first. Durable when it returns.
    pub async fn mark_letters(&self, filter: &LetterFilter, limit: Option<usize>) -> Result<LetterChange, LedgerError> {
        self.change_letters(filter, limit, mark).await
    }

    /// Takes back the marks of at most `limit` of the chosen dead letters. Durable when it returns.
    pub async fn unmark_letters(&self, filter: &LetterFilter, limit: Option<usize>) -> Result<LetterChange, LedgerError> {
        let filter = LetterFilter { marked: true, ..filter.clone() };
        self.change_letters(&filter, limit, unmark).await
    }

    /// How many dead letters of a consumer are marked to be sent again.
    pub fn marked(&self, identity: &Identity, stream: &StreamName) -> u64 {
        self.mirror.lock().marked(identity, stream)
    }

    /// Drops at most `limit` of the chosen dead letters: they count as dropped from then on. Durable when it returns.
    pub async fn drop_letters(&self, filter: &LetterFilter, limit: Option<usize>) -> Result<LetterChange, LedgerError> {
        self.change_letters(filter, limit, discard).await
    }

    async fn change_letters(&self, filter: &LetterFilter, limit: Option<usize>, change: Changing) -> Result<LetterChange, LedgerError> {
        let (mut done, mut after, mut left) = (LetterChange::default(), None, limit.unwrap_or(usize::MAX));
        while left > 0 {
            let (filter, most) = (filter.clone(), left.min(PAGE));
            let page: (Option<LetterId>, LetterChange) = self
                .runner
                .run(move |engine| {
                    let read = |connection: &rusqlite::Connection| graves::candidates(connection, &filter, after, most);
                    let found = engine.read("reading dead letters", read)?;
                    let last = found.last().map(|candidate| candidate.id);
                    Ok((last, change(engine, found)?))
                })
                .await?;
            let Some(last) = page.0 else { break };
            after = Some(last);
            left = left.saturating_sub(most);
            for (consumer, count) in page.1.changed {
                *done.changed.entry(consumer).or_default() += count;
            }
            done.gone += page.1.gone;
            done.unreadable += page.1.unreadable;
            done.sending += page.1.sending;
        }
        Ok(done)
    }

    pub(super) async fn reading<T: Send + 'static>(
        &self,
        statements: impl Fn(&rusqlite::Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, LedgerError> {
        self.runner.run(move |engine| engine.read("reading dead letters", statements)).await
    }
}

/// What is done with a page of letters.
type Changing = fn(&mut Engine, Vec<Candidate>) -> Result<LetterChange, LedgerError>;

fn mark(engine: &mut Engine, found: Vec<Candidate>) -> Result<LetterChange, LedgerError> {
    let mut change = LetterChange::default();
    let mut marked = Vec::new();
    for candidate in found {
        match candidate {
            Candidate { gone: true, .. } => change.gone += 1,
            Candidate { empty: true, .. } => change.unreadable += 1,
            Candidate { id, .. } => {
                *change.changed.entry(id.consumer).or_default() += 1;
                marked.push(id);
            }
        }
    }
    let newly = engine.write("marking dead letters", |connection| those_of(&marked, |id| graves::mark(connection, id)))?;
    let mut mirror = engine.mirror().lock();
    newly.into_iter().for_each(|id| mirror.mark(id.consumer, 1));
    Ok(change)
}

fn unmark(engine: &mut Engine, found: Vec<Candidate>) -> Result<LetterChange, LedgerError> {
    let chosen: Vec<LetterId> = found.into_iter().map(|candidate| candidate.id).collect();
    let unmarked = engine.write("taking back marks", |connection| those_of(&chosen, |id| graves::unmark(connection, id)))?;
    let mut change = LetterChange::default();
    let mut records = BTreeMap::new();
    for id in unmarked {
        let record = records.entry(id.consumer).or_insert_with(|| engine.mirror().lock().get(id.consumer));
        change.sending += u64::from(record.as_ref().is_some_and(|record| is_sent(record, id.number)));
        *change.changed.entry(id.consumer).or_default() += 1;
    }
    let mut mirror = engine.mirror().lock();
    change.changed.iter().for_each(|(&id, &count)| mirror.unmark(id, count));
    drop(mirror);
    Ok(change)
}

/// Those for which the statement says yes.
fn those_of(ids: &[LetterId], statement: impl Fn(LetterId) -> rusqlite::Result<bool>) -> rusqlite::Result<Vec<LetterId>> {
    let mut those = Vec::new();
    for &id in ids {
        if statement(id)? {
            those.push(id);
        }
    }
    Ok(those)
}

/// Whether the letter is in the batch that is being sent again.
fn is_sent(record: &ConsumerRecord, number: u64) -> bool {
    record.replay.as_ref().is_some_and(|plan| plan.numbers.0.iter().any(|range| range.contains(&number)))
}

fn discard(engine: &mut Engine, found: Vec<Candidate>) -> Result<LetterChange, LedgerError> {
    let mut change = LetterChange::default();
    let mut leaving = Vec::new();
    let mut known = BTreeMap::new();
    for Candidate { id, .. } in found {
        let record = known.entry(id.consumer).or_insert_with(|| engine.mirror().lock().get(id.consumer));
        if record.as_ref().is_some_and(|record| is_sent(record, id.number)) {
            change.sending += 1;
            continue;
        }
        *change.changed.entry(id.consumer).or_default() += 1;
        leaving.push(id);
    }
    let mut records: Vec<_> = change.changed.keys().filter_map(|&id| engine.mirror().lock().get(id)).collect();
    for record in &mut records {
        let count = change.changed.get(&record.id).copied().unwrap_or(0).min(record.dead);
        record.dead -= count;
        *record.dropped.entry(DropReason::DeadLetter).or_default() += count;
    }
    let unmarked = engine.write("dropping dead letters", |connection| {
        records.iter().try_for_each(|record| rows::update(connection, record))?;
        those_of(&leaving, |id| Ok(graves::exhume(connection, id)? == Some(true)))
    })?;
    let mut mirror = engine.mirror().lock();
    unmarked.into_iter().for_each(|id| mirror.unmark(id.consumer, 1));
    records.into_iter().for_each(|record| mirror.put(record));
    Ok(change)
}

fn summaries(groups: Vec<Group>) -> Vec<LetterSummary> {
    let mut summaries: Vec<LetterSummary> = Vec::new();
    for Group { owner, reason, count, marked, oldest, newest } in groups {
        match summaries.last_mut() {
            Some(summary) if summary.owner.id == owner.id => {
                summary.count += count;
                summary.marked += marked;
                summary.oldest = summary.oldest.min(oldest);
                summary.newest = summary.newest.max(newest);
                if summary.reasons.len() < REASONS {
                    summary.reasons.push((reason, count));
                } else {
                    summary.other_reasons += count;
                }
            }
            _ => summaries.push(LetterSummary { owner, count, marked, oldest, newest, reasons: vec![(reason, count)], other_reasons: 0 }),
        }
    }
    summaries
}
