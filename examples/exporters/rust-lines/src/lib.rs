//! The same idea as `../rust`, another format: POSTs one line per event, `user flag=variation`, as plain text.
//!
//! Dropped in place of the other `.wasm` it changes what arrives at the endpoint, with nothing else built or edited.

wit_bindgen::generate!({ path: "../../../wit", world: "plugin" });

use exports::flagpost::plugin::exporter::*;
use flagpost::plugin::{config, http};

struct Plugin;
export!(Plugin);

impl Guest for Plugin {
    fn is_bulk() -> bool {
        true
    }

    fn export(events: Vec<Event>) -> Result<(), ExportError> {
        let config: serde_json::Value = serde_json::from_str(&config::get()).unwrap_or_default();
        let url = config["endpoint"].as_str().ok_or_else(|| ExportError::Misconfigured("config.endpoint is missing".into()))?;
        let lines: String = events.iter().map(line).collect();
        let headers = vec![("content-type".into(), "text/plain".into())];
        let request = http::Request { method: "POST".into(), url: url.into(), headers, body: http::Body::Text(lines), timeout_ms: None };
        match http::send(&request) {
            Ok(reply) if reply.status < 300 => Ok(()),
            Ok(reply) => Err(later(format!("HTTP {}", reply.status))),
            Err(http::SendError::Denied(why)) => Err(ExportError::Misconfigured(why)),
            Err(why) => Err(later(why.to_string())),
        }
    }
}

fn later(reason: String) -> ExportError {
    ExportError::Retryable(RetryLater { reason, after_ms: None })
}

fn line(event: &Event) -> String {
    match event {
        Event::Feature(e) => format!("{} {}={}\n", e.user_key, e.key, e.variation),
        Event::Tracking(e) => format!("{} did {}\n", e.user_key, e.key),
    }
}
