//! `flagpost validate`: all that is wrong with a configuration, and what it says.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

use super::{complain, find, say};
use crate::config::{self, Loaded, Place, Problem, Severity, Sources, Target};

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
}

/// Exit code 1 when the relay would not start with it.
pub(super) fn validate(arguments: &Arguments) -> ExitCode {
    let file = match find(arguments.config.as_deref()) {
        Ok(file) => file,
        Err(code) => return code,
    };
    crate::tls::install();
    let (mut problems, loaded) = match config::load(&file, &Sources::system()) {
        Ok(mut loaded) => (std::mem::take(&mut loaded.warnings), Some(loaded)),
        Err(error) => (error.problems, None),
    };
    problems.extend(loaded.iter().flat_map(missing_plugins));
    if arguments.json {
        say(format_args!("{:#}", report(&file, &problems, loaded.as_ref(), arguments.show_source)));
    } else {
        for problem in &problems {
            complain(problem.in_file(&file));
        }
        if let Some(loaded) = &loaded {
            tell(&file, loaded, arguments.show_source);
        }
    }
    if loaded.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn missing_plugins(loaded: &Loaded) -> Vec<Problem> {
    let mut problems = Vec::new();
    for exporter in &loaded.config.exporters {
        if let Target::Wasm(spec) = &exporter.target
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
        let flag_set = match exporter.identity.flag_set.as_str() {
            config::DEFAULT_FLAG_SET => String::new(),
            name => format!("{name}: "),
        };
        say(format_args!("  {flag_set}{} ({})", exporter.identity.exporter, exporter.kind));
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

fn report(file: &Path, problems: &[Problem], loaded: Option<&Loaded>, values: bool) -> Value {
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
        .map(|exporter| json!({ "flagSet": exporter.identity.flag_set, "name": exporter.identity.exporter, "kind": exporter.kind }))
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
