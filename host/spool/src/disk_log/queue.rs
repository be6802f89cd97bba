//! Requests that wait for the committer, already in groups: a group is written, synced and answered together.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::log::{AppendError, Part};

/// A group takes no further request above this: larger ones make the wait for a sync long and sync no more bytes per second.
const GROUP_BYTES: usize = 4 * 1024 * 1024;

/// How a group ended.
pub(super) type Outcome = Result<(), AppendError>;

/// What the requests of a group wait for. One allocation per group, none per request.
#[derive(Debug, Default)]
pub(super) struct Ticket {
    outcome: OnceLock<Outcome>,
    done: Notify,
}

impl Ticket {
    pub(super) fn complete(&self, outcome: Outcome) {
        if self.outcome.set(outcome).is_ok() {
            self.done.notify_waiters();
        }
    }

    pub(super) async fn wait(&self) -> Outcome {
        // Made before the check: a completion in between is not missed.
        let done = self.done.notified();
        if self.outcome.get().is_none() {
            done.await;
        }
        match self.outcome.get() {
            Some(Ok(())) => Ok(()),
            Some(Err(AppendError::Disk { during, source })) => Err(AppendError::Disk { during, source: source.clone() }),
            Some(Err(AppendError::Full { bound })) => Err(AppendError::Full { bound: *bound }),
            Some(Err(AppendError::TooLarge { bound })) => Err(AppendError::TooLarge { bound: *bound }),
            Some(Err(AppendError::Closed)) | None => Err(AppendError::Closed),
        }
    }
}

/// A group that waits.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) ticket: Arc<Ticket>,
    pub(super) parts: Vec<Part>,
    pub(super) bytes: usize,
    pub(super) requests: usize,
    /// When its first request came.
    pub(super) since: Instant,
}

/// What the committer is to do.
#[derive(Debug)]
pub(super) enum Work {
    Commit(Group),
    /// Begin a new segment, so that the old one can go.
    Roll,
    Close,
}

#[derive(Debug, Default)]
struct Waiting {
    groups: VecDeque<Group>,
    requests: usize,
    bytes: usize,
    /// Bytes and age of the group that is being written.
    in_flight: Option<(usize, Instant)>,
    roll: bool,
    closing: bool,
    closed: bool,
    /// The committer sleeps until so many requests wait.
    wake_at: Option<usize>,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    wake: Condvar,
    closed: Notify,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a request to the newest group.
    pub(super) fn push(&self, parts: Vec<Part>, bytes: usize) -> Result<Arc<Ticket>, AppendError> {
        let mut waiting = self.lock();
        if waiting.closing {
            return Err(AppendError::Closed);
        }
        waiting.requests += 1;
        waiting.bytes += bytes;
        let ticket = match waiting.groups.back_mut() {
            Some(group) if group.bytes + bytes <= GROUP_BYTES => {
                group.parts.extend(parts);
                group.bytes += bytes;
                group.requests += 1;
                group.ticket.clone()
            }
            _ => {
                let ticket = Arc::new(Ticket::default());
                waiting.groups.push_back(Group { ticket: ticket.clone(), parts, bytes, requests: 1, since: Instant::now() });
                ticket
            }
        };
        // A group that is full has nothing to wait for.
        let enough = waiting.wake_at.is_some_and(|wake_at| waiting.requests >= wake_at || waiting.groups.len() > 1);
        self.wake_if(waiting, enough);
        Ok(ticket)
    }

    fn wake_if(&self, mut waiting: MutexGuard<'_, Waiting>, wanted: bool) {
        if wanted && waiting.wake_at.take().is_some() {
            drop(waiting);
            self.wake.notify_one();
        }
    }

    /// Asks for a new segment.
    pub(super) fn roll(&self) {
        let mut waiting = self.lock();
        waiting.roll = true;
        self.wake_if(waiting, true);
    }

    /// Refuses further requests and ends the committer once it has written what waits.
    pub(super) fn close(&self) {
        let mut waiting = self.lock();
        waiting.closing = true;
        self.wake_if(waiting, true);
    }

    /// Waits until the committer has ended.
    pub(super) async fn closed(&self) {
        let notified = self.closed.notified();
        if !self.lock().closed {
            notified.await;
        }
    }

    /// The committer has ended.
    pub(super) fn set_closed(&self) {
        let mut waiting = self.lock();
        waiting.closing = true;
        waiting.closed = true;
        let left = std::mem::take(&mut waiting.groups);
        drop(waiting);
        for group in left {
            group.ticket.complete(Err(AppendError::Closed));
        }
        self.closed.notify_waiters();
    }

    /// The next thing to do; blocks. `linger`: how long at most to wait until so many requests are there.
    pub(super) fn next(&self, linger: Option<(Duration, usize)>) -> Work {
        let mut waiting = self.lock();
        if let Some((most, requests)) = linger {
            let deadline = Instant::now() + most;
            while waiting.requests < requests && waiting.groups.len() < 2 && !waiting.closing {
                let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else { break };
                waiting.wake_at = Some(requests);
                (waiting, _) = self.wake.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner);
            }
            waiting.wake_at = None;
        }
        loop {
            if let Some(group) = waiting.groups.pop_front() {
                waiting.requests -= group.requests;
                waiting.bytes -= group.bytes;
                waiting.in_flight = Some((group.bytes, group.since));
                return Work::Commit(group);
            }
            if waiting.closing {
                return Work::Close;
            }
            if std::mem::take(&mut waiting.roll) {
                return Work::Roll;
            }
            waiting.wake_at = Some(1);
            waiting = self.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The group in flight has ended. Returns how many requests wait now.
    pub(super) fn landed(&self) -> usize {
        let mut waiting = self.lock();
        waiting.in_flight = None;
        waiting.requests
    }

    /// Bytes that are not yet durable, and the age of the oldest.
    pub(super) fn pressure(&self) -> (u64, Duration) {
        let waiting = self.lock();
        let in_flight = waiting.in_flight;
        let oldest = in_flight.map(|(_, since)| since).or_else(|| waiting.groups.front().map(|group| group.since));
        let bytes = waiting.bytes + in_flight.map_or(0, |(bytes, _)| bytes);
        (bytes as u64, oldest.map_or(Duration::ZERO, |since| since.elapsed()))
    }
}
