//! `flagpost --config F`: from start to end.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::reload::Reloader;
use super::{chain, complain, find, load_from, supervisor};
use crate::config::{BufferType, Sources};
use crate::{Relay, StartError, logging};

/// How long the last lines of the log may take to be written.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Starts the relay and ends it at the first SIGTERM or SIGINT; a second one ends the process at once.
pub(crate) fn run(file: Option<&Path>) -> ExitCode {
    let file = match find(file) {
        Ok(file) => file,
        Err(code) => return code,
    };
    // One for the life of the program: what exporters share, they share over reloads.
    let sources = Sources::system();
    let loaded = match load_from(&file, &sources) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    logging::init(loaded.config.log_level, loaded.config.log_format);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), config = %file.display(), "flagpost starts");
    crate::process::raise_files();
    for warning in &loaded.warnings {
        tracing::warn!("{}", warning.in_file(&file));
    }
    let code = match serve(loaded.config, &file, sources) {
        Ok(code) => code,
        Err(error) => {
            let wrong_configuration = matches!(error.downcast_ref::<StartError>(), Some(StartError::Config(_)));
            if wrong_configuration {
                complain(error);
            } else {
                tracing::error!("{}", chain(error.as_ref()));
            }
            ExitCode::FAILURE
        }
    };
    logging::flush(LAST_LINES);
    code
}

fn serve(config: crate::config::Config, file: &Path, sources: Sources) -> anyhow::Result<ExitCode> {
    let kept = config.buffer.kind == BufferType::Disk;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("the system gives no runtime")?;
    let ended = runtime.block_on(async {
        let mut signals = Signals::listen().context("signals cannot be listened to")?;
        let mut reloader = Reloader::new(file, sources).context("SIGHUP cannot be listened to")?;
        let program = std::env::current_exe().context("the program's own path cannot be found")?;
        let relay = tokio::select! {
            relay = Relay::builder().config(config).compile_with(program).listen().start() => relay?,
            code = signals.next() => {
                tracing::info!("ended before it had started");
                return Ok(ExitCode::from(code));
            }
        };
        if let Some(address) = relay.address() {
            tracing::info!(%address, "listening");
        }
        relay.door().into_iter().for_each(supervisor::watchdog);
        supervisor::ready(relay.address());
        let ended = async {
            loop {
                reloader.due().await;
                reloader.reload(&relay).await;
            }
        };
        tokio::select! {
            _first = signals.next() => {}
            // A reload that is under way does not hold up the end.
            () = ended => {}
        }
        supervisor::stopping(relay.shutdown_timeout());
        tracing::info!("shutting down; a second signal ends the program at once");
        let closing = relay.close();
        let report = tokio::select! {
            report = closing => report,
            // At once means without ending anything, however long that would take.
            code = signals.next() => {
                logging::flush(LAST_LINES);
                std::process::exit(i32::from(code))
            }
        };
        for left in &report.unsent {
            let what =
                if kept { "not sent in time; kept for the next start" } else { "not sent in time; lost, since the buffer is in memory" };
            tracing::warn!(exporter = %left.identity.exporter, stream = %left.stream, events = left.events, letters = left.letters, "{what}");
        }
        tracing::info!(in_time = report.in_time, "flagpost ended");
        Ok(ExitCode::SUCCESS)
    });
    // A start that was given up may still wait for the store's lock on a thread.
    runtime.shutdown_background();
    ended
}

/// SIGTERM and SIGINT.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn listen() -> std::io::Result<Signals> {
        Ok(Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for one; the exit code that shells expect of a process it ended.
    pub(super) async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.terminate.recv() => 143,
            _ = self.interrupt.recv() => 130,
        }
    }
}
