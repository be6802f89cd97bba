//! From a choice to an attempt under way: cut, plan, note, send.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flagpost_event::{BatchId, EventBatch, ObjectPlan};
use flagpost_exporter::{ExportError, PlanFacts};
use flagpost_spool::NumberRanges;
use futures_util::FutureExt;
use futures_util::future::{AbortHandle, Abortable};
use tokio::time::Instant;

use super::attempt::{Landing, attempt, fenced};
use super::choose::most_bytes;
use super::read::{self, Cut};
use super::{STORE_PAUSE, Worker};
use crate::ids::batch_id;
use crate::lane::{Flight, Lane};

/// How long naming an object may take.
const PLAN_CAP: Duration = Duration::from_secs(30);

impl Worker {
    /// Cuts a new batch and sends it. Events that cannot be had are given up and counted.
    pub(super) async fn cut(&mut self, from: u64, most: u64, witness_for: Option<u64>) {
        let bytes = most_bytes(&self.limits());
        let now = Instant::now();
        match read::cut(self.context.log.as_ref(), self.status.stream_id(), from, most, bytes).await {
            Ok(Cut::Events(count, lines)) => {
                let mut lane = Lane::new(from..from + count, now);
                lane.witness_for = witness_for;
                lane.planned = self.bulk || now < self.careful_until;
                lane.lines = Some(lines.into());
                let piece = lane.plan.remaining.clone();
                self.lanes.insert(lane);
                self.launch(from, piece).await;
            }
            Ok(Cut::Lost(range, reason)) => {
                let end = range.end.min(self.lanes.next_behind(from).unwrap_or(u64::MAX)).max(from + 1);
                tracing::error!(
                    exporter = %self.spec.identity, stream = %self.stream(), first = from, last = end - 1, reason = reason.as_str(),
                    "events cannot be read from the log; they are dropped"
                );
                self.lanes.insert(Lane::lost(from..end, reason, now));
                self.commit().await;
            }
            // The head is the log's promise; this would be a defect of it. It is asked again, not in a tight loop.
            Ok(Cut::Nothing) => self.pause = Some(now + STORE_PAUSE),
            Err(error) => self.log_failed(&error),
        }
    }

    /// Sends these events of the lane that begins with `first`: the next attempt.
    pub(super) async fn launch(&mut self, first: u64, piece: NumberRanges) {
        let Some(lines) = self.lines_of(first, &piece).await else { return };
        let Some(lane) = self.lanes.get_mut(first) else { return };
        lane.name_set(&piece);
        if lane.plan.since == 0 {
            lane.plan.since = self.context.clock.unix_millis();
        }
        if let Err(error) = self.plan_object(first).await {
            let landing = Landing { first, replay: false, piece, outcome: Some(Err(error)), took: Duration::ZERO };
            return self.land(landing).await;
        }
        let (abort, registration) = AbortHandle::new_pair();
        let Some(lane) = self.lanes.get_mut(first) else { return };
        lane.plan.attempts += 1;
        lane.planned |= lane.plan.attempts > 1;
        let attempts = lane.plan.attempts;
        lane.flight = Some(Flight { since: Instant::now(), abort, generation: self.generation });
        if lane.planned && !self.commit().await {
            // Not durable, so not made.
            if let Some(lane) = self.lanes.get_mut(first) {
                lane.plan.attempts -= 1;
                lane.flight = None;
            }
            return;
        }
        if attempts > 1 {
            self.status.count_retry();
        }
        let Some(lane) = self.lanes.get(first) else { return };
        let id = batch_id(&self.context.store, self.stream(), lane.plan.first, lane.plan.last, lane.plan.subset);
        let batch = EventBatch::new(id, self.stream().clone(), attempts, lines).with_object(lane.plan.object.clone());
        let batch = batch.with_numbers(piece.0.clone());
        let sending = Abortable::new(attempt(Arc::clone(&self.spec.exporter), batch), registration);
        let flight = async move {
            match sending.await {
                Ok((outcome, took)) => Landing { first, replay: false, piece, outcome: Some(outcome), took },
                Err(_aborted) => Landing { first, replay: false, piece, outcome: None, took: Duration::ZERO },
            }
        };
        self.flights.push(flight.boxed());
    }

    /// The lines of a piece: as they were cut, or read again. `None`: some cannot be had and were given up, or the log failed.
    async fn lines_of(&mut self, first: u64, piece: &NumberRanges) -> Option<Arc<[Bytes]>> {
        let lane = self.lanes.get_mut(first)?;
        if let Some(lines) = lane.lines.take()
            && lane.plan.remaining == *piece
        {
            return Some(lines);
        }
        let loaded = match read::load(self.context.log.as_ref(), self.status.stream_id(), piece).await {
            Ok(loaded) => loaded,
            Err(error) => {
                self.log_failed(&error);
                return None;
            }
        };
        if loaded.lost.is_empty() {
            return Some(loaded.lines.into());
        }
        for (range, reason) in loaded.lost {
            tracing::error!(
                exporter = %self.spec.identity, stream = %self.stream(), first = range.start, last = range.end - 1,
                reason = reason.as_str(), "events of a batch can no longer be read from the log; they are dropped"
            );
            if let Some(lane) = self.lanes.get_mut(first) {
                lane.give_up(&NumberRanges(vec![range]), reason);
            }
        }
        self.commit().await;
        None
    }

    /// Names the object of a batch that goes into one and has none yet.
    async fn plan_object(&mut self, first: u64) -> Result<(), ExportError> {
        let Some(lane) = self.lanes.get(first).filter(|lane| lane.plan.object.is_none()) else { return Ok(()) };
        let batch = batch_id(&self.context.store, self.stream(), lane.plan.first, lane.plan.last, lane.plan.subset);
        let object = self.name_object(&batch).await?;
        if let Some(lane) = self.lanes.get_mut(first) {
            lane.plan.object = object;
        }
        Ok(())
    }

    /// The object that a batch goes into; `None`: the exporter writes none.
    pub(super) async fn name_object(&mut self, batch: &BatchId) -> Result<Option<ObjectPlan>, ExportError> {
        let exporter = Arc::clone(&self.spec.exporter);
        let Some(destination) = exporter.destination() else { return Ok(None) };
        let now = self.context.clock.unix_seconds();
        let timestamp = self.context.ledger.next_timestamp(&destination, now).await;
        let timestamp = timestamp.map_err(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            ExportError::retryable(format!("no object could be named: {error}{cause}"))
        })?;
        let facts = PlanFacts { batch, stream: self.stream(), timestamp };
        fenced("plan", PLAN_CAP, ExportError::retryable, exporter.plan(&facts)).await
    }

    fn log_failed(&mut self, error: &flagpost_spool::ReadError) {
        let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
        tracing::error!(exporter = %self.spec.identity, stream = %self.stream(), %error, cause, "delivery waits for the log");
        self.status.failed(format!("{error}: {cause}"));
        self.pause = Some(Instant::now() + STORE_PAUSE);
    }
}
