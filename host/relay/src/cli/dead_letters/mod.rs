//! `flagpost dead-letters …`: the events that destinations refused, in a relay that runs or in a store that nobody has open.

mod source;
mod tell;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Subcommand;

use super::{admin, complain, say};
use crate::letters::{Changed, Page, Selection};
use source::Source;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists them: how many each exporter has, since when, and why.
    List {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        from: From,
    },
    /// Shows letters: event, reason, times, batch, attempts.
    Show {
        /// Their ids, as `export --with-reasons` prints them; without one, the first 20 that fit.
        ids: Vec<String>,
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        from: From,
    },
    /// Has letters sent again by their exporter's own worker: in its order, with its retries. One that is refused again stays a dead letter.
    Replay {
        #[command(flatten)]
        choice: Choice,
        /// Takes it back: the chosen ones that wait to be sent again are only dead letters once more.
        #[arg(long)]
        cancel: bool,
        #[command(flatten)]
        from: From,
    },
    /// Drops letters for good; they count as dropped. Without `--yes` it only says how many it would drop.
    Drop {
        #[command(flatten)]
        choice: Choice,
        /// Yes, drop them.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        from: From,
    },
    /// Prints the events as JSON lines, exactly as they are stored; they stay dead letters.
    Export {
        /// Only these.
        ids: Vec<String>,
        #[command(flatten)]
        filter: Filter,
        /// An object around each event: id, exporter, reason, times, batch, attempts.
        #[arg(long)]
        with_reasons: bool,
        /// Into a new file.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        #[command(flatten)]
        from: From,
    },
}

/// Which letters.
#[derive(Debug, clap::Args)]
pub(super) struct Filter {
    /// Only those of this flag set.
    #[arg(long, value_name = "NAME")]
    flag_set: Option<String>,
    /// Only those of this exporter: its `name`, or as it is listed.
    #[arg(long, value_name = "NAME")]
    exporter: Option<String>,
    /// Only events of this type.
    #[arg(long, value_name = "feature|tracking")]
    event_type: Option<String>,
    /// Only those whose reason contains this text.
    #[arg(long, value_name = "TEXT")]
    reason_contains: Option<String>,
    /// No more than this many, the oldest numbers first.
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,
}

/// Which letters are meant, where something is done with them.
#[derive(Debug, clap::Args)]
pub(super) struct Choice {
    /// Their ids, as `show` and `export --with-reasons` print them.
    ids: Vec<String>,
    #[command(flatten)]
    filter: Filter,
    /// All of them.
    #[arg(long)]
    all: bool,
}

/// Where they are.
#[derive(Debug, clap::Args)]
pub(super) struct From {
    #[command(flatten)]
    relay: admin::Address,
    /// The directory of a store that no relay has open (`buffer.path`), instead of a relay that runs.
    #[arg(long, value_name = "DIRECTORY", conflicts_with_all = ["config", "url"])]
    store: Option<PathBuf>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

impl Filter {
    fn selection(self, ids: Vec<String>, all: bool) -> Selection {
        let Filter { flag_set, exporter, event_type, reason_contains, limit } = self;
        Selection { ids, flag_set, exporter, event_type, reason_contains, limit, all }
    }
}

/// Letters that are shown when nobody says how many.
const SHOWN: usize = 20;
/// Letters that are fetched at once.
const PAGE: usize = 500;

pub(super) fn run(command: Command) -> ExitCode {
    let (from, act): (From, Act) = match command {
        Command::List { filter, from } => (from, Act::List(filter.selection(Vec::new(), false))),
        Command::Show { ids, filter, from } => (from, Act::Show(filter.selection(ids, false))),
        Command::Replay { choice, cancel: false, from } => (from, Act::Replay(choice.filter.selection(choice.ids, choice.all))),
        Command::Replay { choice, cancel: true, from } => (from, Act::CancelReplay(choice.filter.selection(choice.ids, choice.all))),
        Command::Drop { choice, yes, from } => (from, Act::Drop(choice.filter.selection(choice.ids, choice.all), yes)),
        Command::Export { ids, filter, with_reasons, output, from } => {
            (from, Act::Export(filter.selection(ids, false), with_reasons, output))
        }
    };
    // What is wrong with the choice is wrong wherever the letters are.
    let chosen = match &act {
        Act::Replay(selection) | Act::CancelReplay(selection) | Act::Drop(selection, _) => selection.meant(),
        Act::List(selection) | Act::Show(selection) | Act::Export(selection, ..) => selection.filter(),
    };
    if let Err(why) = chosen {
        complain(why);
        return ExitCode::from(2);
    }
    let source = match Source::of(&from) {
        Ok(source) => source,
        Err(code) => return code,
    };
    admin::run(act.on(source, from.json))
}

/// A command with what it is about.
enum Act {
    List(Selection),
    Show(Selection),
    Replay(Selection),
    CancelReplay(Selection),
    Drop(Selection, bool),
    Export(Selection, bool, Option<PathBuf>),
}

impl Act {
    async fn on(self, source: Source, json: bool) -> Result<ExitCode> {
        match self {
            Act::List(selection) => {
                let listing = source.list(&selection).await?;
                if json { say(serde_json::to_string_pretty(&listing)?) } else { tell::listing(&listing) }
            }
            Act::Show(selection) => return show(&source, &selection, json).await,
            Act::Replay(selection) => {
                let changed = source.replay(&selection).await?;
                if json {
                    say(serde_json::to_string(&changed)?)
                } else {
                    tell::replayed(changed, source.is_running())
                }
                return Ok(verdict(changed));
            }
            Act::CancelReplay(selection) => {
                let changed = source.cancel_replay(&selection).await?;
                if json { say(serde_json::to_string(&changed)?) } else { tell::cancelled(changed) }
            }
            Act::Drop(selection, yes) => return discard(&source, &selection, yes, json).await,
            Act::Export(selection, with_reasons, output) => return export(&source, &selection, with_reasons, output).await,
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn show(source: &Source, selection: &Selection, json: bool) -> Result<ExitCode> {
    let asked = selection.ids.len();
    let most = selection.limit.unwrap_or(if asked > 0 { usize::MAX } else { SHOWN });
    let mut found = 0;
    pages(source, selection, most, |page| {
        found += page.letters.len();
        page.letters.iter().try_for_each(|letter| {
            if json {
                say(serde_json::to_string(letter)?)
            } else {
                tell::letter(letter)
            }
            Ok(())
        })
    })
    .await?;
    if found == 0 {
        complain("no such dead letters");
    } else if found < asked {
        complain(format_args!("{} of {asked} are no dead letters (any more)", asked - found));
    }
    Ok(if found == 0 || found < asked { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn discard(source: &Source, selection: &Selection, yes: bool, json: bool) -> Result<ExitCode> {
    if !yes {
        let mut count = 0;
        pages(source, selection, selection.limit.unwrap_or(usize::MAX), |page| {
            count += page.letters.len();
            Ok(())
        })
        .await?;
        complain(format_args!("{count} dead letters would be dropped for good; say `--yes` to drop them, or `export` them before"));
        return Ok(ExitCode::FAILURE);
    }
    let changed = source.discard(selection).await?;
    if json {
        say(serde_json::to_string(&changed)?)
    } else {
        tell::dropped(changed)
    }
    Ok(verdict(changed))
}

async fn export(source: &Source, selection: &Selection, with_reasons: bool, output: Option<PathBuf>) -> Result<ExitCode> {
    let into: Box<dyn Write> = match &output {
        None => Box::new(io::stdout().lock()),
        Some(path) => {
            // A new file: an export that is there already may be the only copy of what was dropped since.
            let file = File::create_new(path);
            Box::new(file.with_context(|| format!("{} could not be made: name a file that is not there yet", path.display()))?)
        }
    };
    let mut into = BufWriter::with_capacity(1 << 20, into);
    let (mut written, mut unreadable) = (0, 0);
    pages(source, selection, selection.limit.unwrap_or(usize::MAX), |page| {
        for letter in &page.letters {
            match (&letter.event, with_reasons) {
                (_, true) => serde_json::to_writer(&mut into, letter)?,
                (Some(event), false) => into.write_all(event.get().as_bytes())?,
                (None, false) => {
                    unreadable += 1;
                    continue;
                }
            }
            into.write_all(b"\n")?;
            written += 1;
        }
        Ok(())
    })
    .await?;
    into.flush()?;
    complain(format_args!("{written} events written"));
    if unreadable > 0 {
        bail!("{unreadable} events could not be read when they were condemned: `--with-reasons` says which");
    }
    Ok(ExitCode::SUCCESS)
}

/// Goes through the chosen letters, at most `most`.
async fn pages(source: &Source, selection: &Selection, most: usize, mut each: impl FnMut(&Page) -> Result<()>) -> Result<()> {
    let (mut left, mut after) = (most, None);
    while left > 0 {
        let page = source.page(selection, after.as_deref(), left.min(PAGE)).await?;
        left = left.saturating_sub(page.letters.len());
        each(&page)?;
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    Ok(())
}

/// Something was left that was meant: a script should know.
fn verdict(changed: Changed) -> ExitCode {
    if changed.gone + changed.unreadable + changed.sending == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
