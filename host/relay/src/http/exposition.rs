//! Which of Prometheus' two texts is asked for. They differ in little: OpenMetrics names a family of counters without `_total` and ends
//! with `# EOF`; in the older text the comment names the series, and without that a counter has no type.

use http::header::{self, HeaderMap};

/// Whether the client takes OpenMetrics; as Prometheus' own library, anything else gets the older text.
pub(crate) fn wants_open_metrics(asked: &HeaderMap) -> bool {
    let accepted = asked.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|one| {
        let mut parts = one.split(';').map(str::trim);
        parts.next() == Some("application/openmetrics-text") && !parts.any(|part| matches!(part, "q=0" | "q=0.0"))
    })
}

/// OpenMetrics as the older text.
pub(crate) fn plain(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len() + open_metrics.len() / 50);
    // The help of a family comes before its type, and only the type says how it is called.
    let mut help: Option<&str> = None;
    for line in open_metrics.lines() {
        if line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = Some(rest);
            continue;
        }
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let suffix = if kind == "counter" { "_total" } else { "" };
            let words = help.take().and_then(|help| help.split_once(' ')).map_or("", |(_, words)| words);
            text.push_str(&format!("# HELP {name}{suffix} {words}\n# TYPE {name}{suffix} {kind}\n"));
            continue;
        }
        text.push_str(line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn open_metrics_is_for_who_asks_for_it() {
        let cases = [
            (None, false),
            (Some("*/*"), false),
            (Some("text/plain"), false),
            (Some("application/openmetrics-text"), true),
            (Some("application/openmetrics-text; version=1.0.0; q=0.6,text/plain;version=0.0.4;q=0.5"), true),
            (Some("text/plain, application/openmetrics-text;q=0"), false),
        ];
        for (accept, expected) in cases {
            let headers = accept.map(|value| (header::ACCEPT, value.parse().unwrap())).into_iter().collect();
            assert_eq!(wants_open_metrics(&headers), expected, "{accept:?}");
        }
    }

    #[test]
    fn a_counters_type_belongs_to_its_series() {
        let open = "# HELP a Events of all kinds.\n# TYPE a counter\na_total{x=\"# TYPE\"} 1\n# HELP b B.\n# TYPE b gauge\n# UNIT b seconds\nb 2\n# EOF\n";
        let expected =
            "# HELP a_total Events of all kinds.\n# TYPE a_total counter\na_total{x=\"# TYPE\"} 1\n# HELP b B.\n# TYPE b gauge\nb 2\n";
        assert_eq!(plain(open), expected);
    }
}
