//! `flagpost plugin test`: a plugin without a relay and without a destination.
//!
//! Events go in as the relay would give them: cut as the plugin's limits say, with a batch id, again after a failure that may pass (at once,
//! where the relay would wait). Requests are answered out of a script in this process. All of it becomes a transcript, which is the same
//! in every run, so it can be compared with one that somebody looked at.

mod chaos;
mod diff;
pub(in crate::cli::plugin) mod events;
mod script;
mod transcript;
mod veil;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use flagpost_event::{BatchId, EventBatch};
use flagpost_exporter::{ExportError, Exporter};
use flagpost_plugin::{Places, PluginSpec, WasmExporter};

use self::script::Script;
use self::transcript::Transcript;
use self::veil::Veil;
use super::session::Session;
use super::validate::named;
use crate::cli::{complain, say};
use crate::config::{self, LogLevel, Sources, Target};
use crate::logging;

/// Calls with the same events before they are given up: more tells an author nothing new.
const MAX_ATTEMPTS: u32 = 4;

/// What is tested with what.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// A project (its component, and what its `test` directory holds), or a component.
    #[arg(default_value = ".", value_name = "PROJECT|FILE")]
    target: PathBuf,
    /// Events, one JSON object per line; without it the project's `test/events.jsonl`, or a few that come with this program.
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// What the plugin gets as its `config:`, as YAML or JSON; without it what the exporter's file has, or the project's `test/config.yaml`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The exporter as it will stand in the relay's file, with its `secrets`, `env`, `allowedHosts`, `limits` and so on (`path` and `sha256` are
    /// not looked at); without it the project's `test/exporter.yaml`. What is secret is never printed.
    #[arg(long, value_name = "FILE")]
    exporter: Option<PathBuf>,
    /// What its requests are answered with; without it the project's `test/replies.yaml`, or 200 for all of them.
    #[arg(long, value_name = "FILE")]
    replies: Option<PathBuf>,
    /// What should come out; without it the project's `test/golden.txt`. Another result is shown line by line, exit code 1.
    #[arg(long, value_name = "FILE", conflicts_with = "chaos")]
    golden: Option<PathBuf>,
    /// Writes what comes out to the golden file.
    #[arg(long, conflicts_with = "chaos")]
    update: bool,
    /// Gives the plugin events of its own, drops its instance after every third `ok`, and says which acknowledged events no request carried.
    /// Requests are answered with 200 and nothing, or with the replies that `--replies` names, over and over. Exit code 1 if there are any.
    #[arg(long)]
    chaos: bool,
}

/// The files of a run.
struct Files {
    component: PathBuf,
    events: Option<PathBuf>,
    config: Option<PathBuf>,
    /// What is taken where no other configuration is given.
    config_of_project: Option<PathBuf>,
    exporter: Option<PathBuf>,
    replies: Option<PathBuf>,
    golden: Option<PathBuf>,
}

impl Files {
    fn of(arguments: &Arguments) -> Result<Files> {
        let target = &arguments.target;
        let mut files = Files {
            component: target.clone(),
            events: arguments.events.clone(),
            config: arguments.config.clone(),
            config_of_project: None,
            exporter: arguments.exporter.clone(),
            replies: arguments.replies.clone(),
            golden: arguments.golden.clone(),
        };
        if target.is_dir() {
            let directory = target.canonicalize().with_context(|| target.display().to_string())?;
            let name = directory.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            files.component = target.join(format!("{name}.wasm"));
            if !files.component.is_file() {
                bail!("{}: is not there; `flagpost plugin build` makes it", files.component.display());
            }
            let below =
                |name: &str| Some(target.join("test").join(name)).filter(|path| path.is_file() || name == "golden.txt" && arguments.update);
            files.events = files.events.or_else(|| below("events.jsonl"));
            files.config_of_project = below("config.yaml");
            files.exporter = files.exporter.or_else(|| below("exporter.yaml"));
            files.replies = files.replies.or_else(|| below("replies.yaml"));
            files.golden = files.golden.or_else(|| below("golden.txt"));
        }
        Ok(files)
    }
}

pub(super) fn test(arguments: &Arguments) -> ExitCode {
    // What the plugin prints is shown as the relay would log it.
    logging::init(LogLevel(tracing::Level::INFO), config::LogFormat::Logfmt);
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            complain(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    let files = Files::of(arguments)?;
    let spec = spec(&files)?;
    let mut streams = events::read(files.events.as_deref())?;
    for (stream, lines) in streams.extract_if(.., |(stream, _)| !spec.events.contains(&stream.kind)) {
        let count = lines.len();
        complain(format_args!(
            "{count} {} event(s) are not given: the exporter's `eventType` is another; `eventType: all` takes both",
            stream.kind
        ));
    }
    if streams.is_empty() {
        bail!("no events of the exporter's `eventType`: there is nothing to give to the plugin");
    }
    let veil = Veil::of(&spec)?;
    let script = Arc::new(match (&files.replies, &arguments.replies) {
        // What a project's replies script is its own events' way. Replies that are named are taken over and over.
        (_, None) if arguments.chaos => Script::default(),
        (_, Some(path)) if arguments.chaos => Script::read(path)?.over_and_over(),
        (Some(path), _) => Script::read(path)?,
        (None, _) => Script::default(),
    });
    let session = Session::start(Some(script.clone()))?;
    if arguments.chaos {
        return chaos::run(&session, spec, &script, &streams);
    }
    let (transcript, good) = Run::new(&session, spec, &script, veil)?.all(&streams);
    say(transcript.text().trim_end());
    if let Some(granted) = script.grants() {
        complain(format_args!("What it sent needs, in the exporter: allowedHosts: [ {} ]", transcript.hide(&granted)));
    }
    let Some(golden) = &files.golden else {
        return Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    };
    compare(&transcript.golden(), golden, arguments.update)
}

/// The plugin with what its exporter says.
fn spec(files: &Files) -> Result<PluginSpec> {
    let mut spec = match &files.exporter {
        None => named(&files.component),
        Some(path) => match config::plugin_exporter(path, &Sources::without_secrets())?.target {
            // What is tested is what was just built.
            Target::Wasm(spec) => PluginSpec { path: files.component.clone(), image: None, sha256: None, ..*spec },
            Target::Native(_) => bail!("{}: expected an exporter of `kind: wasm`, found another kind", path.display()),
        },
    };
    let of_project = files.config_of_project.as_ref().filter(|_| spec.config.is_null());
    if let Some(path) = files.config.as_ref().or(of_project) {
        spec.config = config::read_tree(path)?.to_json();
        spec.places = Places::default();
    }
    Ok(spec)
}

fn compare(text: &str, golden: &Path, update: bool) -> Result<ExitCode> {
    if update {
        std::fs::write(golden, text).with_context(|| golden.display().to_string())?;
        complain(format_args!("{}: written", golden.display()));
        return Ok(ExitCode::SUCCESS);
    }
    let expected = std::fs::read_to_string(golden).with_context(|| golden.display().to_string())?;
    if transcript::without_commands(&expected) == text {
        complain(format_args!("{}: the same", golden.display()));
        return Ok(ExitCode::SUCCESS);
    }
    complain(format_args!("{}: another result (- expected, + got); if it is meant: --update", golden.display()));
    complain(diff::lines(&transcript::without_commands(&expected), text).trim_end());
    Ok(ExitCode::FAILURE)
}

/// A plugin, its events, and what became of them.
struct Run<'a> {
    session: &'a Session,
    exporter: Arc<WasmExporter>,
    script: &'a Script,
    transcript: Transcript,
    good: bool,
}

/// What is done after a call.
enum Next {
    /// The next events.
    On,
    /// These events again.
    Again(EventBatch),
    /// Nothing.
    End,
}

impl<'a> Run<'a> {
    fn new(session: &'a Session, spec: PluginSpec, script: &'a Script, veil: Veil) -> Result<Self> {
        let exporter = session.load(spec)?;
        Ok(Run { session, exporter, script, transcript: Transcript::new(veil), good: true })
    }

    /// Every event of every stream. Whether all were delivered.
    fn all(mut self, streams: &events::Streams) -> (Transcript, bool) {
        'streams: for (stream, lines) in streams.iter() {
            let mut first = 1;
            for part in lines.chunks(self.exporter.limits().max_events.max(1)) {
                let id = BatchId::new(format!("test-{}-{}-{first}-{}", stream.flag_set, stream.kind, first + part.len() - 1));
                first += part.len();
                let mut batch = EventBatch::new(id, stream.clone(), 1, part.to_vec());
                loop {
                    match self.call(&batch) {
                        Next::On => break,
                        Next::Again(again) => batch = again,
                        Next::End => break 'streams,
                    }
                }
            }
        }
        if let Some(unused) = self.script.unused() {
            self.transcript.note(&unused);
        }
        (self.transcript, self.good)
    }

    fn call(&mut self, batch: &EventBatch) -> Next {
        let outcome = self.session.runtime.block_on(self.exporter.export(batch));
        self.transcript.call(batch, &self.script.exchanged(), &outcome);
        self.good &=
            !matches!(outcome, Err(ExportError::Rejected { .. } | ExportError::Misconfigured { .. } | ExportError::NameTaken { .. }));
        match outcome {
            Ok(()) | Err(ExportError::Rejected { .. }) => Next::On,
            Err(ExportError::Misconfigured { .. } | ExportError::NameTaken { .. }) => {
                self.transcript.note("misconfigured: the relay would keep the events and try one batch now and then");
                Next::End
            }
            Err(ExportError::Partial { retry, rejected, .. }) => {
                self.good &= rejected.is_empty();
                let lines: Vec<_> = batch.lines().map(|line| bytes::Bytes::from([line, b"\n"].concat())).collect();
                let part: Vec<_> = retry.iter().filter_map(|&index| lines.get(index as usize).cloned()).collect();
                if part.is_empty() || batch.id().as_str().matches(".r").count() >= MAX_ATTEMPTS as usize {
                    self.good &= part.is_empty();
                    return Next::On;
                }
                Next::Again(EventBatch::new(BatchId::new(format!("{}.r1", batch.id())), batch.stream().clone(), 1, part))
            }
            Err(ExportError::Retryable { .. } | ExportError::Crashed { .. }) if batch.attempt() < MAX_ATTEMPTS => {
                Next::Again(EventBatch::new(batch.id().clone(), batch.stream().clone(), batch.attempt() + 1, batch.chunks().to_vec()))
            }
            Err(ExportError::Retryable { .. } | ExportError::Crashed { .. }) => {
                self.good = false;
                self.transcript.note(&format!("not delivered in {MAX_ATTEMPTS} attempts; the relay would go on, with growing pauses"));
                Next::On
            }
        }
    }
}
