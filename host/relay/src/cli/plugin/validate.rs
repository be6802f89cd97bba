//! `flagpost plugin validate`: loads plugins as the relay would, and sends them nothing.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use bytes::Bytes;
use flagpost_plugin::{PluginSpec, Responder, Unanswered, WasmExporter};
use http::{Request, Response};

use super::session::Session;
use crate::cli::{complain, load, say};
use crate::config::Target;

pub(super) fn validate(file: Option<&Path>, config: Option<&Path>) -> ExitCode {
    let specs = match (file, config) {
        (Some(file), _) => vec![named(file)],
        (None, config) => match of_configuration(config) {
            Ok(specs) => specs,
            Err(code) => return code,
        },
    };
    let session = match Session::start(Some(Arc::new(NoNetwork))) {
        Ok(session) => session,
        Err(error) => {
            complain(format_args!("{error:#}"));
            return ExitCode::FAILURE;
        }
    };
    let mut good = true;
    for spec in specs {
        let name = spec.name.clone();
        match session.try_out(spec) {
            Ok((plugin, None)) => tell(&plugin, ""),
            // A file alone has no configuration: what it wants of one is no fault of its own.
            Ok((plugin, Some(_))) if file.is_some() && !plugin.report().diagnostics.is_empty() => {
                tell(&plugin, "; it needs a `config:`");
                plugin.report().diagnostics.iter().for_each(|wanted| say(format_args!("  {wanted}")));
            }
            // With a file, the reason names it.
            Ok((_, Some(why))) if file.is_some() => {
                complain(why);
                good = false;
            }
            Ok((_, Some(why))) => {
                complain(format_args!("exporter `{name}`: {why}"));
                good = false;
            }
            Err(why) => {
                complain(format_args!("exporter `{name}`: {why}"));
                good = false;
            }
        }
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A plugin by its file alone.
pub(super) fn named(file: &Path) -> PluginSpec {
    let name = file.file_stem().map_or_else(|| "plugin".to_owned(), |stem| stem.to_string_lossy().into_owned());
    PluginSpec::new(name, file)
}

fn of_configuration(config: Option<&Path>) -> Result<Vec<PluginSpec>, ExitCode> {
    let (file, loaded) = load(config)?;
    let specs: Vec<_> = loaded
        .config
        .exporters
        .iter()
        .filter_map(|exporter| match &exporter.target {
            Target::Wasm(spec) => Some((**spec).clone()),
            Target::Native(_) => None,
        })
        .collect();
    if specs.is_empty() {
        complain(format_args!("{}: no exporter of kind wasm", file.display()));
    }
    Ok(specs)
}

fn tell(plugin: &WasmExporter, more: &str) {
    let report = plugin.report();
    say(format_args!(
        "{}: good: {}{}, {}{more}",
        report.path.display(),
        report.title.map_or_else(String::new, |title| format!("{title}, ")),
        report.interface.unwrap_or_default(),
        if report.bulk == Some(false) { "one event per call" } else { "batches" },
    ));
}

/// Nothing is sent while plugins are looked at.
#[derive(Debug)]
struct NoNetwork;

impl Responder for NoNetwork {
    fn answer(&self, _: Request<Bytes>) -> Result<Response<Bytes>, Unanswered> {
        Err(Unanswered::Connect)
    }
}
