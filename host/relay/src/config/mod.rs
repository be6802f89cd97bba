//! The configuration: upstream's file and our keys, into typed structs, with all that is wrong said at once.
//!
//! The way of a file: text -> [`Format`] -> a tree that knows its lines ([`Node`]) -> environment variables that are keys ([`variables`])
//! -> `${NAME}` replaced in texts ([`substitute`]) -> upstream's deprecated keys moved ([`aliases`]) -> sections ([`file`], [`flag_sets`],
//! [`exporters`]) decoded by [`flagpost_settings`], which collects complaints instead of stopping at the first -> rules that span keys
//! ([`assemble`]) -> [`Config`]. The JSON schema ([`schema`]), the reference page ([`mod@reference`]) and the list of values with their sources
//! ([`show`]) come from the same types.
//!
//! Where the file is looked for is [`locate`]'s business.

mod aliases;
mod assemble;
mod common;
mod exporters;
mod file;
mod flag_sets;
mod format;
mod identity;
mod json;
mod keys;
mod locate;
mod model;
mod one;
mod otel;
mod problem;
mod reference;
mod schema;
mod show;
mod sources;
mod substitute;
mod toml;
mod tree;
mod values;
mod variables;
mod wasm;
mod yaml;

#[cfg(test)]
mod random;
#[cfg(test)]
mod tests;

use std::path::Path;

use flagpost_settings::{Node, Problems};

pub use file::BufferType;
pub use flagpost_settings::{Place, Problem, Severity};
pub use format::Format;
pub use locate::{Located, locate};
pub use model::{AuthorizedKeys, Buffer, Collector, Config, DEFAULT_FLAG_SET, ExporterConfig, FlagSet, Server, Target, Tls, Upstream};
pub use problem::ConfigError;
pub use reference::reference;
pub use schema::document as schema_document;
pub use show::Effective;
pub use sources::{Environment, Sources};
pub use values::{LogFormat, LogLevel};

pub(crate) use assemble::default_max_bytes;
pub(crate) use one::plugin_exporter;

/// A configuration that holds, and what was noticed without being wrong.
#[derive(Debug)]
pub struct Loaded {
    /// What the relay runs with.
    pub config: Config,
    /// To be said once.
    pub warnings: Vec<Problem>,
    /// Every value that holds, and where it comes from.
    pub values: Vec<Effective>,
}

/// Reads a file, in the format that its name says. The error holds all that is wrong with it.
pub fn load(path: &Path, sources: &Sources) -> Result<Loaded, ConfigError> {
    let fail = |problem| ConfigError { file: Some(path.to_owned()), problems: vec![problem] };
    let bytes = std::fs::read(path)
        .map_err(|error| fail(Problem::error("", 0, format!("cannot be read: {error}"), "name the file with `--config FILE`")))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        fail(Problem::error("", 0, format!("not UTF-8 at byte {}", error.utf8_error().valid_up_to()), "save it as UTF-8"))
    })?;
    let base = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    from_text(&text, Format::of(path), base, sources).map_err(|problems| ConfigError { file: Some(path.to_owned()), problems })
}

/// Reads a text; relative plugin paths start at `base`. The error holds all that is wrong with it, warnings included.
pub fn from_text(text: &str, format: Format, base: &Path, sources: &Sources) -> Result<Loaded, Vec<Problem>> {
    let mut root = format.parse(text).map_err(|problem| vec![problem])?;
    let mut problems = Problems::default();
    let prefix = match root.get("envVariablePrefix").map(|entry| &entry.value.data) {
        Some(flagpost_settings::Data::Scalar(prefix)) => prefix.text.clone(),
        _ => String::new(),
    };
    variables::apply(&mut root, &prefix, &sources.env, &mut problems);
    substitute::substitute(&mut root, "", &sources.env, &mut problems);
    aliases::apply(&mut root, &mut problems);
    let config = assemble::assemble(&root, base, sources, &mut problems);
    match problems.finish() {
        (problems, true) => Err(problems),
        (warnings, false) => {
            let values = show::effective(&root, &config);
            Ok(Loaded { config, warnings, values })
        }
    }
}

/// Reads a file that is none of the relay's configuration, in the format that its name says, as a tree that knows its lines.
pub(crate) fn read_tree(path: &Path) -> anyhow::Result<Node> {
    use anyhow::{Context, anyhow};
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Format::of(path).parse(&text).map_err(|problem| anyhow!("{}", problem.in_file(path)))
}

/// The configuration of an empty file, whatever the environment says.
pub fn defaults(sources: &Sources) -> Config {
    assemble::assemble(&Node::null(), Path::new("."), sources, &mut Problems::default())
}
