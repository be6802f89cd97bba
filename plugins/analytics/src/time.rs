//! Times as these APIs write them.

/// Unix seconds as `2023-11-14T22:13:20Z`; none where the year has not four digits.
pub fn rfc3339(seconds: i64) -> Option<String> {
    const YEARS: std::ops::Range<i64> = -62_167_219_200..253_402_300_800;
    YEARS.contains(&seconds).then(|| flagpost_sdk::iso(seconds))
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
            (-62_167_219_200, Some("0000-01-01T00:00:00Z")),
            (-62_167_219_201, None),
            (253_402_300_799, Some("9999-12-31T23:59:59Z")),
            (253_402_300_800, None),
            (i64::MAX, None),
            (i64::MIN, None),
        ] {
            assert_eq!(rfc3339(seconds).as_deref(), text, "{seconds}");
        }
    }
}
