//! An event as a `track` call.

use flagpost_analytics::{Event, Limits, Properties, Property, Row, Who, event_id, rfc3339};
use flagpost_sdk::Batch;

use crate::config::Settings;

const HEAD: &str = concat!(r#"{"context":{"library":{"name":"flagpost","version":""#, env!("CARGO_PKG_VERSION"), r#""}},"batch":["#);
const TAIL: &str = "]}";

/// 500 KB and 2,500 events per request. Segment's own libraries stop at 480 KiB, since it does not say which KB are meant.
pub const LIMITS: Limits = Limits { events: 2500, bytes: 480 << 10, envelope: HEAD.len() + TAIL.len() };

/// 32 KB per event, as Segment's own libraries read it.
const LARGEST: usize = 32 << 10;

/// The event's call, or why Segment would drop it.
pub fn row(settings: &Settings, batch: &Batch, index: usize, event: &Event<'_>) -> Result<Row, String> {
    let feature = batch.kind == flagpost_sdk::EventKind::Feature;
    let mut call = Properties::default();
    call.set("type", Property::Text("track"));
    call.set("messageId", Property::Owned(event_id(&batch.id, index)));
    let who = match event.who() {
        Who::Known(user) => {
            call.set("userId", Property::Text(user));
            user
        }
        Who::Anonymous(id) => {
            call.set("anonymousId", Property::Text(id));
            id
        }
        Who::Nobody => return Err("it has no targeting key: Segment drops calls without userId and anonymousId".to_owned()),
    };
    let name = if feature { settings.event_name.as_str() } else { event.key.as_ref() };
    if name.is_empty() {
        return Err("it has no name: Segment drops track calls without one".to_owned());
    }
    call.set("event", Property::Text(name));
    call.set("timestamp", Property::Owned(rfc3339(event.creation_date).ok_or("creationDate is no date with a year of four digits")?));
    // The object's text goes in as it is.
    let properties =
        serde_json::value::to_raw_value(&event.properties(batch.kind, settings.evaluation_context)).map_err(|why| why.to_string())?;
    call.set("properties", Property::Json(&properties));
    let json = serde_json::to_string(&call).map_err(|why| why.to_string())?;
    if json.len() > LARGEST {
        return Err(format!("it is a call of {} bytes: Segment takes at most {LARGEST}", json.len()));
    }
    Ok(Row { index, who: who.to_owned(), json })
}

/// The request's body.
pub fn body(rows: &[Row]) -> String {
    flagpost_analytics::body(HEAD, rows, TAIL)
}
