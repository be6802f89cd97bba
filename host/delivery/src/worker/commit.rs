//! Making progress durable: cursor, dead letters and plans.

use std::time::Duration;

use flagpost_spool::{DeadLetter, LedgerError, Plan, ReadError, Settlement};
use tokio::time::Instant;

use super::{Context, STORE_PAUSE, Worker};
use crate::ids::batch_id;
use crate::lanes::{Lanes, Passed};
use crate::status::TaskStatus;
use crate::worker::read;

/// Batches that were delivered behind one that was not become durable this much later, many at once: streaming exporters are not synced
/// for each event. The same time as for cursors.
pub(super) const LAZY: Duration = Duration::from_millis(200);

/// The store did not take progress over.
#[derive(Debug, thiserror::Error)]
enum CommitError {
    #[error("what was delivered could not be noted")]
    Ledger(#[from] LedgerError),
    #[error("a condemned event could not be read")]
    Log(#[from] ReadError),
}

impl Worker {
    /// Makes durable what changed. `false`: the store failed; nothing is started for a while, then this is tried again.
    pub(super) async fn commit(&mut self) -> bool {
        match self.try_commit().await {
            Ok(()) => true,
            Err(error) => {
                self.pause = Some(Instant::now() + STORE_PAUSE);
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                if self.last_reason.as_ref() != cause.as_ref() {
                    tracing::error!(exporter = %self.spec.identity, stream = %self.stream(), %error, cause, "delivery waits for the store");
                }
                self.status.failed(cause.clone().unwrap_or_else(|| error.to_string()));
                self.last_reason = cause;
                false
            }
        }
    }

    async fn try_commit(&mut self) -> Result<(), CommitError> {
        let passed = self.lanes.passed();
        let plan = self.lanes.to_plan(passed.cursor);
        let moved = passed.cursor > self.status.cursor();
        if passed.condemned.is_empty() && passed.dropped.is_empty() {
            if moved && plan.is_none() && self.stored.is_none() {
                self.context.ledger.advance(self.id, passed.cursor);
                self.take_over(passed);
                return Ok(());
            }
            if !moved {
                return self.save(plan).await;
            }
        }
        let settlement = settlement(&self.context, &self.status, &passed, plan.clone()).await?;
        self.context.ledger.settle(self.id, settlement).await?;
        self.took(plan);
        self.take_over(passed);
        Ok(())
    }

    /// Only the plan may have changed.
    async fn save(&mut self, plan: Option<Plan>) -> Result<(), CommitError> {
        if plan == self.stored {
            self.unsaved_since = None;
            return Ok(());
        }
        if !self.bulk && plan.as_ref().map(undone) == self.stored.as_ref().map(undone) {
            let since = *self.unsaved_since.get_or_insert_with(Instant::now);
            if since.elapsed() < LAZY {
                return Ok(());
            }
        }
        match &plan {
            Some(plan) => self.context.ledger.save_plan(self.id, plan).await?,
            None => {
                let cursor = self.status.cursor();
                self.context.ledger.settle(self.id, Settlement { cursor, ..Settlement::default() }).await?;
            }
        }
        self.took(plan);
        Ok(())
    }

    fn took(&mut self, plan: Option<Plan>) {
        self.stored = plan;
        self.stored_at = Instant::now();
        self.unsaved_since = None;
    }

    fn take_over(&mut self, passed: Passed) {
        self.lanes.pass(passed.cursor);
        self.status.add(&passed);
    }
}

/// What a plan still has to deliver, batch by batch.
fn undone(plan: &Plan) -> Vec<Plan> {
    let own = Plan { behind: Vec::new(), ..plan.clone() };
    std::iter::once(own).chain(plan.behind.iter().cloned()).filter(|plan| !plan.remaining.0.is_empty()).collect()
}

/// What the ledger is told when a cursor passes events. The condemned are read from the log.
pub(crate) async fn settlement(
    context: &Context,
    status: &TaskStatus,
    passed: &Passed,
    plan: Option<Plan>,
) -> Result<Settlement, ReadError> {
    let condemned_at = context.clock.unix_millis();
    let mut dead = Vec::with_capacity(passed.condemned.len());
    for condemned in &passed.condemned {
        let event = read::line(context.log.as_ref(), status.stream_id(), condemned.number).await?;
        let batch = batch_id(&context.store, status.stream(), condemned.batch.start, condemned.batch.end - 1, 0);
        dead.push(DeadLetter {
            number: condemned.number,
            event: event.unwrap_or_default(),
            reason: condemned.reason.clone(),
            attempts: condemned.attempts,
            first_tried: condemned.since,
            condemned_at,
            batch: batch.to_string(),
            marked: false,
        });
    }
    Ok(Settlement { cursor: passed.cursor, dead, dropped: passed.dropped.clone(), plan })
}

/// Gives up everything of a consumer that has no worker. Returns what the ledger is told.
pub(crate) fn give_up(lanes: &mut Lanes, target: u64, reason: flagpost_spool::DropReason) -> Passed {
    lanes.give_up_below(target, reason, Instant::now());
    lanes.passed()
}
