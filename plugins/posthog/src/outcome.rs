//! An answer of PostHog's.

use flagpost_analytics::{Answer, by_status, shortened};
use flagpost_sdk::Reply;
use serde::Deserialize;

/// The body of a 200.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Taken {
    /// What was dropped because the organisation is over its limit: `events`, `recordings`, …
    quota_limited: Vec<String>,
}

/// What became of the request's events.
pub fn of(reply: &Reply) -> Answer {
    match reply.status {
        200 => {
            let limited = serde_json::from_str::<Taken>(&reply.body).unwrap_or_default().quota_limited;
            if limited.iter().any(|kind| kind == "events") { over_limit(&reply.body) } else { Answer::Taken(Vec::new()) }
        }
        429 if reply.body.contains("billing limit") => over_limit(&reply.body),
        _ => by_status(reply),
    }
}

fn over_limit(said: &str) -> Answer {
    Answer::Misconfigured(format!("PostHog's billing limit is reached, raise it or wait for the next period: {}", shortened(said)))
}

#[cfg(test)]
mod tests {
    use flagpost_sdk::Reply;

    #[test]
    fn recorded_answers_mean_what_they_say() {
        for (status, body, meaning) in [
            (200, r#"{"status":1}"#, "Taken([])"),
            (200, r#"{"status":"Ok"}"#, "Taken([])"),
            (200, r#"{"status":1,"quota_limited":["recordings"]}"#, "Taken([])"),
            (200, r#"{"status":1,"quota_limited":["events"]}"#, "Misconfigured("),
            (429, "billing limit reached", "Misconfigured("),
            (429, "rate limited", "Later { reason: \"HTTP 429: rate limited\""),
            (400, "event submitted with an empty distinct_id", "Refused("),
            (400, "request holds no event", "Refused("),
            (400, "maximum event size exceeded", "Refused("),
            (401, "API key is not valid: personal_api_key", "Misconfigured("),
            (401, "event submitted without an api_key", "Misconfigured("),
            (413, "Request Entity Too Large", "TooLarge("),
            (503, "transient error, please retry", "Unknown {"),
        ] {
            let found = format!("{:?}", super::of(&Reply { status, headers: Vec::new(), body: body.to_owned() }));
            assert!(found.starts_with(meaning), "{status} {body}: {found}");
        }
    }
}
