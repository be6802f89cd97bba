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
        // Also when it failed: what was marked before that is to go.
        self.shared.tasks().iter().for_each(crate::tasks::Task::order_replay);
        change
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
