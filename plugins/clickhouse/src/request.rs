//! A batch as the rows of one `INSERT`.

use flagpost_sdk::{Batch, Event, ExportError};
use serde_json::json;

use crate::config::Settings;

/// The URL's query. Everything in it is of letters that a URL takes.
pub fn query(batch: &Batch, settings: &Settings) -> String {
    let table = settings.table.replace("{kind}", batch.kind_name());
    // wait_end_of_query: a status 200 is not said before everything is done.
    let mut query = format!(
        "database={}&query=INSERT%20INTO%20{table}%20FORMAT%20JSONEachRow&wait_end_of_query=1&input_format_skip_unknown_fields={}",
        settings.database,
        u8::from(settings.skip_unknown_columns),
    );
    if settings.deduplicate {
        query += &format!("&insert_deduplication_token={}", escaped(&batch.id));
    }
    for (key, value) in settings.settings.iter().flatten() {
        query += &format!("&{key}={value}");
    }
    query
}

/// A batch's id names a flag set, whose name is the operator's.
fn escaped(id: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    id.bytes().map(byte).collect()
}

/// One row per event. What has no fixed type is its JSON text, in a column of type String; `default` is 0 or 1, which Bool and UInt8 take.
pub fn rows(batch: &Batch) -> Result<String, ExportError> {
    let mut rows = String::new();
    for (index, event) in batch.events()?.iter().enumerate() {
        let row = match event {
            Event::Feature(e) => json!({
                "eventId": batch.event_id(index), "kind": e.kind, "contextKind": e.context_kind, "userKey": e.user_key,
                "creationDate": e.creation_date, "key": e.key, "variation": e.variation, "value": e.value_json, "default": u8::from(e.default),
                "version": e.version, "source": e.source, "metadata": e.metadata_json.as_deref().unwrap_or(""),
            }),
            Event::Tracking(e) => json!({
                "eventId": batch.event_id(index), "kind": e.kind, "contextKind": e.context_kind, "userKey": e.user_key,
                "creationDate": e.creation_date, "key": e.key, "evaluationContext": e.evaluation_context_json,
                "trackingEventDetails": e.tracking_event_details_json,
            }),
        };
        rows += &row.to_string();
        rows.push('\n');
    }
    Ok(rows)
}
