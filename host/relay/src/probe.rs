//! Probes: whether an exporter's target is there and takes its credentials, asked without an event.
//!
//! `flagpost validate --probe` asks every exporter once. A running relay asks in the background and shows the last answer in
//! `/health/exporters`:
//!
//! * **At start**, once per exporter, and of a reload those that it made: no request, no batch, no start and no reload ever waits for a probe. A
//!   plugin is asked once it is compiled.
//! * **Again after a failure**, first after ten seconds, then in doubling pauses of up to five minutes; sooner when something was delivered
//!   meanwhile, so that an old complaint does not outlive its cause.
//! * **Again after a success** only while the exporter is in trouble, once a minute: then the answer tells a target that is gone from one
//!   that refuses a batch. An exporter that delivers is its own proof and is left alone.
//!
//! A probe decides nothing. Delivery neither waits for one nor believes it: what holds is what becomes of batches.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use flagpost_delivery::{Delivery, StateKind, TaskStatus};
use flagpost_event::{Clock, EventKind};
use flagpost_exporter::{Exporter, Readiness};
use flagpost_spool::Identity;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

/// How long a probe may take. Kinds have limits of their own, of ten seconds at most; this one is for what hangs outside of them.
pub(crate) const LIMIT: Duration = Duration::from_secs(15);
/// The pause after the first failure.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// No pause is longer: delivery's own probes of an exporter that waits for its operator come as often.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// The pause after a success, while the exporter is in trouble.
const IN_TROUBLE: Duration = Duration::from_secs(60);
/// How often is looked whether there is a reason to ask again.
const LOOK: Duration = Duration::from_secs(5);

/// What a probe found out.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    /// What came back and what to do; `None`: all is well.
    pub(crate) error: Option<String>,
    /// How long it took.
    pub(crate) took: Duration,
}

/// Asks an exporter. One that hangs is given up after `limit`, one that panics costs nothing but its answer.
pub(crate) async fn ask(exporter: &Arc<dyn Exporter>, limit: Duration) -> Finding {
    let started = Instant::now();
    // Ends its task when it is dropped.
    let mut task = JoinSet::new();
    let exporter = Arc::clone(exporter);
    task.spawn(async move { exporter.probe().await });
    let error = match timeout(limit, task.join_next()).await {
        // One line, whatever a plugin says.
        Ok(Some(Ok(answer))) => answer.err().map(|error| error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")),
        Ok(Some(Err(error))) => Some(format!("the probe was broken off: {error}")),
        Ok(None) | Err(_) => Some(format!("no answer within {} s: check that the target can be reached from here", limit.as_secs())),
    };
    Finding { error, took: started.elapsed() }
}

/// The probes of a running relay.
#[derive(Default)]
pub(crate) struct Probes {
    /// `None` in tests of the routes alone.
    surroundings: Option<Surroundings>,
    watched: Mutex<Vec<Probing>>,
}

struct Surroundings {
    delivery: Weak<Delivery>,
    clock: Arc<dyn Clock>,
    runtime: Handle,
}

/// An exporter and the task that asks it, if any does.
struct Probing {
    watched: Arc<Watched>,
    task: Option<AbortOnDropHandle<()>>,
}

struct Watched {
    identity: Identity,
    events: Vec<EventKind>,
    exporter: Arc<dyn Exporter>,
    last: Mutex<Option<Last>>,
}

/// The last answer.
#[derive(Clone, Debug)]
pub(crate) struct Last {
    pub(crate) finding: Finding,
    /// When it came, in Unix milliseconds.
    pub(crate) at_millis: u64,
}

impl Probes {
    /// Of exporters of this delivery; none yet.
    pub(crate) fn new(delivery: &Arc<Delivery>, clock: Arc<dyn Clock>, runtime: Handle) -> Probes {
        let surroundings = Surroundings { delivery: Arc::downgrade(delivery), clock, runtime };
        Probes { surroundings: Some(surroundings), watched: Mutex::default() }
    }

    /// These exporters there are from now on. One that was there before goes on with what is known of it; a new one is asked, if `on`.
    pub(crate) fn replace<'a>(&self, on: bool, exporters: impl Iterator<Item = (&'a Identity, &'a [EventKind], &'a Arc<dyn Exporter>)>) {
        let mut all = lock(&self.watched);
        let mut before = std::mem::take(&mut *all);
        for (identity, events, exporter) in exporters {
            let known = before.iter().position(|known| known.watched.is_for(identity, events, exporter));
            let mut probing = match known {
                Some(known) => before.swap_remove(known),
                None => {
                    let (identity, events, exporter) = (identity.clone(), events.to_vec(), Arc::clone(exporter));
                    let watched = Watched { identity, events, exporter, last: Mutex::default() };
                    Probing { watched: Arc::new(watched), task: None }
                }
            };
            probing.task = if on { probing.task.or_else(|| self.ask_again_and_again(&probing.watched)) } else { None };
            all.push(probing);
        }
    }

    /// Asks nobody any more.
    pub(crate) fn end(&self) {
        lock(&self.watched).clear();
    }

    /// What the last probe of a task's exporter found, and what it did; `None` before the first.
    pub(crate) fn last(&self, task: &TaskStatus) -> Option<(Last, &'static str)> {
        let all = lock(&self.watched);
        let watched = &all.iter().find(|probing| probing.watched.is_of(task))?.watched;
        let last = lock(&watched.last).clone()?;
        Some((last, watched.exporter.tries()))
    }

    fn ask_again_and_again(&self, watched: &Arc<Watched>) -> Option<AbortOnDropHandle<()>> {
        let Surroundings { delivery, clock, runtime } = self.surroundings.as_ref()?;
        let (watched, delivery, clock) = (Arc::clone(watched), delivery.clone(), Arc::clone(clock));
        Some(AbortOnDropHandle::new(runtime.spawn(async move { watched.watch(&delivery, &*clock).await })))
    }
}

impl Watched {
    fn is_for(&self, identity: &Identity, events: &[EventKind], exporter: &Arc<dyn Exporter>) -> bool {
        self.identity == *identity && self.events == events && Arc::ptr_eq(&self.exporter, exporter)
    }

    fn is_of(&self, task: &TaskStatus) -> bool {
        self.identity == *task.identity() && self.events.contains(&task.stream().kind)
    }

    /// Asks again and again, until delivery is no more.
    async fn watch(&self, delivery: &Weak<Delivery>, clock: &dyn Clock) {
        let mut failures = 0;
        loop {
            if let Some(mut readiness) = self.exporter.readiness() {
                // Compiling takes as long as it takes; an error means that nobody prepares it any more, which the probe then tells.
                drop(readiness.wait_for(|now| *now != Readiness::Preparing).await);
            }
            let finding = ask(&self.exporter, LIMIT).await;
            failures = if finding.error.is_some() { failures + 1 } else { 0 };
            self.tell(&finding);
            let at_millis = clock.unix_millis();
            *lock(&self.last) = Some(Last { finding, at_millis });
            let (asked, due) = (clock.unix_seconds(), Instant::now() + pause(failures));
            loop {
                sleep(LOOK).await;
                let Some(tasks) = delivery.upgrade().map(|delivery| delivery.statuses()) else { return };
                let mut tasks = tasks.iter().filter(|task| self.is_of(task));
                let is_time = Instant::now() >= due;
                let again = match failures {
                    0 => is_time && tasks.any(|task| in_trouble(task.state().kind)),
                    _ => is_time || tasks.any(|task| task.last_success().is_some_and(|at| at > asked)),
                };
                if again {
                    break;
                }
            }
        }
    }

    /// Says a change, once.
    fn tell(&self, finding: &Finding) {
        let before = lock(&self.last).as_ref().map(|last| last.finding.error.is_some());
        match &finding.error {
            Some(error) if before != Some(true) => tracing::warn!(exporter = %self.identity, "the probe of an exporter failed: {error}"),
            None if before == Some(true) => tracing::info!(exporter = %self.identity, "the probe of an exporter is answered again"),
            _ => {}
        }
    }
}

fn in_trouble(state: StateKind) -> bool {
    matches!(state, StateKind::Retrying | StateKind::Misconfigured | StateKind::Invalid)
}

/// How long to wait after so many failures in a row.
fn pause(failures: u32) -> Duration {
    match failures {
        0 => IN_TROUBLE,
        _ => FIRST_PAUSE.saturating_mul(1 << (failures - 1).min(10)).min(LONGEST_PAUSE),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use flagpost_event::EventBatch;
    use flagpost_exporter::{ExportError, ProbeError};

    use super::*;

    enum Odd {
        Hangs,
        Panics,
        Refuses,
    }

    #[async_trait]
    impl Exporter for Odd {
        fn is_bulk(&self) -> bool {
            false
        }

        async fn export(&self, _: &EventBatch) -> Result<(), ExportError> {
            Ok(())
        }

        async fn probe(&self) -> Result<(), ProbeError> {
            match self {
                Odd::Hangs => std::future::pending().await,
                Odd::Panics => panic!("on purpose"),
                Odd::Refuses => Err(ProbeError { reason: "no such topic: create it".to_owned() }),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_hangs_or_panics_is_an_answer_too() {
        for (odd, said) in [(Odd::Hangs, "no answer within 15 s"), (Odd::Panics, "broken off"), (Odd::Refuses, "no such topic: create it")]
        {
            let exporter: Arc<dyn Exporter> = Arc::new(odd);
            let error = ask(&exporter, LIMIT).await.error.unwrap_or_default();
            assert!(error.contains(said), "{said}: {error}");
        }
    }

    #[test]
    fn pauses_grow_to_five_minutes() {
        let pauses: Vec<u64> = (0..9).map(|failures| pause(failures).as_secs()).collect();
        assert_eq!(pauses, [60, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }
}
