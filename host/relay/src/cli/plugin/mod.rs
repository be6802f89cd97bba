//! `flagpost plugin …`: an author's tools, and a look at the plugins of a running relay.

mod bench;
mod distribution;
mod inspect;
mod project;
mod remote;
mod session;
mod test;
mod validate;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use flagpost_author::{Language, World};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Makes a project: a small exporter that works, its test, the contract.
    New {
        /// rust, js, ts, python, go or c.
        #[arg(long, value_name = "LANGUAGE")]
        lang: Language,
        /// plugin: two functions. managed-plugin: the full contract, which describes itself, has a schema for its configuration and gets
        /// events as one text.
        #[arg(long, default_value_t)]
        world: World,
        /// The plugin's name, and the directory that is made.
        name: String,
    },
    /// Builds a project with its language's own toolchain, and says what to install when that is missing.
    Build {
        /// The project.
        #[arg(default_value = ".", value_name = "DIRECTORY")]
        project: PathBuf,
        /// Where the component goes; without it, into the project.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        /// The world of the project's `wit` directory that it is built for; without it, the one that the project was made for.
        #[arg(long)]
        world: Option<String>,
    },
    /// Says what a component is, what it needs granted, and what to write into the relay's configuration.
    Inspect {
        /// The component.
        file: PathBuf,
        /// Prints one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Loads a component as the relay would, with nothing granted, or every plugin of a configuration; no event is sent.
    Validate {
        /// The component.
        #[arg(required_unless_present = "config", conflicts_with = "config")]
        file: Option<PathBuf>,
        /// The relay's configuration: each of its plugins is loaded with its own `config:`.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Gives events to a plugin, answers its requests out of a script, and prints all of it. Nothing leaves the machine.
    Test(test::Arguments),
    /// Measures a plugin: start, microseconds per event, memory, beside the built-in `webhook` with the same events.
    Bench(bench::Arguments),
    /// Puts a plugin into an OCI registry, and prints its reference with the digest and the configuration that runs it. Credentials:
    /// FLAGPOST_REGISTRY_USERNAME and FLAGPOST_REGISTRY_PASSWORD, else what `docker login` left.
    Push {
        /// The component.
        file: PathBuf,
        /// `oci://registry/name:tag`.
        reference: String,
        #[command(flatten)]
        registry: distribution::Arguments,
    },
    /// Fetches a plugin from an OCI registry, and prints its reference with the digest. Credentials as for `push`.
    Pull {
        /// `oci://registry/name:tag`, `oci://registry/name@sha256:…`, or both.
        reference: String,
        /// Where the component goes; without it, `NAME.wasm` here.
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        #[command(flatten)]
        registry: distribution::Arguments,
    },
    /// Lists the plugins of a running relay: state, generation, grants, last error.
    List(remote::Arguments),
    /// Has a running relay load the file of a plugin again, or ask its registry what a tag leads to now.
    Reload {
        /// The exporter's name.
        name: String,
        #[command(flatten)]
        relay: remote::Arguments,
    },
    /// Compiles a component; the relay runs this as a child of its own.
    #[command(hide = true)]
    Compile {
        /// The component.
        input: OsString,
        /// Where the machine code goes.
        output: OsString,
    },
}

/// Exit code 0: done and good.
pub(super) fn run(command: Command) -> ExitCode {
    match command {
        Command::New { lang, world, name } => project::new(lang, world, &name),
        Command::Build { project, output, world } => project::build(&project, output.as_deref(), world.as_deref()),
        Command::Inspect { file, json } => inspect::inspect(&file, json),
        Command::Validate { file, config } => validate::validate(file.as_deref(), config.as_deref()),
        Command::Test(arguments) => test::test(&arguments),
        Command::Bench(arguments) => bench::bench(&arguments),
        Command::Push { file, reference, registry } => distribution::push(&file, &reference, &registry),
        Command::Pull { reference, output, registry } => distribution::pull(&reference, output.as_deref(), &registry),
        Command::List(arguments) => remote::list(&arguments),
        Command::Reload { name, relay } => remote::reload(&name, &relay),
        Command::Compile { input, output } => flagpost_plugin::compile_main([input, output]),
    }
}
