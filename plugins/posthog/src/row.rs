//! An event as PostHog takes it.

use flagpost_analytics::{Event, Properties, Property, Row, Who, event_id, rfc3339};
use flagpost_sdk::{Batch, EventKind};

use crate::config::Settings;

/// The longest `distinct_id`, in characters: PostHog cuts what is longer, which would make two users one.
const LONGEST_ID: usize = 200;

/// The event, or why PostHog would refuse the whole request for it.
pub fn row(settings: &Settings, batch: &Batch, index: usize, event: &Event<'_>) -> Result<Row, String> {
    let (who, person) = match event.who() {
        Who::Known(user) => (user, settings.person_profiles),
        Who::Anonymous(id) => (id, false),
        Who::Nobody => return Err("it has no targeting key: PostHog refuses an empty distinct_id".to_owned()),
    };
    if who.chars().count() > LONGEST_ID {
        return Err(format!("its targeting key is longer than the {LONGEST_ID} characters of a distinct_id"));
    }
    let feature = batch.kind == EventKind::Feature;
    let name = if feature { "$feature_flag_called" } else { event.key.as_ref() };
    if name.is_empty() {
        return Err("it has no name: PostHog refuses an empty event".to_owned());
    }
    let mut properties = event.properties(batch.kind, settings.evaluation_context);
    if feature {
        properties.set("$feature_flag", Property::Text(&event.key));
        // What PostHog calls a response: a boolean flag's value, else the variant's name.
        let response = || match event.value.map(|value| value.get()) {
            Some("true") => Property::Bool(true),
            Some("false") => Property::Bool(false),
            _ => Property::Text(&event.variation),
        };
        properties.set("$feature_flag_response", response());
        properties.set(format!("$feature/{}", event.key), response());
    }
    properties.set("$lib", Property::Text("flagpost"));
    properties.set("$lib_version", Property::Text(env!("CARGO_PKG_VERSION")));
    // The address that PostHog sees is the relay's.
    properties.set("$geoip_disable", Property::Bool(true));
    if !person {
        properties.set("$process_person_profile", Property::Bool(false));
    }
    let properties = serde_json::value::to_raw_value(&properties).map_err(|why| why.to_string())?;
    let mut row = Properties::default();
    row.set("event", Property::Text(name));
    row.set("distinct_id", Property::Text(who));
    row.set("uuid", Property::Owned(event_id(&batch.id, index)));
    row.set("timestamp", Property::Owned(rfc3339(event.creation_date).ok_or("creationDate is no date with a year of four digits")?));
    row.set("properties", Property::Json(&properties));
    let json = serde_json::to_string(&row).map_err(|why| why.to_string())?;
    Ok(Row { index, who: who.to_owned(), json })
}
