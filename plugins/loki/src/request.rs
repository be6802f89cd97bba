//! A batch as one stream's entries: the line is the event's JSON, as `| json` reads it.

use flagpost_sdk::{Batch, ExportError, fields, quoted, rejected};

use crate::config::Settings;

/// The request's body.
pub fn body(batch: &Batch, settings: &Settings) -> Result<String, ExportError> {
    let mut body = format!(r#"{{"streams":[{{"stream":{{"kind":"{}""#, batch.kind_name());
    for (name, value) in &settings.labels {
        body += &format!(",{}:{}", quoted(name), quoted(value));
    }
    body += r#"},"values":["#;
    for (index, line) in batch.lines()?.into_iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        body += &format!(r#"{comma}["{}",{}]"#, nanoseconds(line, index)?, quoted(line));
    }
    body += "]}]}";
    Ok(body)
}

/// The event's second, and its place in the batch: the same in every attempt.
fn nanoseconds(line: &str, index: usize) -> Result<i128, ExportError> {
    let fields = fields(line)?;
    let seconds = fields.get("creationDate").and_then(|date| date.get().parse::<i64>().ok());
    let seconds = seconds.ok_or_else(|| rejected("an event without creationDate"))?;
    Ok(i128::from(seconds) * 1_000_000_000 + index as i128)
}
