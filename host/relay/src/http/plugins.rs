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
    limits: Limits,
    #[serde(flatten)]
    report: PluginReport,
}

/// What one instance may use.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Limits {
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
    let limits = &plugin.exporter.spec().limits;
    Listed {
        flag_set: &plugin.identity.flag_set,
        limits: Limits {
            memory_bytes: limits.memory,
            timeout_millis: limits.timeout.as_millis(),
            cpu_millis: limits.cpu.as_millis(),
            instances: limits.instances,
        },
        report: plugin.exporter.report(),
    }
}

fn json(status: StatusCode, value: &serde_json::Value) -> Response<Reply> {
    let mut text = value.to_string();
    text.push('\n');
    Reply::json(status, text)
}
