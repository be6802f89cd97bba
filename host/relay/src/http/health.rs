//! `/health` and below.

use std::sync::Arc;

use flagpost_delivery::{Delivery, StateKind, TaskStatus};
use flagpost_event::StreamName;
use http::{Response, StatusCode};
use serde::Serialize;

use super::metrics::Plugins;
use super::snapshot::Snapshot;
use super::{Door, Reply};
use crate::reloads::Reloads;

/// What the health routes look at.
#[derive(Clone, Default)]
pub(crate) struct Health {
    /// `None` in tests of the routes alone.
    pub(crate) delivery: Option<Arc<Delivery>>,
    /// The plugins by exporter.
    pub(crate) plugins: Arc<Plugins>,
    /// How the configuration was last read.
    pub(crate) reloads: Arc<Reloads>,
}

/// One task in `/health/exporters`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Task<'a> {
    name: &'a str,
    flag_set: &'a str,
    kind: &'a str,
    event_type: &'a str,
    state: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    accepted: u64,
    delivered: u64,
    waiting: u64,
    waiting_bytes: u64,
    oldest_age_seconds: f64,
    dead: u64,
    dropped: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_success: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<LastError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plugin: Option<flagpost_plugin::PluginReport>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LastError {
    message: String,
    at_unix_millis: u64,
}

/// Upstream's constant.
pub(crate) fn initialized() -> Response<Reply> {
    Reply::json(StatusCode::OK, "{\"initialized\":true}\n")
}

/// The process answers.
pub(crate) fn live() -> Response<Reply> {
    Reply::json(StatusCode::OK, "{\"live\":true}\n")
}

impl Health {
    /// Whether requests should be sent here: not while the program ends, and not while the log takes nothing.
    pub(crate) fn ready(&self, door: &Door) -> Response<Reply> {
        if door.ending.draining.is_cancelled() {
            return Reply::error(StatusCode::SERVICE_UNAVAILABLE, "the relay is shutting down");
        }
        match door.intakes.ready() {
            Ok(()) => Reply::json(StatusCode::OK, "{\"ready\":true}\n"),
            Err(why) => Reply::error(StatusCode::SERVICE_UNAVAILABLE, &why),
        }
    }

    /// Every exporter's task: what it is doing, what waits, what went wrong.
    pub(crate) fn exporters(&self) -> Response<Reply> {
        let statuses = self.delivery.as_ref().map(|delivery| delivery.statuses()).unwrap_or_default();
        let tasks: Vec<Task<'_>> = statuses.iter().map(|status| self.task(status)).collect();
        match serde_json::to_vec(&serde_json::json!({ "exporters": tasks, "configuration": self.reloads.now() })) {
            Ok(mut body) => {
                body.push(b'\n');
                Reply::json(StatusCode::OK, body)
            }
            Err(error) => Reply::error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    }

    fn task<'a>(&self, status: &'a Arc<TaskStatus>) -> Task<'a> {
        let StreamName { flag_set, kind } = status.stream();
        let state = status.state();
        let plugins = self.plugins.now();
        let plugin = plugins.iter().find(|plugin| plugin.identity == *status.identity() && plugin.events.contains(kind));
        let plugin = plugin.map(|plugin| plugin.exporter.report());
        // Where the task itself has nothing to say, its plugin may.
        let reason = state.reason.or_else(|| match state.kind {
            StateKind::Invalid | StateKind::Compiling => plugin.as_ref().and_then(|report| report.reason.clone()),
            _ => None,
        });
        let counts = Snapshot::of(status);
        Task {
            name: &status.identity().exporter,
            flag_set,
            kind: status.kind(),
            event_type: kind.as_str(),
            state: state.kind.as_str(),
            reason,
            accepted: counts.accepted,
            delivered: counts.delivered,
            waiting: counts.waiting,
            waiting_bytes: status.waiting_bytes(),
            oldest_age_seconds: status.oldest_age().as_secs_f64(),
            dead: counts.dead,
            dropped: counts.dropped.values().sum(),
            last_success: status.last_success(),
            last_error: status.last_error().map(|error| LastError { message: error.text, at_unix_millis: error.at_millis }),
            plugin,
        }
    }
}
