//! Marks that are taken back.
//!
//! An operator may take a mark back at any time, also of a letter in the batch under way: the attempt that runs may deliver it, and after that the
//! batch is no more; what is still marked of it comes in another one.

use flagpost_spool::{DeadLetter, LedgerError, NumberRanges};
use tokio::time::Instant;

use crate::ranges::Numbers;
use crate::worker::Worker;

impl Worker {
    /// The letters of a batch, unless some were dropped, or their marks taken back.
    pub(super) async fn still_meant(&mut self, piece: &NumberRanges) -> Result<Option<Vec<DeadLetter>>, LedgerError> {
        let letters = self.context.ledger.letters_of(self.id, piece).await?;
        let whole = letters.len() as u64 == piece.count() && letters.iter().all(|letter| letter.marked);
        Ok(whole.then_some(letters))
    }

    /// Marks may have been taken back while the batch waits for a pause.
    pub(super) async fn look_again(&mut self) {
        let Some(numbers) = self.replays.batch.as_ref().map(|batch| batch.plan.numbers.clone()) else { return };
        match self.still_meant(&numbers).await {
            Ok(Some(_)) => {}
            Ok(None) => self.dissolve().await,
            Err(error) => {
                self.replays.look_again = true;
                self.replay_halts(&error);
            }
        }
    }

    /// Some of the batch are not to be sent: the others come in another one, since another set has another id.
    pub(super) async fn dissolve(&mut self) {
        self.set_aside();
        self.replays_are_over();
        self.note_replay().await;
    }

    /// Nothing of what failed is to be sent any more.
    pub(super) fn replays_are_over(&mut self) {
        self.replays.forget_failures(Instant::now());
        self.refresh_state();
    }
}
