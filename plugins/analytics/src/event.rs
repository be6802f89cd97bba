//! Events out of the batch's JSON. Values are not read: they go on as they are written, numbers of any size included.

use std::borrow::Cow;
use std::collections::BTreeMap;

use flagpost_sdk::{Batch, EventKind, ExportError, Payload, misconfigured, rejected};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{Properties, Property};

/// One event of either kind, under GO Feature Flag's own names.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event<'a> {
    /// `user`, `anonymousUser`, or empty.
    #[serde(borrow, default)]
    pub context_kind: Cow<'a, str>,
    /// The targeting key; may be empty.
    #[serde(borrow, default)]
    pub user_key: Cow<'a, str>,
    /// Unix seconds.
    #[serde(default)]
    pub creation_date: i64,
    /// The flag, or the tracking event's name.
    #[serde(borrow, default)]
    pub key: Cow<'a, str>,
    /// The variation's name.
    #[serde(borrow, default)]
    pub variation: Cow<'a, str>,
    /// The flag's value.
    #[serde(borrow, default)]
    pub value: Option<&'a RawValue>,
    /// Whether the caller's default was used because the evaluation failed.
    #[serde(default)]
    pub default: bool,
    #[serde(borrow, default)]
    version: Cow<'a, str>,
    #[serde(borrow, default)]
    source: Cow<'a, str>,
    #[serde(borrow, default)]
    metadata: Option<&'a RawValue>,
    #[serde(borrow, default)]
    evaluation_context: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tracking_event_details: Option<&'a RawValue>,
}

/// Whose event it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who<'a> {
    /// Somebody with a name: `userId`, `user_id`.
    Known(&'a str),
    /// Somebody without: `anonymousId`, `device_id`.
    Anonymous(&'a str),
    /// The event does not say.
    Nobody,
}

/// The events of a batch, in order.
pub fn read(batch: &Batch) -> Result<Vec<Event<'_>>, ExportError> {
    let Payload::JsonArray(text) = &batch.payload else { return Err(misconfigured("another encoding than the one asked for")) };
    serde_json::from_str(text).map_err(|why| rejected(format!("no batch of events: {why}")))
}

impl<'a> Event<'a> {
    /// Whose it is.
    pub fn who(&self) -> Who<'_> {
        match (self.user_key.as_ref(), self.context_kind.as_ref()) {
            ("", _) => Who::Nobody,
            (key, "anonymousUser") => Who::Anonymous(key),
            (key, _) => Who::Known(key),
        }
    }

    /// What an analyst may ask for, beside who and when. With `context`, a tracking event's evaluation context, too.
    pub fn properties(&'a self, kind: EventKind, context: bool) -> Properties<'a> {
        let mut properties = Properties::default();
        match kind {
            EventKind::Feature => {
                properties.set("flag_key", Property::Text(&self.key));
                properties.set("variation", Property::Text(&self.variation));
                properties.set("value", self.value.map_or(Property::Null, Property::Json));
                properties.set("default", Property::Bool(self.default));
                properties.set("version", Property::Text(&self.version));
                properties.set("source", Property::Text(&self.source));
                if let Some(metadata) = self.metadata {
                    properties.set("metadata", Property::Json(metadata));
                }
            }
            EventKind::Tracking => {
                if let Some(details) = self.tracking_event_details {
                    match serde_json::from_str::<BTreeMap<String, &RawValue>>(details.get()) {
                        Ok(members) => members.into_iter().for_each(|(name, value)| properties.set(name, Property::Json(value))),
                        Err(_) => properties.set("details", Property::Json(details)),
                    }
                }
                if let Some(known) = self.evaluation_context.filter(|_| context) {
                    properties.set("evaluation_context", Property::Json(known));
                }
            }
        }
        properties
    }
}

#[cfg(test)]
mod tests {
    use flagpost_sdk::EventKind;

    use super::{Event, Who};

    #[test]
    fn values_go_on_as_they_are_written() {
        let text = r#"{"kind":"feature","contextKind":"user","userKey":"a\"b","creationDate":1,"key":"f","variation":"v","value":{"n":1e400,"i":12345678901234567890123},"default":false,"version":"1","source":"SERVER"}"#;
        let event: Event<'_> = serde_json::from_str(text).unwrap();
        assert_eq!(event.who(), Who::Known("a\"b"));
        assert_eq!(
            serde_json::to_string(&event.properties(EventKind::Feature, true)).unwrap(),
            r#"{"flag_key":"f","variation":"v","value":{"n":1e400,"i":12345678901234567890123},"default":false,"version":"1","source":"SERVER"}"#
        );
    }

    #[test]
    fn details_are_properties_and_the_context_is_there_when_asked_for() {
        for (text, context, expected) in [
            (r#"{"evaluationContext":{"a":1},"trackingEventDetails":{"value":9.50,"x":null}}"#, false, r#"{"value":9.50,"x":null}"#),
            (r#"{"evaluationContext":{"a":1},"trackingEventDetails":null}"#, true, r#"{"evaluation_context":{"a":1}}"#),
            (r#"{"evaluationContext":null,"trackingEventDetails":[1]}"#, true, r#"{"details":[1]}"#),
        ] {
            let event: Event<'_> = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&event.properties(EventKind::Tracking, context)).unwrap(), expected);
        }
    }

    #[test]
    fn whose_an_event_is_depends_on_key_and_kind() {
        for (text, who) in [
            (r#"{"contextKind":"anonymousUser","userKey":"d"}"#, Who::Anonymous("d")),
            (r#"{"contextKind":"","userKey":"u"}"#, Who::Known("u")),
            (r#"{"contextKind":"anonymousUser","userKey":""}"#, Who::Nobody),
        ] {
            assert_eq!(serde_json::from_str::<Event<'_>>(text).unwrap().who(), who);
        }
    }
}
