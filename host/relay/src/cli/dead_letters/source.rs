//! Where dead letters are: a relay that runs, or a store that nobody has open.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use flagpost_event::SystemClock;
use flagpost_exporter::chain;
use flagpost_spool::{Ledger, Lock, LockError, ReplaySettlement};

use super::From;
use crate::cli::admin::Relay;
use crate::cli::complain;
use crate::letters::{Changed, Listing, Page, Selection};
use crate::relay::LEDGER;

/// One of both.
pub(super) enum Source {
    Relay(Box<Relay>),
    Store {
        ledger: Ledger,
        /// No relay can open it meanwhile.
        _lock: Lock,
    },
}

impl Source {
    /// Opens it; what is in the way has been printed.
    pub(super) fn of(from: &From) -> Result<Source, ExitCode> {
        match &from.store {
            None => Relay::of(&from.relay).map(|relay| Source::Relay(Box::new(relay))),
            Some(path) => open(path).inspect_err(|error| complain(format_args!("{error:#}"))).map_err(|_| ExitCode::FAILURE),
        }
    }

    /// Whether a relay is there that sends.
    pub(super) fn is_running(&self) -> bool {
        matches!(self, Source::Relay(_))
    }

    pub(super) async fn list(&self, selection: &Selection) -> Result<Listing> {
        match self {
            Source::Relay(relay) => relay.ask("GET", &format!("dead-letters?{}", selection.to_query()), None).await,
            Source::Store { ledger, .. } => {
                let filter = selection.filter().map_err(|why| anyhow!(why))?;
                Ok(Listing::of(ledger.letter_summaries(&filter).await?))
            }
        }
    }

    pub(super) async fn page(&self, selection: &Selection, after: Option<&str>, limit: usize) -> Result<Page> {
        match self {
            Source::Relay(relay) => {
                let after = after.map(|after| format!("&after={after}")).unwrap_or_default();
                relay.ask("GET", &format!("dead-letters/events?{}&limit={limit}{after}", selection.to_query()), None).await
            }
            Source::Store { ledger, .. } => {
                let filter = selection.filter().map_err(|why| anyhow!(why))?;
                let after = after.map(str::parse).transpose()?;
                Ok(Page::of(ledger.letters(&filter, after, limit).await?))
            }
        }
    }

    pub(super) async fn replay(&self, selection: &Selection) -> Result<Changed> {
        match self {
            Source::Relay(relay) => relay.ask("POST", "dead-letters/replay", Some(serde_json::to_vec(selection)?)).await,
            Source::Store { ledger, .. } => {
                let filter = selection.meant().map_err(|why| anyhow!(why))?;
                Ok(Changed::of(&ledger.mark_letters(&filter, selection.limit).await?))
            }
        }
    }

    pub(super) async fn cancel_replay(&self, selection: &Selection) -> Result<Changed> {
        match self {
            Source::Relay(relay) => relay.ask("POST", "dead-letters/replay/cancel", Some(serde_json::to_vec(selection)?)).await,
            Source::Store { ledger, .. } => {
                let filter = selection.meant().map_err(|why| anyhow!(why))?;
                let mut change = ledger.unmark_letters(&filter, selection.limit).await?;
                if change.sending > 0 {
                    // Nothing runs: the batch that was under way is no more, and what is still marked of it comes in another one.
                    for &id in change.changed.keys() {
                        ledger.settle_replay(id, ReplaySettlement::default()).await?;
                    }
                    change.sending = 0;
                }
                Ok(Changed::of(&change))
            }
        }
    }

    pub(super) async fn discard(&self, selection: &Selection) -> Result<Changed> {
        match self {
            Source::Relay(relay) => relay.ask("POST", "dead-letters/drop", Some(serde_json::to_vec(selection)?)).await,
            Source::Store { ledger, .. } => {
                let filter = selection.meant().map_err(|why| anyhow!(why))?;
                Ok(Changed::of(&ledger.drop_letters(&filter, selection.limit).await?))
            }
        }
    }
}

fn open(path: &Path) -> Result<Source> {
    let file = path.join(LEDGER);
    if !file.is_file() {
        return Err(anyhow!("{}: no store of flagpost's: name the directory that `buffer.path` names", path.display()));
    }
    let clock = Arc::new(SystemClock);
    let lock = Lock::acquire(path, Duration::ZERO, &*clock).map_err(|error| match error {
        LockError::Held { holder, .. } => anyhow!(
            "{}: a relay has it open ({holder}): ask that one, with `--config FILE` or `--url` instead of `--store`",
            path.display()
        ),
        other => anyhow!(chain(&other)),
    })?;
    let (ledger, report) = Ledger::open(&file, clock).context("the bookkeeping could not be opened")?;
    if let Some(rebuilt) = report.rebuilt {
        complain(format_args!("the bookkeeping was damaged ({}): its dead letters are in {}", rebuilt.why, rebuilt.set_aside.display()));
    }
    Ok(Source::Store { ledger, _lock: lock })
}
