//! `kind: wasm`: a custom exporter from a file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flagpost_plugin::{PluginLimits, PluginSpec};
use flagpost_settings::{Node, Place, Problems, Size, Span, decode, join};
use ipnet::IpNet;
use serde::Deserialize;
use serde_json::{Value, json};

use super::exporters::{Location, Surroundings};
use super::model::Target;

/// The kind's name.
pub(crate) const KIND: &str = "wasm";

/// Its keys beside the ones every exporter has.
pub(crate) const KEYS: &[&str] = &["path", "config", "env", "allowedHosts", "allowedNetworks", "limits", "sha256", "secrets"];

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Wasm {
    path: Option<String>,
    config: Value,
    env: BTreeMap<String, String>,
    allowed_hosts: Vec<String>,
    allowed_networks: Vec<IpNet>,
    limits: Limits,
    sha256: Option<String>,
    #[serde(rename = "secrets")]
    _secrets: Option<NotYet>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Limits {
    memory: Option<Size>,
    timeout: Option<Span>,
    cpu: Option<Span>,
    instances: Option<u32>,
}

/// A key that has its meaning already and is not served.
#[derive(Deserialize)]
#[serde(try_from = "Value")]
struct NotYet;

impl TryFrom<Value> for NotYet {
    type Error = &'static str;

    fn try_from(_: Value) -> Result<Self, &'static str> {
        Err("secrets of plugins are not served yet; pass the value through `env` or `config` (the plugin then sees it)")
    }
}

/// The plugin's specification, and its place: the path as it is written, so that the configuration may move with its plugins.
pub(crate) fn target(
    path: &str,
    own: &Node,
    max_events_per_call: Option<u32>,
    around: &Surroundings<'_>,
    problems: &mut Problems,
) -> Option<(Target, Location)> {
    let wasm: Wasm = decode(own, path, problems);
    let place = |key: &str| own.place_at(key).cloned().unwrap_or(Place::Nowhere);
    let Some(written) = wasm.path.filter(|written| !written.is_empty()) else {
        let message = "no \"path\" property found for kind \"wasm\"";
        problems.error(path, place("path"), message, "set `path` to the component's file: a bare name is in `pluginsDir`");
        return None;
    };
    let defaults = PluginLimits::default();
    let spec = PluginSpec {
        config: wasm.config,
        env: wasm.env,
        allowed_hosts: wasm.allowed_hosts,
        allowed_networks: wasm.allowed_networks,
        limits: PluginLimits {
            memory: wasm.limits.memory.map_or(defaults.memory, |size| size.0),
            timeout: wasm.limits.timeout.map_or(defaults.timeout, |span| span.0),
            cpu: wasm.limits.cpu.map_or(defaults.cpu, |span| span.0),
            instances: wasm.limits.instances.map_or(defaults.instances, |instances| instances as usize),
        },
        sha256: wasm.sha256,
        max_events_per_call: max_events_per_call.filter(|&events| events > 0).map(|events| events as usize),
        ..PluginSpec::new("", file(&written, &around.plugins_dir, &around.base))
    };
    for problem in spec.problems() {
        let message = own.hide(problem.message);
        let (message, fix) = message.split_once("; ").unwrap_or((&message, ""));
        problems.error(join(path, &problem.key), place(&problem.key), message, fix);
    }
    Some((Target::Wasm(Box::new(spec)), vec![("path", json!(written))]))
}

/// A bare name is in the plugin directory, anything with a `/` is relative to the configuration file.
fn file(written: &str, plugins_dir: &Path, base: &Path) -> PathBuf {
    if written.contains('/') { base.join(written) } else { plugins_dir.join(written) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_is_in_the_plugin_directory_and_a_path_is_relative_to_the_file() {
        let cases = [
            ("acme.wasm", "/etc/flagpost/plugins/acme.wasm"),
            ("./acme.wasm", "/etc/flagpost/./acme.wasm"),
            ("more/acme.wasm", "/etc/flagpost/more/acme.wasm"),
            ("/opt/acme.wasm", "/opt/acme.wasm"),
        ];
        for (written, expected) in cases {
            let found = file(written, Path::new("/etc/flagpost/plugins"), Path::new("/etc/flagpost"));
            assert_eq!(found, Path::new(expected), "{written}");
        }
    }
}
