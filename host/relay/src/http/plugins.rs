//! `/admin/v1/flagpost/plugins`: the plugins, what they are granted, and having a file tried again. An admin's key was asked for before.

use flagpost_plugin::PluginReport;
use http::{Method, Request, Response, StatusCode};
use serde::Serialize;

use super::metrics::Plugin;
use super::route::ADMIN;
use super::{Reply, not_found};

/// Below [`ADMIN`].
const PLUGINS: &str = "plugins";

/// One plugin of the list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed<'a> {
    flag_set: &'a str,
    grants: Grants<'a>,
    #[serde(flatten)]
    report: PluginReport,
}

/// What it may; names only, of what may hold secrets.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Grants<'a> {
    allowed_hosts: &'a [String],
    allowed_networks: Vec<String>,
    env: Vec<&'a String>,
    sha256: Option<&'a str>,
    memory_bytes: u64,
    timeout_millis: u128,
    cpu_millis: u128,
    instances: usize,
}

/// `GET plugins`: the list. `POST plugins/NAME/reload`: 202 with `loads` as it is now; it rises when the file was tried.
pub(super) fn answer<B>(plugins: &[Plugin], request: &Request<B>) -> Response<Reply> {
    let Some(rest) = request.uri().path().strip_prefix(ADMIN).and_then(|rest| rest.strip_prefix(PLUGINS)) else { return not_found() };
    match (request.method(), rest) {
        (&Method::GET | &Method::HEAD, "") => {
            let listed: Vec<_> = plugins.iter().map(listed).collect();
            json(StatusCode::OK, &serde_json::json!({ "plugins": listed }))
        }
        (&Method::POST, rest) => match rest.strip_prefix('/').and_then(|rest| rest.strip_suffix("/reload")) {
            Some(name) => reload(plugins, name),
            None => not_found(),
        },
        _ => not_found(),
    }
}

fn reload(plugins: &[Plugin], name: &str) -> Response<Reply> {
    let loads: Vec<_> = plugins
        .iter()
        .filter(|plugin| plugin.identity.exporter == name)
        .map(|plugin| {
            let loads = plugin.exporter.report().loads;
            plugin.exporter.reload();
            loads
        })
        .collect();
    match loads.iter().max() {
        Some(loads) => json(StatusCode::ACCEPTED, &serde_json::json!({ "name": name, "loads": loads })),
        None => {
            let names: Vec<_> = plugins.iter().map(|plugin| plugin.identity.exporter.as_str()).collect();
            Reply::error(StatusCode::NOT_FOUND, &format!("no plugin `{name}`; there are: {}", names.join(", ")))
        }
    }
}

fn listed(plugin: &Plugin) -> Listed<'_> {
    let spec = plugin.exporter.spec();
    Listed {
        flag_set: &plugin.identity.flag_set,
        grants: Grants {
            allowed_hosts: &spec.allowed_hosts,
            allowed_networks: spec.allowed_networks.iter().map(ToString::to_string).collect(),
            env: spec.env.keys().collect(),
            sha256: spec.sha256.as_deref(),
            memory_bytes: spec.limits.memory,
            timeout_millis: spec.limits.timeout.as_millis(),
            cpu_millis: spec.limits.cpu.as_millis(),
            instances: spec.limits.instances,
        },
        report: plugin.exporter.report(),
    }
}

fn json(status: StatusCode, value: &serde_json::Value) -> Response<Reply> {
    let mut text = value.to_string();
    text.push('\n');
    Reply::json(status, text)
}
