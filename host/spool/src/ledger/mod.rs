//! The bookkeeping: who reads which stream, how far, with which plan, and what was condemned. One SQLite database beside the segments.
//!
//! # What it is for
//! The event log knows events and their numbers; this knows consumers. A consumer is an identity reading one stream. All that must
//! survive a crash about it is in one [`ConsumerRecord`], changed in transactions: the cursor, the counters, the plan and the dead letters
//! of one settlement become durable together or not at all, so the conservation sum holds after every crash.
//!
//! # Two speeds
//! [`Ledger::settle`], [`Ledger::save_plan`], [`Ledger::register`] and the others return when their change is synced. Streaming exporters
//! move their cursor with [`Ledger::advance`], which only changes memory; the cursors of all consumers are written together within 200 ms,
//! with the next transaction of anyone, and by [`Ledger::flush`]. A crash repeats at most those deliveries.
//!
//! Questions are answered from memory. Statements on a file run on one thread, so no task waits for the disk without yielding. The
//! variant in memory has no thread: its statements run in the calling task.
//!
//! # What the caller must keep to
//! * A cursor may become durable only when the events below it are durable in the log: what was read from the log is. Otherwise a crash
//!   would leave a cursor past the log's head, and numbers that the log gives out again would never be delivered.
//! * [`Ledger::attach`] once after opening, before the first [`Ledger::register`]: it tells the bookkeeping which log it belongs to.
//! * The log may give up events below [`Ledger::durable_floor`], never below a cursor that is only in memory.
//!
//! # Failure cases
//! * **Crash**: SQLite's write-ahead log with `synchronous=FULL`; at most coalesced moves are lost.
//! * **The disk refuses** (full, I/O error): the caller gets an error, memory and disk are unchanged, and the next call may work.
//! * **Damage**, found at opening (`quick_check`, a checksum per row) or later: the file is set aside as `<name>.damaged-<unix ms>` and a
//!   new one begins. At opening nothing is believed: consumers start at the oldest event that the log holds (duplicates, no loss). Later,
//!   the new file gets what memory knows, and only dead letters stay behind in the old one.
//! * **The log was replaced** (another store id), or the database was deleted: as after damage, except that dead letters are kept.
//! * **The log lost its end** (a cursor above its head): the consumer begins again at the head, since all below was settled.
//! * **A newer program's file**: refused, both formats named, nothing touched.
//!
//! # Dead letters that go again
//! Sending a dead letter again is a mark on it (`letters.rs`): whoever sets it, a running relay or a command on a store that nobody has open, the
//! consumer's worker does the sending, now or at the next start. A letter stays one until it is known to be delivered (`replay.rs`).
//!
//! # What is not promised
//! A database restored from an old copy repeats what was delivered since. Bits that flip in the write-ahead log cut it there: newer
//! changes are lost as in a crash. Registrations are never in it, so no consumer loses its place.

mod engine;
mod error;
mod file;
mod graves;
mod lazy;
mod letters;
mod mirror;
mod registry;
mod replay;
mod rows;
mod runner;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use flagpost_event::{Clock, StreamName};

pub use error::{LedgerError, LedgerReport, Rebuilt};
pub use letters::{BadLetterId, Letter, LetterChange, LetterFilter, LetterId, LetterOwner, LetterSummary};

use crate::{ConsumerId, ConsumerRecord, DeadLetter, Plan, Settlement};
use engine::Engine;
use mirror::Shared;
use runner::Runner;

/// The bookkeeping. Cheap to clone; all clones are the same one.
#[derive(Clone)]
pub struct Ledger {
    mirror: Shared,
    runner: Arc<Runner>,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").finish_non_exhaustive()
    }
}

impl Ledger {
    /// Opens or creates the database file at `path`; its directory exists. `clock` names files that are set aside. Blocks; call it before
    /// anything is served.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<(Ledger, LedgerReport), LedgerError> {
        let (engine, report) = Engine::open(path, clock)?;
        let mirror = engine.mirror().clone();
        let runner = Runner::thread(engine).map_err(LedgerError::Thread)?;
        Ok((Ledger { mirror, runner: Arc::new(runner) }, report))
    }

    /// A bookkeeping that lives as long as its handles. Runs in the calling task, without any thread.
    pub fn memory(clock: Arc<dyn Clock>) -> Result<Ledger, LedgerError> {
        let engine = Engine::memory(clock)?;
        Ok(Ledger { mirror: engine.mirror().clone(), runner: Arc::new(Runner::inline(engine)) })
    }

    /// All consumers, those gone from the configuration included.
    pub fn consumers(&self) -> Vec<ConsumerRecord> {
        self.mirror.lock().all()
    }

    /// One consumer.
    pub fn record(&self, id: ConsumerId) -> Option<ConsumerRecord> {
        self.mirror.lock().get(id)
    }

    /// Makes the plan of the batch under way durable.
    pub async fn save_plan(&self, id: ConsumerId, plan: &Plan) -> Result<(), LedgerError> {
        let plan = plan.clone();
        self.change(id, "saving a plan", move |record| {
            record.plan = Some(plan.clone());
            Ok(Vec::new())
        })
        .await
    }

    /// Moves the cursor, counts what was condemned or dropped, keeps the dead letters and sets the plan: durable together when it returns.
    /// Numbers that do not add up are refused.
    pub async fn settle(&self, id: ConsumerId, settlement: Settlement) -> Result<(), LedgerError> {
        self.change(id, "settling events", move |record| {
            registry::settle(record, &settlement)?;
            Ok(settlement.dead.clone())
        })
        .await
    }

    /// Moves the cursor in memory at once and on disk soon: within 200 ms, with the next change, or by [`flush`](Self::flush). A cursor
    /// never moves back: lower numbers and unknown consumers are ignored.
    pub fn advance(&self, id: ConsumerId, cursor: u64) {
        let first = self.mirror.lock().advance(id, cursor);
        if first {
            self.runner.moved();
        }
    }

    /// Makes all cursors durable.
    pub async fn flush(&self) -> Result<(), LedgerError> {
        self.runner.run(Engine::flush).await
    }

    /// Makes all cursors durable and ends the bookkeeping: later changes are refused.
    pub async fn close(&self) -> Result<(), LedgerError> {
        self.runner.run(|engine| engine.flush().and_then(|()| engine.checkpoint())).await?;
        self.runner.stop();
        Ok(())
    }

    /// Per stream the lowest durable cursor of all its consumers, orphaned ones included: the log may give up what is below. Streams
    /// without a consumer are not named.
    pub fn durable_floor(&self) -> Vec<(StreamName, u64)> {
        self.mirror.lock().durable_floor()
    }

    /// The next timestamp for an object at `destination`, in Unix seconds: now, or one more than the last one used there. Durable when it
    /// returns, so no two objects of a destination ever get the same.
    pub async fn next_timestamp(&self, destination: &str, now_seconds: u64) -> Result<u64, LedgerError> {
        let destination = destination.to_owned();
        self.runner
            .run(move |engine| {
                let last = engine.mirror().lock().names.get(&destination).copied();
                let next = last.map_or(now_seconds, |last| now_seconds.max(last + 1));
                engine.write("moving the name clock", |connection| rows::set_name(connection, &destination, next))?;
                engine.mirror().lock().names.insert(destination, next);
                Ok(next)
            })
            .await
    }

    /// Changes one record and keeps the dead letters that come with the change.
    async fn change(
        &self,
        id: ConsumerId,
        during: &'static str,
        change: impl FnOnce(&mut ConsumerRecord) -> Result<Vec<DeadLetter>, LedgerError> + Send + 'static,
    ) -> Result<(), LedgerError> {
        self.runner
            .run(move |engine| {
                let mut record = engine.mirror().lock().get(id).ok_or(LedgerError::Unknown(id))?;
                let letters = change(&mut record)?;
                engine.write(during, |connection| {
                    rows::update(connection, &record)?;
                    letters.iter().try_for_each(|letter| graves::bury(connection, id, letter))
                })?;
                engine.mirror().lock().put(record);
                Ok(())
            })
            .await
    }
}
