//! `kind: wasm`: a custom exporter from a file, or from an image in a registry.

mod grants;
mod image;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flagpost_plugin::{Hidden, Places, PluginLimits, PluginSpec, StateQuota};
use flagpost_settings::{Data, Node, Place, Problems, Secret, Size, Span, decode, join};
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::exporters::{Location, Surroundings};
use super::identity;
use super::model::Target;

/// The kind's name.
pub(crate) const KIND: &str = "wasm";

/// A custom exporter: a WebAssembly component from a file, or from an OCI registry.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Wasm {
    /// Mandatory. The component's file: a bare name is in `pluginsDir`, anything with a `/` is relative to the configuration file. Or an image
    /// in a registry, `oci://registry/name:tag@sha256:…`: with its digest, or with `sha256` beside it, it is pinned; with a tag alone the
    /// registry decides what runs after a start or a `flagpost plugin reload`.
    path: Option<String>,
    /// How the registry of an image is asked.
    registry: image::RegistryKeys,
    /// Handed to the plugin as JSON. A plugin that brings a JSON Schema has it checked.
    config: Value,
    /// Environment variables of the plugin; it sees no others.
    #[schemars(with = "BTreeMap<String, Secret>")]
    env: BTreeMap<String, String>,
    /// Where it may send requests: `[METHOD[,METHOD] ]scheme://host[:port]`, `*.suffix` allowed.
    allowed_hosts: Vec<String>,
    /// Private networks that names in `allowedHosts` may lead to, as `10.0.0.0/8`.
    #[schemars(with = "Vec<String>")]
    allowed_networks: Vec<IpNet>,
    /// TCP connections it may make: `tcp://host:port`.
    allowed_sockets: Vec<String>,
    /// Secrets by name. The plugin finds each under its name in its environment, and through the interface `secrets`: a placeholder, or with
    /// `as: reveal` the secret itself.
    secrets: BTreeMap<String, grants::SecretKeys>,
    /// How its HTTP requests are made.
    http: grants::HttpKeys,
    /// Directories it may read: its path (`/data`), and the directory, relative to the configuration file.
    files: BTreeMap<String, String>,
    /// State it may keep through the interface `key-value`. Without this key: none.
    state: Option<grants::StateKeys>,
    /// What it may use up.
    limits: Limits,
    /// SHA-256 of the file in hex: another file is not run.
    sha256: Option<String>,
}

/// What a plugin may use up.
#[derive(Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Limits {
    /// Memory of one instance.
    memory: Size,
    /// Time for one call.
    timeout: Span,
    /// Processor time for one call.
    cpu: Span,
    /// Instances kept warm: calls at the same time.
    instances: u32,
}

impl Default for Limits {
    fn default() -> Self {
        let limits = PluginLimits::default();
        let instances = u32::try_from(limits.instances).unwrap_or(u32::MAX);
        Limits { memory: Size(limits.memory), timeout: Span(limits.timeout), cpu: Span(limits.cpu), instances }
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
    let image = image::resolve(&written, wasm.registry, wasm.sha256.is_some(), path, own, around, problems)?;
    let mut hidden = Hidden::default();
    let mut places = Places::default();
    for key in ["config", "env"] {
        if let Some(entry) = own.get(key) {
            hide(&entry.value, &mut hidden);
        }
    }
    if let Some(entry) = own.get("config") {
        note("", &entry.place, &entry.value, &mut places);
    }
    let spec = PluginSpec {
        config: wasm.config,
        places,
        hidden,
        env: wasm.env,
        secrets: grants::secrets(wasm.secrets, path, own, around, problems),
        allowed_sockets: wasm.allowed_sockets,
        http: wasm.http.resolve(&around.base),
        files: wasm.files.into_iter().map(|(guest, dir)| (guest, around.base.join(dir))).collect(),
        state: wasm.state.map(|state| StateQuota { max_bytes: state.max_bytes.0, max_keys: state.max_keys }),
        allowed_hosts: wasm.allowed_hosts,
        allowed_networks: wasm.allowed_networks,
        limits: PluginLimits {
            memory: wasm.limits.memory.0,
            timeout: wasm.limits.timeout.0,
            cpu: wasm.limits.cpu.0,
            instances: wasm.limits.instances as usize,
        },
        sha256: wasm.sha256,
        max_events_per_call: max_events_per_call.filter(|&events| events > 0).map(|events| events as usize),
        image: image.clone(),
        ..PluginSpec::new("", if image.is_some() { written.clone().into() } else { file(&written, &around.plugins_dir, &around.base) })
    };
    for problem in spec.problems() {
        let message = own.hide(problem.message);
        let (message, fix) = message.split_once("; ").unwrap_or((&message, ""));
        problems.error(join(path, &problem.key), place(&problem.key), message, fix);
    }
    let place = match &image {
        // Another version is no other place: the events that wait are its own.
        Some(image) => json!(image.reference.without_version()),
        None => own.get("path").map_or_else(|| json!(written), |entry| identity::written(&entry.value)),
    };
    Some((Target::Wasm(Box::new(spec)), vec![("path", place)]))
}

/// What came from variables may be secret, and a plugin may repeat it.
fn hide(node: &Node, hidden: &mut Hidden) {
    match &node.data {
        Data::Null => {}
        Data::Scalar(scalar) => {
            if let Some(written) = &scalar.written {
                hidden.add(Secret::new(scalar.text.clone()), written.clone());
            }
        }
        Data::List(items) => items.iter().for_each(|item| hide(item, hidden)),
        Data::Map(entries) => entries.iter().for_each(|entry| hide(&entry.value, hidden)),
    }
}

/// Where each value of `config:` stands.
fn note(path: &str, place: &Place, node: &Node, places: &mut Places) {
    if *place != Place::Nowhere {
        places.note(path, place.to_string());
    }
    match &node.data {
        Data::Null | Data::Scalar(_) => {}
        Data::List(items) => {
            for (index, item) in items.iter().enumerate() {
                note(&format!("{path}[{index}]"), &item.place, item, places);
            }
        }
        Data::Map(entries) => entries.iter().for_each(|entry| note(&join(path, &entry.key), &entry.place, &entry.value, places)),
    }
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
