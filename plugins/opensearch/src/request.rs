//! A batch as a `_bulk` request: for each event a line that says where, and a line that is the document.

use flagpost_sdk::{Batch, ExportError, fields, iso, quoted, rejected};

use crate::config::Settings;

/// Only what is read comes back.
pub const PATH: &str = "/_bulk?filter_path=errors,items.*.status,items.*.error";

/// The request's body.
pub fn body(batch: &Batch, settings: &Settings) -> Result<String, ExportError> {
    let lines = batch.lines()?;
    let mut body = String::with_capacity(lines.iter().map(|line| line.len() + 160).sum());
    for (index, line) in lines.iter().enumerate() {
        let fields = fields(line)?;
        let seconds = fields.get("creationDate").and_then(|date| date.get().parse().ok());
        let date = iso(seconds.ok_or_else(|| rejected("an event without creationDate"))?);
        let name = settings.index.replace("{kind}", batch.kind_name()).replace("{date}", &date[..10].replace('-', "."));
        body += &format!(r#"{{"create":{{"_index":{},"_id":{}"#, quoted(&name), quoted(&batch.event_id(index)));
        if let Some(pipeline) = &settings.pipeline {
            body += &format!(r#","pipeline":{}"#, quoted(pipeline));
        }
        body += "}}\n{";
        if !settings.timestamp_field.is_empty() {
            body += &format!("{}:{},", quoted(&settings.timestamp_field), quoted(&date));
        }
        for (place, (key, value)) in fields.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            let text = value.get();
            if *key == "value" && settings.value_as_text && !text.starts_with('"') {
                body += &format!("{comma}{}:{}", quoted(key), quoted(text));
            } else {
                body += &format!("{comma}{}:{text}", quoted(key));
            }
        }
        body += "}\n";
    }
    Ok(body)
}
