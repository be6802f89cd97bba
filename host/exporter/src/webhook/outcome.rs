//! A receiver's reply and what it means.

use std::time::{Duration, SystemTime};

use reqwest::StatusCode;

use crate::ExportError;

/// A receiver's wish to wait is followed up to this long; then it is asked again.
pub(crate) const LONGEST_WISH: Duration = Duration::from_secs(600);

/// What a reply other than a redirect means. `said`: the beginning of its body.
///
/// Only 2xx says that the events were taken: upstream counts 304 too, and loses what it was not.
pub(super) fn outcome(status: StatusCode, after: Option<Duration>, said: &str) -> Result<(), ExportError> {
    if status.is_success() {
        return Ok(());
    }
    let reason = match said {
        "" => format!("the receiver answered {status}"),
        said => format!("the receiver answered {status}: {said}"),
    };
    Err(match status.as_u16() {
        // Something in this very batch.
        400 | 413 | 422 => ExportError::rejected(reason),
        // Not now.
        408 | 425 | 429 | 500.. => ExportError::Retryable { reason, after },
        401 | 403 => ExportError::misconfigured(format!("{reason}: check the credentials in `headers` and `secret`")),
        // Not here, not this way.
        _ => ExportError::misconfigured(format!("{reason}: check `endpointUrl`")),
    })
}

/// `Retry-After`: seconds or a date.
pub(crate) fn retry_after(header: &str, now: SystemTime) -> Option<Duration> {
    let header = header.trim();
    let wish = match header.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(header).ok()?.duration_since(now).unwrap_or(Duration::ZERO),
    };
    Some(wish.min(LONGEST_WISH))
}

/// The beginning of a reply's body as one line that can be logged.
pub(crate) fn one_line(body: &[u8]) -> String {
    const LONGEST: usize = 200;
    let text = String::from_utf8_lossy(body);
    let mut line: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect();
    if text.trim().chars().nth(LONGEST).is_some() {
        line.push_str("...");
    }
    line
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn replies_mean_what_they_say() {
        let after = Some(Duration::from_secs(3));
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(outcome(StatusCode::from_u16(status).unwrap(), after, "x"), Ok(()));
        }
        for status in
            [100, 300, 304, 306, 400, 401, 403, 404, 405, 408, 410, 411, 413, 415, 418, 422, 425, 429, 451, 500, 501, 502, 503, 504, 599]
        {
            let error = outcome(StatusCode::from_u16(status).unwrap(), after, "why").unwrap_err();
            let fits = match status {
                400 | 413 | 422 => matches!(error, ExportError::Rejected { .. }),
                408 | 425 | 429 | 500.. => matches!(error, ExportError::Retryable { after: wish, .. } if wish == after),
                _ => matches!(error, ExportError::Misconfigured { .. }),
            };
            assert!(
                fits && error.to_string().contains(&format!("{status} ")) && error.to_string().contains(": why"),
                "{status}: {error:?}"
            );
        }
    }

    #[test]
    fn a_wish_is_seconds_or_a_date_within_bounds() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (header, expected) in [
            ("0", seconds(0)),
            (" 120 ", seconds(120)),
            ("86400", seconds(600)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", seconds(10)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", seconds(0)),
            ("Sat, 05 Nov 1994 08:49:37 GMT", seconds(0)),
            ("Sat, 06 Nov 2094 08:49:37 GMT", seconds(600)),
            ("soon", None),
            ("-1", None),
            ("1.5", None),
            ("", None),
        ] {
            assert_eq!(retry_after(header, now), expected, "{header}");
        }
    }

    #[test]
    fn what_was_said_fits_one_line() {
        assert_eq!(one_line(b" {\"a\":\n1}\xff "), "{\"a\": 1}\u{fffd}");
        assert_eq!(one_line(&[b'x'; 300]).len(), 203);
        assert_eq!(one_line(b""), "");
    }
}
