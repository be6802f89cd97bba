//! `logFormat`: upstream's template over an event's fields.

use std::fmt::Write as _;

use flagpost_event::{Event, EventKind, FeatureEvent, Json, TrackingEvent};

use crate::ExportError;
use crate::template::Template;
use crate::time::Civil;

/// Upstream's default.
pub(super) const FEATURE_FORMAT: &str = r#"[{{ .FormattedDate}}] user="{{ .UserKey}}", flag="{{ .Key}}", value="{{ .Value}}""#;

/// Ours: upstream's default fails for tracking events, which have no value.
const TRACKING_FORMAT: &str = r#"[{{ .FormattedDate}}] user="{{ .UserKey}}", event="{{ .Key}}", details={{ .TrackingDetails}}"#;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    FormattedDate,
    Kind,
    ContextKind,
    UserKey,
    CreationDate,
    Key,
    Variation,
    Value,
    Default,
    Version,
    Source,
    Metadata,
    EvaluationContext,
    TrackingDetails,
}

/// The names of upstream's Go fields, and `FormattedDate`: the creation date as RFC 3339, in UTC (upstream: in the process's time zone).
const FIELDS: [(&str, Field); 14] = [
    ("FormattedDate", Field::FormattedDate),
    ("Kind", Field::Kind),
    ("ContextKind", Field::ContextKind),
    ("UserKey", Field::UserKey),
    ("CreationDate", Field::CreationDate),
    ("Key", Field::Key),
    ("Variation", Field::Variation),
    ("Value", Field::Value),
    ("Default", Field::Default),
    ("Version", Field::Version),
    ("Source", Field::Source),
    ("Metadata", Field::Metadata),
    ("EvaluationContext", Field::EvaluationContext),
    ("TrackingDetails", Field::TrackingDetails),
];

const FEATURE_ONLY: [Field; 6] = [Field::Variation, Field::Value, Field::Default, Field::Version, Field::Source, Field::Metadata];
const TRACKING_ONLY: [Field; 2] = [Field::EvaluationContext, Field::TrackingDetails];

/// How each kind of event is written; the error says what a kind lacks.
#[derive(Debug)]
pub(super) struct Format {
    feature: Result<Template<Field>, String>,
    tracking: Result<Template<Field>, String>,
}

impl Default for Format {
    fn default() -> Self {
        Format { feature: Template::parse(FEATURE_FORMAT, &FIELDS), tracking: Template::parse(TRACKING_FORMAT, &FIELDS) }
    }
}

impl Format {
    /// `logFormat`, or the defaults without one.
    pub(super) fn new(configured: Option<&str>) -> Result<Self, String> {
        let Some(text) = configured else { return Ok(Format::default()) };
        let template = Template::parse(text, &FIELDS)?;
        let without = |fields: &[Field], kind: EventKind| {
            let lacks =
                format!("`logFormat` names a field that {kind} events do not have: give it to exporters of the other `eventType` only");
            if template.has(fields) { Err(lacks) } else { Ok(template.clone()) }
        };
        if template.has(&FEATURE_ONLY) && template.has(&TRACKING_ONLY) {
            return Err("names fields of feature events and fields of tracking events: no event has both".to_owned());
        }
        Ok(Format { feature: without(&TRACKING_ONLY, EventKind::Feature), tracking: without(&FEATURE_ONLY, EventKind::Tracking) })
    }

    /// The message for one line.
    pub(super) fn render(&self, kind: EventKind, line: &[u8]) -> Result<String, ExportError> {
        let template = match kind {
            EventKind::Feature => &self.feature,
            EventKind::Tracking => &self.tracking,
        };
        let template = template.as_ref().map_err(ExportError::misconfigured)?;
        let event = Event::from_line(kind, line).map_err(|error| ExportError::rejected(error.to_string()))?;
        Ok(template.render(|field, out| match &event {
            Event::Feature(event) => feature(field, event, out),
            Event::Tracking(event) => tracking(field, event, out),
        }))
    }
}

fn feature(field: Field, event: &FeatureEvent<'_>, out: &mut String) {
    match field {
        Field::FormattedDate => out.push_str(&Civil::from_unix(event.creation_date).rfc3339()),
        Field::Kind => out.push_str(&event.kind),
        Field::ContextKind => out.push_str(&event.context_kind),
        Field::UserKey => out.push_str(&event.user_key),
        Field::CreationDate => out.push_str(&event.creation_date.to_string()),
        Field::Key => out.push_str(&event.key),
        Field::Variation => out.push_str(&event.variation),
        Field::Value => value(&event.value, out),
        Field::Default => out.push_str(if event.default { "true" } else { "false" }),
        Field::Version => out.push_str(&event.version),
        Field::Source => out.push_str(&event.source),
        Field::Metadata => out.push_str(event.metadata.as_ref().map_or("{}", Json::as_str)),
        // Refused when the format was made.
        Field::EvaluationContext | Field::TrackingDetails => {}
    }
}

fn tracking(field: Field, event: &TrackingEvent<'_>, out: &mut String) {
    match field {
        Field::FormattedDate => out.push_str(&Civil::from_unix(event.creation_date).rfc3339()),
        Field::Kind => out.push_str(&event.kind),
        Field::ContextKind => out.push_str(&event.context_kind),
        Field::UserKey => out.push_str(&event.user_key),
        Field::CreationDate => out.push_str(&event.creation_date.to_string()),
        Field::Key => out.push_str(&event.key),
        Field::EvaluationContext => out.push_str(event.evaluation_context.as_str()),
        Field::TrackingDetails => out.push_str(event.tracking_event_details.as_str()),
        // Refused when the format was made.
        Field::Variation | Field::Value | Field::Default | Field::Version | Field::Source | Field::Metadata => {}
    }
}

/// Scalars as Go's templates print them; arrays and objects as JSON, where Go prints `map[a:x]`.
fn value(value: &Json<'_>, out: &mut String) {
    match serde_json::from_str::<serde_json::Value>(value.as_str()) {
        Ok(serde_json::Value::Null) => out.push_str("<no value>"),
        Ok(serde_json::Value::String(text)) => out.push_str(&text),
        Ok(serde_json::Value::Number(_)) => go_float(value.as_str().parse().unwrap_or(f64::NAN), out),
        _ => out.push_str(value.as_str()),
    }
}

/// From this decimal exponent on, and below -4, Go's `%v` prints a float in exponent form.
const EXPONENT_FROM: i32 = 6;

/// Go's `%v` of a float64, which all of upstream's numbers are.
fn go_float(float: f64, out: &mut String) {
    let shortest = format!("{float:e}");
    let (digits, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..EXPONENT_FROM).contains(&exponent) {
        out.push_str(&float.to_string());
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        // Writing to a String cannot fail.
        write!(out, "{digits}e{sign}{:02}", exponent.abs()).ok();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const FEATURE: &str = r#"{"kind":"feature","contextKind":"user","userKey":"u<1","creationDate":1617970547,"key":"flag","variation":"A","value":V,"default":false,"version":"1","source":"SERVER","metadata":{"a":1}}"#;
    const TRACKING: &str =
        r#"{"kind":"tracking","userKey":"u","creationDate":0,"key":"buy","evaluationContext":null,"trackingEventDetails":{"n":1}}"#;

    fn feature(format: Option<&str>, value: &str) -> String {
        Format::new(format)
            .unwrap()
            .render(EventKind::Feature, FEATURE.replace("\"value\":V", &format!("\"value\":{value}")).as_bytes())
            .unwrap()
    }

    #[test]
    fn the_defaults_fit_both_kinds() {
        assert_eq!(feature(None, "\"YO\""), r#"[2021-04-09T12:15:47Z] user="u<1", flag="flag", value="YO""#);
        let tracking = Format::default().render(EventKind::Tracking, TRACKING.as_bytes()).unwrap();
        assert_eq!(tracking, r#"[1970-01-01T00:00:00Z] user="u", event="buy", details={"n":1}"#);
    }

    #[test]
    fn scalars_are_printed_as_go_prints_them() {
        let table = [
            ("true", "true"),
            ("null", "<no value>"),
            ("\"a\\nb\"", "a\nb"),
            ("1", "1"),
            ("100000", "100000"),
            ("999999.5", "999999.5"),
            ("1000000", "1e+06"),
            ("1234567", "1.234567e+06"),
            ("123456789.25", "1.2345678925e+08"),
            ("100000000000000000000", "1e+20"),
            ("1e+100", "1e+100"),
            ("0.000123", "0.000123"),
            ("0.00001", "1e-05"),
            ("-0.00001", "-1e-05"),
            ("0.1", "0.1"),
            ("1680246000", "1.680246e+09"),
            ("{\"a\":[1]}", "{\"a\":[1]}"),
        ];
        for (value, expected) in table {
            assert_eq!(feature(Some("{{ .Value}}"), value), expected, "{value}");
        }
    }

    #[test]
    fn every_field_has_its_place() {
        let format = "{{.Kind}}|{{.ContextKind}}|{{.UserKey}}|{{.CreationDate}}|{{.Key}}|{{.Variation}}|{{.Default}}|{{.Version}}|{{.Source}}|{{.Metadata}}";
        assert_eq!(feature(Some(format), "1"), "feature|user|u<1|1617970547|flag|A|false|1|SERVER|{\"a\":1}");
    }

    #[test]
    fn a_format_that_a_kind_cannot_fill_is_told() {
        let format = Format::new(Some("{{ .Value}}")).unwrap();
        let error = format.render(EventKind::Tracking, TRACKING.as_bytes()).unwrap_err();
        assert!(matches!(&error, ExportError::Misconfigured { reason } if reason.contains("tracking")), "{error}");
        assert!(Format::new(Some("{{ .Value}}{{ .TrackingDetails}}")).is_err());
        assert!(Format::new(Some("{{ .value}}")).is_err());
    }
}
