//! Dead letters on their way out: what a worker takes of those that are marked, and what became of them.

use super::graves;
use super::{Ledger, LedgerError, LetterId, rows};
use crate::{ConsumerId, DeadLetter, NumberRanges, ReplaySettlement};

impl Ledger {
    /// The next marked dead letters of a consumer in the order of their numbers: at most `events`, and no more than `bytes` of lines unless one
    /// alone is larger.
    pub async fn marked_letters(&self, id: ConsumerId, events: usize, bytes: usize) -> Result<Vec<DeadLetter>, LedgerError> {
        self.reading(move |connection| graves::marked(connection, id, events, bytes)).await
    }

    /// Those of these dead letters that are there, in the order of their numbers.
    pub async fn letters_of(&self, id: ConsumerId, numbers: &NumberRanges) -> Result<Vec<DeadLetter>, LedgerError> {
        let numbers = numbers.clone();
        self.reading(move |connection| graves::of(connection, id, &numbers)).await
    }

    /// Takes the delivered ones out of the dead letters, keeps the reasons of the refused ones, and sets the batch under way: durable together
    /// when it returns. Returns how many left the dead letters.
    pub async fn settle_replay(&self, id: ConsumerId, settlement: ReplaySettlement) -> Result<u64, LedgerError> {
        self.runner
            .run(move |engine| {
                let before = engine.mirror().lock().get(id).ok_or(LedgerError::Unknown(id))?;
                let letter = |number: u64| LetterId { consumer: id, number };
                let (record, left, unmarked) = engine.write("settling a replay", |connection| {
                    let mut record = before.clone();
                    let (mut left, mut unmarked) = (0, 0);
                    for &number in &settlement.delivered {
                        let marked = graves::exhume(connection, letter(number))?;
                        left += u64::from(marked.is_some());
                        unmarked += u64::from(marked == Some(true));
                    }
                    // Letters that stayed behind in a database that was set aside are not counted twice.
                    left = left.min(record.dead);
                    record.dead -= left;
                    record.replayed += left;
                    record.replay = settlement.plan.clone();
                    record.replays = record.replay.as_ref().map_or(record.replays, |plan| plan.number.max(record.replays));
                    for (number, reason) in &settlement.refused {
                        unmarked += u64::from(graves::refuse(connection, letter(*number), reason, settlement.attempts, settlement.at)?);
                    }
                    for &number in &settlement.back {
                        graves::tried(connection, letter(number), settlement.attempts)?;
                    }
                    rows::update(connection, &record)?;
                    Ok((record, left, unmarked))
                })?;
                let mut mirror = engine.mirror().lock();
                mirror.put(record);
                mirror.unmark(id, unmarked);
                Ok(left)
            })
            .await
    }
}
