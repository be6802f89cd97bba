//! `flagpost drain`: delivers everything that waits in a store, dead letters that are to be sent again included, and takes nothing new.
//!
//! It is a relay without a door: the same lock, the same workers with their retries and suspicion, so that what a drain does to a store is
//! nothing that a start would not have done. Only the waiting for full batches is left out.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use flagpost_delivery::{StateKind, TaskStatus};
use flagpost_settings::Span;
use flagpost_spool::LockError;
use serde::Deserialize;
use serde::de::value::StrDeserializer;
use tokio::time::{Instant, sleep, sleep_until};

use super::run::Signals;
use super::{chain, complain, load, say};
use crate::config::{BufferType, Config, LogLevel};
use crate::{Relay, StartError, logging};

/// How often is looked whether something is left.
const LOOK: Duration = Duration::from_millis(50);
/// An exporter whose number changes is spoken of at most this often.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// Reads `--timeout`; zero is no limit.
pub(super) fn timeout(text: &str) -> Result<Duration, String> {
    let text: StrDeserializer<'_, serde::de::value::Error> = StrDeserializer::new(text);
    Span::deserialize(text).map(|span| span.0).map_err(|error| error.to_string())
}

/// Drains the store that the configuration names.
pub(super) fn drain(file: Option<&Path>, timeout: Duration) -> ExitCode {
    let (file, loaded) = match load(file) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let config = loaded.config;
    if let Err(why) = has_store(&config) {
        complain(format_args!("{}: {why}", file.display()));
        return ExitCode::FAILURE;
    }
    // Progress is on standard output; what goes wrong meanwhile is logged as the relay would.
    logging::init(LogLevel(config.log_level.0.min(tracing::Level::WARN)), config.log_format);
    match deliver(config, &file, timeout) {
        Ok(code) => code,
        Err(error) => {
            complain(match error.downcast_ref::<StartError>() {
                Some(StartError::Locked(held)) => running(held),
                _ => chain(error.as_ref()),
            });
            ExitCode::FAILURE
        }
    }
}

/// A store that is not there is a wrong path more often than an empty one: that must not look like success.
fn has_store(config: &Config) -> Result<(), String> {
    let path = &config.buffer.path;
    if config.buffer.kind == BufferType::Memory {
        return Err(
            "`buffer.type` is `memory`: what waits is in the running relay only, which delivers it when it is stopped (`shutdownTimeout`)"
                .to_owned(),
        );
    }
    if !path.join("meta").exists() {
        return Err(format!(
            "there is no store in `{}`: name the configuration that the relay ran with, and run in its directory and with its \
             $STATE_DIRECTORY if `buffer.path` is relative or not set",
            path.display()
        ));
    }
    Ok(())
}

/// What to do about a relay that holds the store.
fn running(held: &LockError) -> String {
    match held {
        LockError::Held { path, holder, waited } => format!(
            "{} is held by a running relay ({holder}), after waiting {} s (`buffer.lockTimeout`): stop it first. While it stops it delivers what \
             it can within `shutdownTimeout`; then run `flagpost drain` again for the rest",
            path.display(),
            waited.as_secs_f64()
        ),
        other => chain(other),
    }
}

/// How the draining ended.
enum End {
    Empty,
    TimeUp,
    Signal(u8),
}

fn deliver(mut config: Config, file: &Path, timeout: Duration) -> anyhow::Result<ExitCode> {
    let store = config.buffer.path.clone();
    for exporter in &mut config.exporters {
        // Nothing comes any more that a batch could wait for.
        exporter.policy.flush_interval = Duration::ZERO;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("the system gives no runtime")?;
    let ended = runtime.block_on(async {
        let mut signals = Signals::listen().context("signals cannot be listened to")?;
        let program = std::env::current_exe().context("the program's own path cannot be found")?;
        let relay = tokio::select! {
            // Without `listen`: there is no way in.
            relay = Relay::builder().config(config).compile_with(program).start() => relay?,
            code = signals.next() => return Ok(ExitCode::from(code)),
        };
        let tasks = relay.exporters();
        let end = watch(&tasks, timeout, &mut signals).await;
        let left: Vec<Left> = tasks.iter().map(Left::of).collect();
        tokio::select! {
            report = relay.close() => if !report.flushed {
                complain("not every cursor could be written: the last events may be delivered again after the next start");
            },
            // At once means without ending anything, however long that would take.
            code = signals.next() => std::process::exit(i32::from(code)),
        }
        // What was under way may have arrived meanwhile.
        let left: Vec<Left> = left.into_iter().filter(|left| waits(&left.task)).collect();
        if left.is_empty() {
            say(format_args!("everything is delivered: nothing waits in `{}`", store.display()));
            return Ok(ExitCode::SUCCESS);
        }
        complain(match &end {
            End::Empty => "every exporter of the configuration is empty, but something of others is left:".to_owned(),
            End::TimeUp => format!("not everything is delivered after {} s (`--timeout`):", timeout.as_secs_f64()),
            End::Signal(_) => "ended by a signal before everything was delivered:".to_owned(),
        });
        left.iter().for_each(|left| complain(left.describe(file)));
        complain(format_args!("what is left stays in `{}`: `flagpost drain` or a relay goes on with it", store.display()));
        Ok(match end {
            End::Signal(code) => ExitCode::from(code),
            End::Empty | End::TimeUp => ExitCode::FAILURE,
        })
    });
    // A start that was given up may still wait for the store's lock on a thread.
    runtime.shutdown_background();
    ended
}

/// Says how it goes until nothing waits, the time is up, or a signal comes.
async fn watch(tasks: &[Arc<TaskStatus>], timeout: Duration, signals: &mut Signals) -> End {
    let deadline = (!timeout.is_zero()).then(|| Instant::now() + timeout);
    let mut said: BTreeMap<usize, (Instant, Line)> = BTreeMap::new();
    loop {
        let now = Instant::now();
        for (index, task) in tasks.iter().enumerate() {
            let line = Line::of(task);
            let due = said
                .get(&index)
                .is_none_or(|(at, before)| *before != line && (before.state != line.state || !line.waits() || now >= *at + SAY_EVERY));
            if due {
                say(format_args!("{line}"));
                said.insert(index, (now, line));
            }
        }
        if tasks.iter().all(|task| !waits(task) || is_orphaned(task)) {
            return End::Empty;
        }
        let time_up = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            code = signals.next() => return End::Signal(code),
            () = time_up => return End::TimeUp,
            () = sleep(LOOK) => {}
        }
    }
}

/// Events, or dead letters that are to be sent again.
fn waits(task: &TaskStatus) -> bool {
    task.waiting_events() > 0 || task.marked_letters() > 0
}

fn is_orphaned(task: &TaskStatus) -> bool {
    task.state().kind == StateKind::Orphaned
}

/// `acme (default/feature): 120 waiting, 880 delivered, 5 in the dead letters, 3 of them to be sent again, running`.
#[derive(PartialEq, Eq)]
struct Line {
    task: String,
    waiting: u64,
    delivered: u64,
    dead: u64,
    marked: u64,
    state: StateKind,
}

impl Line {
    fn of(task: &Arc<TaskStatus>) -> Line {
        Line {
            task: name(task),
            waiting: task.waiting_events(),
            delivered: task.delivered(),
            dead: task.dead(),
            marked: task.marked_letters(),
            state: task.state().kind,
        }
    }

    fn waits(&self) -> bool {
        self.waiting > 0 || self.marked > 0
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} waiting, {} delivered", self.task, self.waiting, self.delivered)?;
        if self.dead > 0 {
            write!(f, ", {} in the dead letters", self.dead)?;
        }
        if self.marked > 0 {
            write!(f, ", {} of them to be sent again", self.marked)?;
        }
        if self.waits() || self.state == StateKind::Orphaned { write!(f, ", {}", self.state.as_str()) } else { Ok(()) }
    }
}

fn name(task: &TaskStatus) -> String {
    format!("{} ({})", task.identity().exporter, task.stream())
}

/// An exporter as it was when the end began: afterwards every one is stopped.
struct Left {
    task: Arc<TaskStatus>,
    state: StateKind,
    reason: Option<String>,
    last_error: Option<String>,
}

impl Left {
    fn of(task: &Arc<TaskStatus>) -> Left {
        let state = task.state();
        Left { task: task.clone(), state: state.kind, reason: state.reason, last_error: task.last_error().map(|error| error.text) }
    }

    fn describe(&self, file: &Path) -> String {
        let (name, waiting) = (name(&self.task), self.task.waiting_events());
        let exporter = &self.task.identity().exporter;
        let letters = match self.task.marked_letters() {
            0 => String::new(),
            marked => format!(", {marked} dead letters to be sent again"),
        };
        if self.state == StateKind::Orphaned {
            return format!(
                "  {name}: {waiting} waiting{letters}, not in the configuration: put the exporter `{exporter}` (its `name`, or its kind and place) \
                 back into {} and drain again; a relay drops events after `buffer.keepRemoved`",
                file.display()
            );
        }
        let why = self.last_error.as_ref().or(self.reason.as_ref());
        let why = why.map_or_else(String::new, |why| format!("; last error: {why}"));
        format!("  {name}: {waiting} waiting{letters}, {}{why}", self.state.as_str())
    }
}
