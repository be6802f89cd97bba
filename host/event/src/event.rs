//! The two events, as upstream exports them. How they are read and written: `line.rs`.

use std::borrow::Cow;

use crate::{EventKind, Json};

/// One flag evaluation. Fields in upstream's order.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureEvent<'a> {
    /// `feature`, or what the client sent; may be empty.
    pub kind: Cow<'a, str>,
    /// `user`, `anonymousUser`, or empty (then it is not printed).
    pub context_kind: Cow<'a, str>,
    /// The targeting key.
    pub user_key: Cow<'a, str>,
    /// Unix seconds.
    pub creation_date: i64,
    /// The flag.
    pub key: Cow<'a, str>,
    /// The variation's name; `SdkDefault` on errors and disabled flags.
    pub variation: Cow<'a, str>,
    /// The resolved value.
    pub value: Json<'a>,
    /// Whether the evaluation failed and the caller's default was used.
    pub default: bool,
    /// The flag's version; empty when it has none.
    pub version: Cow<'a, str>,
    /// `SERVER`, `PROVIDER_CACHE`, `INPROCESS`, ...
    pub source: Cow<'a, str>,
    /// The exporter metadata, an object. None and an empty object are not printed.
    pub metadata: Option<Json<'a>>,
}

/// One call of OpenFeature's `track`. Fields in upstream's order.
#[derive(Clone, Debug, PartialEq)]
pub struct TrackingEvent<'a> {
    /// `tracking`.
    pub kind: Cow<'a, str>,
    /// `user`, `anonymousUser`, or empty (then it is not printed).
    pub context_kind: Cow<'a, str>,
    /// The targeting key.
    pub user_key: Cow<'a, str>,
    /// Unix seconds.
    pub creation_date: i64,
    /// The event's name.
    pub key: Cow<'a, str>,
    /// An object or `null`.
    pub evaluation_context: Json<'a>,
    /// An object or `null`.
    pub tracking_event_details: Json<'a>,
}

/// Either event.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// A flag evaluation.
    Feature(FeatureEvent<'a>),
    /// A tracking event.
    Tracking(TrackingEvent<'a>),
}

impl<'a> From<FeatureEvent<'a>> for Event<'a> {
    fn from(event: FeatureEvent<'a>) -> Self {
        Event::Feature(event)
    }
}

impl<'a> From<TrackingEvent<'a>> for Event<'a> {
    fn from(event: TrackingEvent<'a>) -> Self {
        Event::Tracking(event)
    }
}

impl<'a> Event<'a> {
    /// Reads a canonical line of an event of `kind`.
    pub fn from_line(kind: EventKind, line: &'a [u8]) -> Result<Self, LineError> {
        match kind {
            EventKind::Feature => FeatureEvent::from_line(line).map(Event::Feature),
            EventKind::Tracking => TrackingEvent::from_line(line).map(Event::Tracking),
        }
    }

    /// The stream's kind this event belongs to, whatever its own `kind` field says.
    pub fn stream_kind(&self) -> EventKind {
        match self {
            Event::Feature(_) => EventKind::Feature,
            Event::Tracking(_) => EventKind::Tracking,
        }
    }

    /// Whose event it is, and of what: the user key, and the flag or the tracked event's name.
    pub fn into_keys(self) -> (Cow<'a, str>, Cow<'a, str>) {
        match self {
            Event::Feature(event) => (event.user_key, event.key),
            Event::Tracking(event) => (event.user_key, event.key),
        }
    }

    /// Appends the canonical line, newline included.
    pub fn write_line(&self, out: &mut Vec<u8>) {
        match self {
            Event::Feature(event) => event.write_line(out),
            Event::Tracking(event) => event.write_line(out),
        }
    }
}

/// A stored line is not an event of the expected kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a line of a {kind} event: {reason}")]
pub struct LineError {
    /// The expected kind.
    pub kind: EventKind,
    /// Where and what.
    pub reason: String,
}
