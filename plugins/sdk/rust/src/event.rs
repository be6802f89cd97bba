//! Events as JSON.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::Event;

/// The fields of an event that came as JSON text, each as exactly the text that stands there: numbers keep all of their digits.
pub fn fields(line: &str) -> Result<BTreeMap<&str, &RawValue>, crate::ExportError> {
    serde_json::from_str(line).map_err(|why| crate::rejected(format!("no event: {why}")))
}

/// A text as JSON: in quotes.
pub fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Unix seconds as `2023-11-14T22:13:20Z`. Years beyond 9999 and before 0 have more digits and a sign.
pub fn iso(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Howard Hinnant's civil_from_days: years begin in March, so that the leap day is the last.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

/// The event under GO Feature Flag's own field names, its values as values.
pub fn json(event: &Event) -> Value {
    match event {
        Event::Feature(e) => {
            let mut row = json!({
                "kind": e.kind, "contextKind": e.context_kind, "userKey": e.user_key, "creationDate": e.creation_date, "key": e.key,
                "variation": e.variation, "value": parsed(&e.value_json), "default": e.default, "version": e.version, "source": e.source,
            });
            if let Some(metadata) = &e.metadata_json {
                row["metadata"] = parsed(metadata);
            }
            row
        }
        Event::Tracking(e) => json!({
            "kind": e.kind, "contextKind": e.context_kind, "userKey": e.user_key, "creationDate": e.creation_date, "key": e.key,
            "evaluationContext": parsed(&e.evaluation_context_json), "trackingEventDetails": parsed(&e.tracking_event_details_json),
        }),
    }
}

/// JSON text from the host is always valid.
fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        let known = [
            (0, "1970-01-01T00:00:00Z"),
            (1_700_000_000, "2023-11-14T22:13:20Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ];
        for (seconds, expected) in known {
            assert_eq!(iso(seconds), expected);
        }
    }

    #[test]
    fn fields_keep_their_text() {
        let line = r#"{"value":1.50e400,"n":12345678901234567890123,"key":"a\u00e4"}"#;
        let fields = fields(line).unwrap_or_else(|why| panic!("{why:?}"));
        assert_eq!(fields["value"].get(), "1.50e400");
        assert_eq!(fields["n"].get(), "12345678901234567890123");
        assert_eq!(fields["key"].get(), r#""a\u00e4""#);
    }
}
