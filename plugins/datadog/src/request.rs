//! A batch as logs: the message is the event's JSON, which Datadog reads into attributes by itself.

use flagpost_sdk::{Batch, ExportError, fields, quoted};

use crate::config::Settings;

/// The request's body. What stands beside the message is text, as the API wants it, but for the time, which is a number as Datadog's own agent writes it.
pub fn body(batch: &Batch, settings: &Settings) -> Result<String, ExportError> {
    let mut shared = format!(r#""ddsource":{},"service":{}"#, quoted(&settings.source), quoted(&settings.service));
    for (key, text) in [("ddtags", &settings.tags), ("hostname", &settings.hostname)] {
        if let Some(text) = text {
            shared += &format!(r#","{key}":{}"#, quoted(text));
        }
    }
    let mut body = String::from("[");
    for (index, line) in batch.lines()?.into_iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        body += &format!(r#"{comma}{{"message":{},"event_id":{},{shared}"#, quoted(line), quoted(&batch.event_id(index)));
        // Milliseconds. Without one, the log's time is that of its arrival.
        if let Some(seconds) = fields(line)?.get("creationDate").and_then(|date| date.get().parse::<i64>().ok()) {
            body += &format!(r#","timestamp":{}"#, seconds.saturating_mul(1000));
        }
        body.push('}');
    }
    body.push(']');
    Ok(body)
}
