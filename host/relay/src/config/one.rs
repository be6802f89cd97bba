//! One exporter in a file of its own, as it will stand in the relay's: for an author who tries a plugin without a relay.

use std::path::Path;

use flagpost_settings::{Data, Entry, Meaning, Node, Place, Problems, Scalar};

use super::exporters::{Scope, Surroundings, exporters};
use super::file::DEFAULT_PLUGINS_DIR;
use super::model::{DEFAULT_FLAG_SET, ExporterConfig};
use super::sources::Sources;
use super::{ConfigError, read_tree, substitute, tree, wasm};

/// Reads the exporter of a plugin that is elsewhere: `kind` and `path` may be left out. Paths are relative to the file. The error holds all
/// that is wrong with it.
pub(crate) fn plugin_exporter(path: &Path, sources: &Sources) -> anyhow::Result<ExporterConfig> {
    let mut exporter = match read_tree(path)? {
        Node { data: Data::List(items), .. } if items.len() == 1 => items.into_iter().next().unwrap_or_else(Node::null),
        node => node,
    };
    if let Data::Map(_) = exporter.data {
        let kind = default_text(&mut exporter, "kind", wasm::KIND);
        if kind == wasm::KIND {
            default_text(&mut exporter, "path", "plugin.wasm");
        }
    }
    let list = Node { place: exporter.place.clone(), data: Data::List(vec![exporter]) };
    let entry = Entry { key: "exporters".to_owned(), place: list.place.clone(), value: list };
    let mut root = Node { place: Place::Nowhere, data: Data::Map(vec![entry]) };

    let mut problems = Problems::default();
    substitute::substitute(&mut root, "", &sources.env, &mut problems);
    let base = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let around = Surroundings {
        // Nothing waits here.
        max_bytes: u64::MAX,
        plugins_dir: base.join(DEFAULT_PLUGINS_DIR),
        base: base.to_owned(),
        env: &sources.env,
        build: &sources.build,
        otel: None,
    };
    let scope = Scope { path: String::new(), node: &root, flag_set: DEFAULT_FLAG_SET.to_owned() };
    let found = exporters(&[scope], &around, &mut problems).pop();
    match (problems.finish(), found) {
        ((_, false), Some(exporter)) => Ok(exporter),
        ((problems, _), _) => Err(ConfigError { file: Some(path.to_owned()), problems }.into()),
    }
}

/// The text of a key, which is set if it was not.
fn default_text(exporter: &mut Node, key: &str, default: &str) -> String {
    let value = tree::member(exporter, key, &Place::Nowhere);
    if !tree::is_set(Some(value)) {
        value.data = Data::Scalar(Scalar { text: default.to_owned(), meaning: Meaning::Text, written: None });
    }
    match &value.data {
        Data::Scalar(scalar) => scalar.text.clone(),
        _ => String::new(),
    }
}
