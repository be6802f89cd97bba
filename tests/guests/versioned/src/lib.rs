//! An exporter that says with each request which file it is: tests write another number into its bytes.

wit_bindgen::generate!({ path: "../../../wit", world: "plugin" });

use exports::flagpost::plugin::exporter::*;
use flagpost::plugin::{call, config, http};

struct Plugin;
export!(Plugin);

/// Its last three digits are written over.
static VERSION: [u8; 25] = *b"flagpost-test-version-000";

impl Guest for Plugin {
    fn is_bulk() -> bool {
        true
    }

    fn export(events: Vec<Event>) -> Result<(), ExportError> {
        let config: serde_json::Value = serde_json::from_str(&config::get()).unwrap_or_default();
        let url = config["endpoint"].as_str().ok_or_else(|| ExportError::Misconfigured("config.endpoint is missing".into()))?;
        // Not known to the compiler, so that it is read where it stands.
        let version = std::hint::black_box(&VERSION);
        let headers = vec![
            ("x-version".into(), String::from_utf8_lossy(version).into_owned()),
            ("x-batch".into(), call::batch_id()),
            ("x-attempt".into(), call::attempt().to_string()),
        ];
        let body: String = events.iter().map(|event| format!("{}\n", user(event))).collect();
        let request = http::Request { method: "POST".into(), url: url.into(), headers, body: http::Body::Text(body), timeout_ms: None };
        match http::send(&request) {
            Ok(reply) if reply.status < 300 => Ok(()),
            Ok(reply) => Err(later(format!("HTTP {}", reply.status))),
            Err(why) => Err(later(why.to_string())),
        }
    }
}

fn later(reason: String) -> ExportError {
    ExportError::Retryable(RetryLater { reason, after_ms: None })
}

fn user(event: &Event) -> &str {
    match event {
        Event::Feature(event) => &event.user_key,
        Event::Tracking(event) => &event.user_key,
    }
}
