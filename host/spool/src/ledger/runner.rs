//! Who runs the engine: the caller itself (in memory), or a thread of its own (a file), so that no task ever waits for a disk.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::LedgerError;
use super::engine::Engine;

/// Cursors of streaming exporters become durable this long after they moved, all of them in one transaction.
pub(crate) const COALESCE: Duration = Duration::from_millis(200);

/// How long the thread's end is waited for: a disk that hangs must not keep the program from ending.
const LAST_WRITE: Duration = Duration::from_secs(5);

pub(crate) type Job = Box<dyn FnOnce(&mut Engine) + Send>;

pub(crate) enum Message {
    /// Something to run.
    Do(Job),
    /// A cursor moved and nothing else waits.
    Moved,
    /// The end: what waits is written first.
    Stop,
}

/// Runs jobs one after another.
pub(crate) enum Runner {
    /// In the calling task. Statements on a database in memory take microseconds.
    Inline(Mutex<Engine>),
    /// In the calling task, and cursors stay in memory until something else is written: for tests.
    Lazy { engine: Mutex<Engine>, refuses: AtomicBool },
    /// On a thread.
    Thread { jobs: Sender<Message>, thread: Mutex<Option<JoinHandle<()>>> },
}

impl Runner {
    pub(crate) fn inline(engine: Engine) -> Runner {
        Runner::Inline(Mutex::new(engine))
    }

    pub(crate) fn lazy(engine: Engine) -> Runner {
        Runner::Lazy { engine: Mutex::new(engine), refuses: AtomicBool::new(false) }
    }

    pub(crate) fn thread(engine: Engine) -> Result<Runner, std::io::Error> {
        let (jobs, inbox) = mpsc::channel();
        let thread = thread::Builder::new().name("ledger".to_owned()).spawn(move || serve(engine, &inbox))?;
        Ok(Runner::Thread { jobs, thread: Mutex::new(Some(thread)) })
    }

    /// Runs `job` and gives back what it says. A caller that goes away does not stop it.
    pub(crate) async fn run<T, F>(&self, job: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Engine) -> Result<T, LedgerError> + Send + 'static,
    {
        match self {
            Runner::Inline(engine) => job(&mut engine.lock().unwrap_or_else(PoisonError::into_inner)),
            Runner::Lazy { refuses, .. } if refuses.load(Ordering::Relaxed) => Err(LedgerError::Closed),
            Runner::Lazy { engine, .. } => job(&mut engine.lock().unwrap_or_else(PoisonError::into_inner)),
            Runner::Thread { jobs, .. } => {
                let (reply, answer) = oneshot::channel();
                let job: Job = Box::new(move |engine| {
                    // The caller may be gone.
                    let _gone = reply.send(job(engine));
                });
                jobs.send(Message::Do(job)).map_err(|_| LedgerError::Closed)?;
                answer.await.map_err(|_| LedgerError::Closed)?
            }
        }
    }

    /// A cursor moved and nothing else waits to be written.
    pub(crate) fn moved(&self) {
        match self {
            Runner::Inline(engine) => {
                if let Err(error) = engine.lock().unwrap_or_else(PoisonError::into_inner).flush() {
                    tracing::error!(%error, "cursors could not be written");
                }
            }
            Runner::Lazy { .. } => {}
            Runner::Thread { jobs, .. } => {
                // Closed: the thread wrote what waited before, and what moves later is delivered again.
                let _closed = jobs.send(Message::Moved);
            }
        }
    }

    /// Asks the thread to end.
    pub(crate) fn stop(&self) {
        if let Runner::Thread { jobs, .. } = self {
            let _closed = jobs.send(Message::Stop);
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.stop();
        if let Runner::Thread { thread, .. } = self
            && let Some(thread) = thread.get_mut().unwrap_or_else(PoisonError::into_inner).take()
        {
            let begun = Instant::now();
            while !thread.is_finished() {
                if begun.elapsed() > LAST_WRITE {
                    tracing::error!("the disk did not take the bookkeeping's last changes in time: some deliveries may be repeated");
                    return;
                }
                thread::sleep(Duration::from_millis(1));
            }
            if thread.join().is_err() {
                tracing::error!("the bookkeeping's thread panicked");
            }
        }
    }
}

fn serve(mut engine: Engine, inbox: &Receiver<Message>) {
    let mut due: Option<Instant> = None;
    let mut failing = false;
    loop {
        let message = match due {
            None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(at) => inbox.recv_timeout(at.saturating_duration_since(Instant::now())),
        };
        match message {
            Ok(Message::Do(job)) => job(&mut engine),
            Ok(Message::Moved) => {
                due.get_or_insert_with(|| Instant::now() + COALESCE);
            }
            Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if due.is_some_and(|at| at <= Instant::now()) {
            failing = write(&mut engine, failing);
            due = engine.mirror().lock().is_dirty().then(|| Instant::now() + COALESCE);
        }
    }
    write(&mut engine, false);
}

/// Writes the waiting cursors; says once when that begins to fail and once when it works again. Returns whether it failed.
fn write(engine: &mut Engine, failing: bool) -> bool {
    let result = engine.flush();
    match &result {
        Ok(()) if failing => tracing::info!("cursors can be written again"),
        Err(error) if !failing => {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            tracing::error!(%error, cause, "cursors could not be written; delivery goes on, and a crash now would repeat events");
        }
        _ => {}
    }
    result.is_err()
}
