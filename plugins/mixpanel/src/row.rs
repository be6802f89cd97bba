//! An event as Mixpanel takes it.

use flagpost_analytics::{Event, Properties, Property, Row, Who, event_id};
use flagpost_sdk::{Batch, EventKind};

use crate::config::Settings;

/// The event. What is wrong with it Mixpanel names. Both of its ways to know users are served: `distinct_id` for projects with the original one,
/// `$user_id` and `$device_id` for the simplified one, whose `distinct_id` of a device begins with `$device:`.
pub fn row(settings: &Settings, batch: &Batch, index: usize, event: &Event<'_>) -> Result<Row, String> {
    let mut properties = event.properties(batch.kind, settings.evaluation_context);
    properties.set("time", Property::Number(event.creation_date));
    let who = match event.who() {
        Who::Known(user) => {
            properties.set("distinct_id", Property::Text(user));
            properties.set("$user_id", Property::Text(user));
            user
        }
        Who::Anonymous(id) => {
            properties.set("distinct_id", Property::Owned(format!("$device:{id}")));
            properties.set("$device_id", Property::Text(id));
            id
        }
        // Without it Mixpanel would make a user of the relay's address.
        Who::Nobody => {
            properties.set("distinct_id", Property::Text(""));
            ""
        }
    };
    properties.set("$insert_id", Property::Owned(event_id(&batch.id, index)));
    properties.set("mp_lib", Property::Text("flagpost"));
    let properties = serde_json::value::to_raw_value(&properties).map_err(|why| why.to_string())?;
    let name = if batch.kind == EventKind::Feature { settings.event_name.as_str() } else { event.key.as_ref() };
    let mut row = Properties::default();
    row.set("event", Property::Text(name));
    row.set("properties", Property::Json(&properties));
    let json = serde_json::to_string(&row).map_err(|why| why.to_string())?;
    Ok(Row { index, who: who.to_owned(), json })
}
