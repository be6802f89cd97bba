//! `flagpost validate`: all that is wrong with a configuration, and what it says.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

use super::probe::{Probed, probe};
use super::{chain, complain, find, say};
use crate::config::{self, ExporterConfig, Loaded, Place, Problem, Severity, Sources, Target};

/// What is to be said.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
    /// Lists every value that holds, and where it comes from: a line of the file, an environment variable, or the defaults.
    #[arg(long)]
    show_source: bool,
    /// Asks each exporter's target whether it is there and takes the credentials. Writes no event.
    #[arg(long)]
    probe: bool,
}

/// Exit code 1 when the relay would not start with it, or when a probe failed.
pub(super) fn validate(arguments: &Arguments) -> ExitCode {
    let file = match find(arguments.config.as_deref()) {
        Ok(file) => file,
        Err(code) => return code,
    };
    flagpost_exporter::install_crypto();
    let (mut problems, loaded) = match config::load(&file, &Sources::system()) {
        Ok(mut loaded) => (std::mem::take(&mut loaded.warnings), Some(loaded)),
        Err(error) => (error.problems, None),
    };
    problems.extend(loaded.iter().flat_map(missing_plugins));
    if !arguments.json {
        for problem in &problems {
            complain(problem.in_file(&file));
        }
        if let Some(loaded) = &loaded {
            tell(&file, loaded, arguments.show_source);
        }
    }
    let probed = match loaded.as_ref().filter(|_| arguments.probe).map(|loaded| probe(&loaded.config.exporters)).transpose() {
        Ok(probed) => probed,
        Err(error) => {
            complain(chain(error.as_ref()));
            return ExitCode::FAILURE;
        }
    };
    if arguments.json {
        say(format_args!("{:#}", report(&file, &problems, loaded.as_ref(), probed.as_deref(), arguments.show_source)));
    } else if let (Some(loaded), Some(probed)) = (&loaded, &probed) {
        loaded.config.exporters.iter().zip(probed).for_each(|(exporter, probed)| say(line(exporter, probed)));
    }
    let failed = probed.iter().flatten().any(|probed| probed.finding.error.is_some());
    if loaded.is_some() && !failed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// `probe failed: events (kafka): what came back: what to do`.
fn line(exporter: &ExporterConfig, Probed { finding, tries }: &Probed) -> String {
    let (who, kind) = (name(exporter), &exporter.kind);
    match &finding.error {
        Some(error) => format!("probe failed: {who} ({kind}): {error}"),
        None => {
            let comma = if tries.is_empty() { "" } else { "; " };
            format!("probe ok: {who} ({kind}): {tries}{comma}{} ms", finding.took.as_millis())
        }
    }
}

/// The exporter's name, with its flag set's unless that is the default one.
fn name(exporter: &ExporterConfig) -> String {
    match exporter.identity.flag_set.as_str() {
        config::DEFAULT_FLAG_SET => exporter.identity.exporter.clone(),
        flag_set => format!("{flag_set}: {}", exporter.identity.exporter),
    }
}

fn missing_plugins(loaded: &Loaded) -> Vec<Problem> {
    let mut problems = Vec::new();
    for exporter in &loaded.config.exporters {
        if let Target::Wasm(spec) = &exporter.target
            && spec.image.is_none()
            && !spec.path.is_file()
        {
            let message = format!("the plugin `{}` is not there: the exporter keeps its events until it is", spec.path.display());
            problems.push(Problem::warning("", 0, message, ""));
        }
    }
    problems
}

fn tell(file: &Path, loaded: &Loaded, values: bool) {
    let count = loaded.config.exporters.len();
    say(format_args!("{}: valid, {count} exporter{}", file.display(), if count == 1 { "" } else { "s" }));
    for exporter in &loaded.config.exporters {
        say(format_args!("  {} ({})", name(exporter), exporter.kind));
    }
    if loaded.config.exporters.iter().any(|exporter| matches!(exporter.target, Target::Wasm(_))) {
        let config = file.display();
        say(format_args!(
            "plugins were not loaded: `flagpost plugin validate --config {config}` checks each with its `config:`, sends nothing"
        ));
    }
    if values {
        for value in &loaded.values {
            let source = match &value.place {
                Place::Nowhere => "default".to_owned(),
                Place::Line(line) => format!("{}:{line}", file.display()),
                Place::Variable(name) => format!("env {name}"),
            };
            say(format_args!("{} = {}    ({source})", value.path, value.value.replace('\n', "\\n")));
        }
    }
}

fn report(file: &Path, problems: &[Problem], loaded: Option<&Loaded>, probed: Option<&[Probed]>, values: bool) -> Value {
    let problems: Vec<Value> = problems
        .iter()
        .map(|problem| {
            let severity = match problem.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            };
            let (line, variable) = source(&problem.place);
            json!({
                "severity": severity, "path": problem.path, "line": line, "variable": variable,
                "message": problem.message, "fix": problem.fix,
            })
        })
        .collect();
    let exporters: Vec<Value> = loaded
        .iter()
        .flat_map(|loaded| &loaded.config.exporters)
        .enumerate()
        .map(|(index, exporter)| {
            let mut one = json!({ "flagSet": exporter.identity.flag_set, "name": exporter.identity.exporter, "kind": exporter.kind });
            if let Some(Probed { finding, tries }) = probed.and_then(|probed| probed.get(index)) {
                let millis = u64::try_from(finding.took.as_millis()).unwrap_or(u64::MAX);
                one["probe"] = json!({ "ok": finding.error.is_none(), "tried": tries, "message": finding.error, "millis": millis });
            }
            one
        })
        .collect();
    let mut report = json!({ "file": file, "valid": loaded.is_some(), "problems": problems, "exporters": exporters });
    if let (true, Some(loaded)) = (values, loaded) {
        let value = |value: &config::Effective| {
            let (line, variable) = source(&value.place);
            json!({ "path": value.path, "value": value.value, "line": line, "variable": variable, "default": value.place == Place::Nowhere })
        };
        report["values"] = loaded.values.iter().map(value).collect();
    }
    report
}

fn source(place: &Place) -> (Option<u32>, Option<&str>) {
    match place {
        Place::Nowhere => (None, None),
        Place::Line(line) => (Some(*line), None),
        Place::Variable(name) => (None, Some(name)),
    }
}
