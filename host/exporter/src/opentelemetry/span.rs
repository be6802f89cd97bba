//! From an event to a span: upstream's names, attributes and status.
//!
//! Upstream passes over tracking events in silence. Here they are spans, too, with a name and attributes of their own, so that no dashboard
//! takes one for an evaluation.

use std::time::{SystemTime, UNIX_EPOCH};

use flagpost_event::{Event, EventKind, FeatureEvent, Json, LineError, TrackingEvent};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};

/// A span of an event's line. `ids`: its trace's and its own.
pub(super) fn span(kind: EventKind, line: &[u8], ids: ([u8; 16], [u8; 8]), now: SystemTime) -> Result<Span, LineError> {
    let event = Event::from_line(kind, line)?;
    let (name, created, attributes, status) = match &event {
        Event::Feature(event) => ("feature_flag.evaluate", event.creation_date, evaluation(event), status(event.default)),
        Event::Tracking(event) => ("feature_flag.track", event.creation_date, tracking(event), status(false)),
    };
    let start = u64::try_from(created).unwrap_or(0).saturating_mul(1_000_000_000);
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX));
    Ok(Span {
        trace_id: ids.0.to_vec(),
        span_id: ids.1.to_vec(),
        name: name.to_owned(),
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: start,
        // A client's clock may be ahead; no span ends before it starts.
        end_time_unix_nano: now.max(start),
        attributes,
        status: Some(status),
        ..Span::default()
    })
}

/// Upstream's rule: a default value is an error. The text of a good status is dropped by its SDK.
fn status(default: bool) -> Status {
    match default {
        true => Status { code: StatusCode::Error.into(), message: "default value used".to_owned() },
        false => Status { code: StatusCode::Ok.into(), message: String::new() },
    }
}

fn evaluation(event: &FeatureEvent<'_>) -> Vec<KeyValue> {
    let mut all = vec![
        text("feature_flag.key", &event.key),
        text("feature_flag.user_key", &event.user_key),
        text("feature_flag.context_kind", &event.context_kind),
        text("feature_flag.variation", &event.variation),
        attribute("feature_flag.default".to_owned(), Value::BoolValue(event.default)),
        text("feature_flag.version", &event.version),
        text("feature_flag.source", &event.source),
    ];
    if event.value.as_str() != "null" {
        all.push(text("feature_flag.value", event.value.as_str()));
    }
    if let Some(metadata) = &event.metadata {
        members("feature_flag.metadata.", metadata, &mut all);
    }
    all
}

fn tracking(event: &TrackingEvent<'_>) -> Vec<KeyValue> {
    let mut all = vec![
        text("feature_flag.tracking.key", &event.key),
        text("feature_flag.tracking.user_key", &event.user_key),
        text("feature_flag.tracking.context_kind", &event.context_kind),
    ];
    members("feature_flag.tracking.context.", &event.evaluation_context, &mut all);
    members("feature_flag.tracking.details.", &event.tracking_event_details, &mut all);
    all
}

/// An attribute for each member of an object; none for anything else.
fn members(prefix: &str, object: &Json<'_>, all: &mut Vec<KeyValue>) {
    // Canonical text is sound JSON.
    let Ok(serde_json::Value::Object(members)) = serde_json::from_str(object.as_str()) else { return };
    all.extend(members.into_iter().map(|(key, value)| attribute(format!("{prefix}{key}"), typed(value))));
}

/// Truth values, numbers and texts stay what they are; of everything else, upstream's: what Go prints.
fn typed(value: serde_json::Value) -> Value {
    match value {
        serde_json::Value::Bool(value) => Value::BoolValue(value),
        serde_json::Value::String(text) => Value::StringValue(text),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Value::IntValue(whole),
            (None, Some(float)) => Value::DoubleValue(float),
            (None, None) => Value::StringValue(number.to_string()),
        },
        other => Value::StringValue(Json::from(other).go_text()),
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key.to_owned(), Value::StringValue(value.to_owned()))
}

pub(super) fn attribute(key: String, value: Value) -> KeyValue {
    KeyValue { key, value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
