//! A custom exporter for flagpost: POSTs each batch as a JSON array to an API that wants a key.
//!
//! Build: `flagpost plugin build`. Configuration: `config: { endpoint: "https://…", key: "…" }` and the endpoint
//! in `allowedHosts`.

wit_bindgen::generate!({ path: "../../../wit", world: "plugin" });

use exports::flagpost::plugin::exporter::*;
use flagpost::plugin::{call, config, http};
use serde_json::{Value, json};

struct Plugin;
export!(Plugin);

impl Guest for Plugin {
    /// Batches, not single events.
    fn is_bulk() -> bool {
        true
    }

    /// `Ok` means: these events are safe at the API. Everything else says what the relay is to do with them.
    fn export(events: Vec<Event>) -> Result<(), ExportError> {
        let config = parse(&config::get());
        let Some(url) = config["endpoint"].as_str() else {
            return Err(ExportError::Misconfigured("config.endpoint is missing: where shall the events go?".into()));
        };
        let mut headers = vec![("content-type".into(), "application/json".into()), ("idempotency-key".into(), call::batch_id())];
        if let Some(key) = config["key"].as_str() {
            headers.push(("authorization".into(), format!("Bearer {key}")));
        }
        let body = Value::Array(events.iter().map(to_json).collect()).to_string();
        let request = http::Request { method: "POST".into(), url: url.into(), headers, body: http::Body::Text(body), timeout_ms: None };

        match http::send(&request) {
            Ok(reply) => match reply.status {
                200..=299 => Ok(()),
                401 | 403 => Err(ExportError::Misconfigured(format!("HTTP {}: is config.key right?", reply.status))),
                408 | 429 | 500.. => Err(later(format!("HTTP {}", reply.status), retry_after(&reply))),
                status => Err(ExportError::Rejected(format!("HTTP {status}: {}", reply.body))),
            },
            Err(http::SendError::Denied(why)) => Err(ExportError::Misconfigured(why)),
            Err(http::SendError::Timeout) => Err(later("timeout".into(), None)),
            Err(http::SendError::Connect(why) | http::SendError::Other(why)) => Err(later(why, None)),
        }
    }
}

fn later(reason: String, after_ms: Option<u32>) -> ExportError {
    ExportError::Retryable(RetryLater { reason, after_ms })
}

/// The header `Retry-After` in milliseconds, when it counts seconds.
fn retry_after(reply: &http::Response) -> Option<u32> {
    let (_, seconds) = reply.headers.iter().find(|(name, _)| name == "retry-after")?;
    seconds.parse::<u32>().ok()?.checked_mul(1000)
}

/// An event under GO Feature Flag's own field names.
fn to_json(event: &Event) -> Value {
    match event {
        Event::Feature(e) => {
            let mut row = json!({
                "kind": e.kind, "contextKind": e.context_kind, "userKey": e.user_key, "creationDate": e.creation_date, "key": e.key,
                "variation": e.variation, "value": parse(&e.value_json), "default": e.default, "version": e.version, "source": e.source,
            });
            if let Some(metadata) = &e.metadata_json {
                row["metadata"] = parse(metadata);
            }
            row
        }
        Event::Tracking(e) => json!({
            "kind": e.kind, "contextKind": e.context_kind, "userKey": e.user_key, "creationDate": e.creation_date, "key": e.key,
            "evaluationContext": parse(&e.evaluation_context_json), "trackingEventDetails": parse(&e.tracking_event_details_json),
        }),
    }
}

/// JSON text from the host is always valid.
fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}
