//! `logFormat`: upstream's template over an event's fields.

use flagpost_event::{Event, EventKind, Template, TemplateError, TemplateOptions, Zone};

/// Upstream's default.
pub(super) const FEATURE_FORMAT: &str = r#"[{{ .FormattedDate}}] user="{{ .UserKey}}", flag="{{ .Key}}", value="{{ .Value}}""#;

/// Ours: upstream's default fails for tracking events, which have no value.
const TRACKING_FORMAT: &str = r#"[{{ .FormattedDate}}] user="{{ .UserKey}}", event="{{ .Key}}", details={{ .TrackingDetails | json}}"#;

/// How the kinds of events that the exporter gets are written.
#[derive(Debug)]
pub(super) struct Format {
    templates: Vec<(EventKind, Template)>,
}

impl Format {
    /// `logFormat`, or the defaults without one, for events of `kinds`.
    pub(super) fn new(configured: Option<&str>, kinds: &[EventKind], zone: &Zone) -> Result<Self, TemplateError> {
        let configured = configured.filter(|text| !text.is_empty() && *text != FEATURE_FORMAT);
        let options = TemplateOptions { zone: zone.clone(), quote: false };
        let template = |kind| {
            let default = if kind == EventKind::Feature { FEATURE_FORMAT } else { TRACKING_FORMAT };
            Template::parse(configured.unwrap_or(default), kind, &options).map(|template| (kind, template))
        };
        Ok(Format { templates: kinds.iter().copied().map(template).collect::<Result<_, _>>()? })
    }

    /// The message for one line; the error says why there is none.
    pub(super) fn render(&self, kind: EventKind, line: &[u8]) -> Result<String, String> {
        let Some((_, template)) = self.templates.iter().find(|(known, _)| *known == kind) else {
            return Err(format!("the exporter has no `logFormat` for {kind} events"));
        };
        let event = Event::from_line(kind, line).map_err(|error| error.to_string())?;
        let mut message = String::new();
        template.render(&event, &mut message).map_err(|error| error.to_string())?;
        Ok(message)
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
        Format::new(format, &[EventKind::Feature], &Zone::utc())
            .unwrap()
            .render(EventKind::Feature, FEATURE.replace("\"value\":V", &format!("\"value\":{value}")).as_bytes())
            .unwrap()
    }

    #[test]
    fn the_defaults_fit_both_kinds() {
        assert_eq!(feature(None, "\"YO\""), r#"[2021-04-09T12:15:47Z] user="u<1", flag="flag", value="YO""#);
        for configured in [None, Some(""), Some(FEATURE_FORMAT)] {
            let format = Format::new(configured, &EventKind::ALL, &Zone::named("Asia/Tokyo").unwrap()).unwrap();
            let tracking = format.render(EventKind::Tracking, TRACKING.as_bytes()).unwrap();
            assert_eq!(tracking, r#"[1970-01-01T09:00:00+09:00] user="u", event="buy", details={"n":1}"#);
        }
    }

    #[test]
    fn values_are_printed_as_go_prints_them() {
        let table = [
            ("true", "true"),
            ("null", "<no value>"),
            ("\"a\\nb\"", "a\nb"),
            ("100000", "100000"),
            ("999999.5", "999999.5"),
            ("1234567", "1.234567e+06"),
            ("0.00001", "1e-05"),
            ("{\"a\":[1,null]}", "map[a:[1 <nil>]]"),
        ];
        for (value, expected) in table {
            assert_eq!(feature(Some("{{ .Value}}"), value), expected, "{value}");
        }
    }

    #[test]
    fn every_field_has_its_place() {
        let format = "{{.Kind}}|{{.ContextKind}}|{{.UserKey}}|{{.CreationDate}}|{{.Key}}|{{.Variation}}|{{.Default}}|{{.Version}}|{{.Source}}|{{.Metadata}}";
        assert_eq!(feature(Some(format), "1"), "feature|user|u<1|1617970547|flag|A|false|1|SERVER|map[a:1]");
    }

    #[test]
    fn a_format_that_a_kind_cannot_fill_is_told_at_start() {
        let new =
            |text: &str, kinds: &[EventKind]| Format::new(Some(text), kinds, &Zone::utc()).map(drop).map_err(|error| error.to_string());
        assert_eq!(new("{{ .Value}}", &[EventKind::Feature]), Ok(()));
        assert!(new("{{ .Value}}", &EventKind::ALL).unwrap_err().contains("column 4: tracking events have no field `.Value`"));
        assert!(new("{{ .TrackingDetails}}", &[EventKind::Feature]).is_err());
        assert!(new("{{ .value}}", &[EventKind::Feature]).is_err());
        assert_eq!(new("{{ if eq .Kind \"feature\" }}{{ .Value}}{{ else }}{{ .TrackingDetails}}{{ end }}", &EventKind::ALL), Ok(()));
    }
}
