//! Events as JSON.

use serde_json::{Value, json};

use crate::Event;

/// The event under GO Feature Flag's own field names, its values as values.
pub fn json(event: &Event) -> Value {
    match event {
        Event::Feature(e) => {
            let mut row = json!({
                "kind": e.kind, "contextKind": e.context_kind, "userKey": e.user_key, "creationDate": e.creation_date, "key": e.key,
                "variation": e.variation, "value": parsed(&e.value_json), "default": e.default, "version": e.version, "source": e.source,
            });
            if let Some(metadata) = &e.metadata_json {
                row["metadata"] = parsed(metadata);
            }
            row
        }
        Event::Tracking(e) => json!({
            "kind": e.kind, "contextKind": e.context_kind, "userKey": e.user_key, "creationDate": e.creation_date, "key": e.key,
            "evaluationContext": parsed(&e.evaluation_context_json), "trackingEventDetails": parsed(&e.tracking_event_details_json),
        }),
    }
}

/// JSON text from the host is always valid.
fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}
