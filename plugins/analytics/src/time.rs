//! Times as these APIs write them.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Unix seconds as `2023-11-14T22:13:20Z`; none where the year has no four digits.
pub fn rfc3339(seconds: i64) -> Option<String> {
    OffsetDateTime::from_unix_timestamp(seconds).ok()?.format(&Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn seconds_become_a_date_or_nothing() {
        for (seconds, text) in [
            (1_700_000_000, Some("2023-11-14T22:13:20Z")),
            (0, Some("1970-01-01T00:00:00Z")),
            (-1, Some("1969-12-31T23:59:59Z")),
            (i64::MAX, None),
            (i64::MIN, None),
        ] {
            assert_eq!(rfc3339(seconds).as_deref(), text, "{seconds}");
        }
    }
}
