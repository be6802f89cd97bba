//! Dead letters, as an operator asks for them while workers run.

use flagpost_spool::{LedgerError, Letter, LetterChange, LetterFilter, LetterId, LetterSummary};

use crate::Delivery;

impl Delivery {
    /// The chosen dead letters in numbers, exporter by exporter.
    ///
    /// # Errors
    ///
    /// The bookkeeping could not be read.
    pub async fn letter_summaries(&self, filter: &LetterFilter) -> Result<Vec<LetterSummary>, LedgerError> {
        self.shared.ledger.letter_summaries(filter).await
    }

    /// At most `limit` of the chosen dead letters, from the first above `after` on.
    ///
    /// # Errors
    ///
    /// The bookkeeping could not be read.
    pub async fn letters(&self, filter: &LetterFilter, after: Option<LetterId>, limit: usize) -> Result<Vec<Letter>, LedgerError> {
        self.shared.ledger.letters(filter, after, limit).await
    }

    /// Has at most `limit` of the chosen dead letters sent again, each by its exporter's own worker. Returns once they are marked, which
    /// survives a crash; a letter stays one until it is delivered.
    ///
    /// # Errors
    ///
    /// The bookkeeping took nothing, or not all of a large choice.
    pub async fn replay_letters(&self, filter: &LetterFilter, limit: Option<usize>) -> Result<LetterChange, LedgerError> {
        let change = self.shared.ledger.mark_letters(filter, limit).await;
        self.order_replays(change.as_ref().ok());
        change
    }

    /// Has at most `limit` of the chosen dead letters not sent again. Returns once their marks are taken back, which survives a crash; an
    /// attempt that is under way may still deliver its letters.
    ///
    /// # Errors
    ///
    /// The bookkeeping took nothing, or not all of a large choice.
    pub async fn cancel_replay(&self, filter: &LetterFilter, limit: Option<usize>) -> Result<LetterChange, LedgerError> {
        let change = self.shared.ledger.unmark_letters(filter, limit).await;
        self.order_replays(change.as_ref().ok());
        change
    }

    /// Tells the workers whose letters were changed; all of them if that is not known, since a part may have been changed before it failed.
    fn order_replays(&self, change: Option<&LetterChange>) {
        let concerned = self.shared.tasks().into_iter().filter(|task| change.is_none_or(|change| change.changed.contains_key(&task.id)));
        concerned.for_each(|task| task.order_replay());
    }

    /// Drops at most `limit` of the chosen dead letters: they count as dropped.
    ///
    /// # Errors
    ///
    /// The bookkeeping took nothing.
    pub async fn drop_letters(&self, filter: &LetterFilter, limit: Option<usize>) -> Result<LetterChange, LedgerError> {
        // Nobody's numbers are read anew meanwhile.
        let _registry = self.shared.registry.lock().await;
        let change = self.shared.ledger.drop_letters(filter, limit).await?;
        for task in self.shared.tasks() {
            if let Some(&count) = change.changed.get(&task.id) {
                task.status.letters_dropped(count);
            }
        }
        Ok(change)
    }
}
