//! The command line.

use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use flagpost_event::StreamName;
use flagpost_exporter::chain;

use crate::config::{self, Loaded, Located, Sources};

mod admin;
mod dead_letters;
mod drain;
mod plugin;
mod probe;
mod reload;
mod run;
mod spool;
mod supervisor;
mod validate;

/// A relay for the evaluation data of feature flags: collects events, keeps them on disk, delivers them to every exporter.
#[derive(Debug, Parser)]
#[command(name = "flagpost", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    /// The configuration file; without it goff-proxy.{yaml,toml,json,yml} is looked for in ./, /goff/ and /etc/opt/goff/.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Reports everything that is wrong with a configuration, and starts nothing.
    Validate {
        #[command(flatten)]
        arguments: validate::Arguments,
    },
    /// Prints the JSON Schema of the configuration, for editors.
    Schema {
        /// Prints the reference page instead (`docs/configuration.md`).
        #[arg(long)]
        markdown: bool,
    },
    /// Delivers everything that waits in a store, takes nothing new, and ends: before a store is moved or removed.
    ///
    /// Exit code 0: every exporter has everything. Otherwise it is said what is left and why; that stays in the store.
    Drain {
        /// The configuration file of the relay that used the store.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// How long to go on, failures and their pauses included: 30s, 5m, 2h; 0 is for ever. What is being sent then may finish within `shutdownTimeout`.
        #[arg(long, value_name = "TIME", default_value = "5m", value_parser = drain::timeout)]
        timeout: Duration,
    },
    /// Looks into a store of events, also a damaged one.
    Spool {
        #[command(subcommand)]
        command: SpoolCommand,
    },
    /// Looks at the events that destinations refused, has them sent again, exports or drops them.
    DeadLetters {
        #[command(subcommand)]
        command: dead_letters::Command,
    },
    /// Makes, builds, tries and measures plugins; lists those of a running relay.
    Plugin {
        #[command(subcommand)]
        command: plugin::Command,
    },
    /// Prints the version.
    Version,
}

#[derive(Debug, Subcommand)]
enum SpoolCommand {
    /// Reads every block and says what is there and what is damaged.
    Check {
        #[command(flatten)]
        store: StoreArguments,
    },
    /// Prints every event that can be read, as JSON lines.
    Export {
        #[command(flatten)]
        store: StoreArguments,
        /// Only this stream's, `default/feature`.
        #[arg(long)]
        stream: Option<StreamName>,
    },
}

/// Which store.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct StoreArguments {
    /// The store's directory (`buffer.path`).
    path: Option<PathBuf>,
    /// The configuration that names it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The program. Exit codes: 0 done, 1 wrong configuration or failure, 2 wrong command line, 130 and 143 ended by a second signal
/// (`drain`: by the first).
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command {
        None => run::run(arguments.config.as_deref()),
        Some(Command::Validate { arguments }) => validate::validate(&arguments),
        Some(Command::Schema { markdown }) => {
            schema(markdown);
            ExitCode::SUCCESS
        }
        Some(Command::Drain { config, timeout }) => drain::drain(config.or(arguments.config).as_deref(), timeout),
        Some(Command::Spool { command }) => spool(command),
        Some(Command::DeadLetters { command }) => dead_letters::run(command),
        Some(Command::Plugin { command }) => plugin::run(command),
        Some(Command::Version) => {
            say(concat!("flagpost ", env!("CARGO_PKG_VERSION")));
            ExitCode::SUCCESS
        }
    }
}

fn schema(markdown: bool) {
    let text = if markdown { config::reference() } else { format!("{:#}\n", config::schema_document()) };
    // Nobody may be reading: that is no failure.
    drop(std::io::stdout().write_all(text.as_bytes()));
}

/// Finds the configuration; that there is none has been printed.
fn find(named: Option<&Path>) -> Result<PathBuf, ExitCode> {
    match config::locate(named, Path::is_file) {
        Located::File(file) => Ok(file),
        Located::Nothing(looked_for) => {
            complain("there is no configuration; name one with `--config FILE`. These were looked for:");
            for path in looked_for {
                complain(format_args!("  {}", path.display()));
            }
            Err(ExitCode::FAILURE)
        }
    }
}

/// Finds and reads the configuration; what is wrong with it has been printed.
fn load(named: Option<&Path>) -> Result<(PathBuf, Loaded), ExitCode> {
    let file = find(named)?;
    let loaded = load_from(&file, &Sources::system())?;
    Ok((file, loaded))
}

/// Reads the configuration; what is wrong with it has been printed.
fn load_from(file: &Path, sources: &Sources) -> Result<Loaded, ExitCode> {
    flagpost_exporter::install_crypto();
    config::load(file, sources).map_err(|error| {
        complain(error);
        ExitCode::FAILURE
    })
}

fn spool(command: SpoolCommand) -> ExitCode {
    let (SpoolCommand::Check { store } | SpoolCommand::Export { store, .. }) = &command;
    let path = match (&store.path, &store.config) {
        (Some(path), _) => path.clone(),
        (None, config) => match load(config.as_deref()) {
            Ok((_, loaded)) => loaded.config.buffer.path,
            Err(code) => return code,
        },
    };
    match command {
        SpoolCommand::Check { .. } => spool::check(&path),
        SpoolCommand::Export { stream, .. } => spool::export(&path, stream.as_ref()),
    }
}

/// A line on standard output. Nobody may be reading: that is no failure.
fn say(line: impl Display) {
    drop(writeln!(std::io::stdout(), "{line}"));
}

/// A line on standard error.
fn complain(line: impl Display) {
    drop(writeln!(std::io::stderr(), "{line}"));
}
