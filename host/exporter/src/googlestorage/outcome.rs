//! What replies mean for objects.

use crate::ExportError;
use crate::google::{Advice, Meaning, Verdict};

pub(super) const MISSING: &str = "create the bucket, or correct `bucket`";
pub(super) const RIGHTS: &str = "the rights storage.objects.create and storage.objects.get on the bucket (in roles/storage.objectUser; the second tells whose an object is)";

/// Objects are opaque to the store: what it refuses, except for its size, is never an event's fault. `what` was asked for something.
pub(super) fn failure(what: &str, verdict: Verdict) -> ExportError {
    placed(what, verdict).failure(MISSING, RIGHTS)
}

pub(super) fn placed(what: &str, verdict: Verdict) -> Verdict {
    let large = verdict.reason.starts_with("413");
    let meaning = match verdict.meaning {
        Meaning::Refused if !large => Meaning::Alarm(Advice::Service),
        meaning => meaning,
    };
    Verdict { meaning, reason: format!("{what}: {}", verdict.reason), ..verdict }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reqwest::header::{HeaderMap, HeaderValue};

    use super::*;
    use crate::google::judge_reply;

    /// Replies of Cloud Storage as they were recorded.
    #[test]
    fn replies_mean_what_they_say() {
        let json = |code: u16, reason: &str, message: &str| {
            format!(
                r#"{{"error":{{"code":{code},"message":"{message}","errors":[{{"message":"{message}","domain":"global","reason":"{reason}"}}]}}}}"#
            )
        };
        let told = |code: u16, body: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("retry-after", HeaderValue::from_static("2"));
            failure("bucket `b`", judge_reply(code, &headers, body.as_bytes()))
        };
        let misconfigured = [
            (401, json(401, "authError", "Invalid Credentials"), "check the credentials"),
            (403, json(403, "forbidden", "a@b does not have storage.objects.create access"), "storage.objects.create"),
            (403, json(403, "accountDisabled", "The project to be billed is associated with an absent billing account."), "billing"),
            (404, json(404, "notFound", "The specified bucket does not exist."), MISSING),
            (400, json(400, "invalid", "Invalid storage class"), "check `endpoint`"),
            (301, String::new(), "check `endpoint`"),
        ];
        for (code, body, expected) in misconfigured {
            let found = told(code, &body);
            assert!(matches!(&found, ExportError::Misconfigured { reason } if reason.contains(expected)), "{code}: {found:?}");
            assert!(found.to_string().starts_with(&format!("bucket `b`: {code}")), "{found}");
        }
        let retryable = [
            (408, String::new()),
            (410, String::new()),
            (429, json(429, "rateLimitExceeded", "The object exceeded the rate limit for object mutation operations")),
            (403, json(403, "userRateLimitExceeded", "x")),
            (500, json(500, "backendError", "We encountered an internal error. Please try again.")),
            (503, "Service Unavailable".to_owned()),
        ];
        for (code, body) in retryable {
            let found = told(code, &body);
            assert!(matches!(&found, ExportError::Retryable { after, .. } if *after == Some(Duration::from_secs(2))), "{code}: {found:?}");
        }
        assert!(matches!(told(413, ""), ExportError::Rejected { .. }));
    }
}
