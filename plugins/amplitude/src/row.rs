//! An event as Amplitude takes it.

use flagpost_analytics::{Event, Properties, Property, Row, Who, event_id};
use flagpost_sdk::{Batch, EventKind};

use crate::config::Settings;

/// The event. What it lacks Amplitude names.
pub fn row(settings: &Settings, batch: &Batch, index: usize, event: &Event<'_>) -> Result<Row, String> {
    let mut row = Properties::default();
    let who = match event.who() {
        Who::Known(user) => {
            row.set("user_id", Property::Text(user));
            user
        }
        Who::Anonymous(id) => {
            row.set("device_id", Property::Text(id));
            id
        }
        Who::Nobody => "",
    };
    let name = if batch.kind == EventKind::Feature { settings.event_name.as_str() } else { event.key.as_ref() };
    row.set("event_type", Property::Text(name));
    row.set("time", Property::Number(event.creation_date.saturating_mul(1000)));
    row.set("insert_id", Property::Owned(event_id(&batch.id, index)));
    row.set("library", Property::Text(concat!("flagpost/", env!("CARGO_PKG_VERSION"))));
    let properties =
        serde_json::value::to_raw_value(&event.properties(batch.kind, settings.evaluation_context)).map_err(|why| why.to_string())?;
    row.set("event_properties", Property::Json(&properties));
    let json = serde_json::to_string(&row).map_err(|why| why.to_string())?;
    Ok(Row { index, who: who.to_owned(), json })
}
