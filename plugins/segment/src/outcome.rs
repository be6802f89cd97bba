//! An answer of Segment's, or of RudderStack's. Both take a request whole or not at all, and name no event.

use flagpost_analytics::{Answer, by_status};
use flagpost_sdk::Reply;

/// What became of the request's events. Segment answers 400 to JSON that it cannot read and to what is too large; RudderStack also to a request
/// with an event that it does not know, and 404 to a source that is switched off.
pub fn of(reply: &Reply) -> Answer {
    by_status(reply)
}

#[cfg(test)]
mod tests {
    use flagpost_analytics::Answer;
    use flagpost_sdk::Reply;

    #[test]
    fn recorded_answers_mean_what_they_say() {
        for (status, body, meaning) in [
            (200, r#"{"success":true}"#, "taken"),
            (200, "OK", "taken"),
            (400, r#"{"success":false,"message":"malformed JSON","code":"invalid_request"}"#, "refused"),
            (400, "Request neither has anonymousId nor userId", "refused"),
            (401, "Invalid Write Key", "misconfigured"),
            (401, "Failed to read writeKey from header", "misconfigured"),
            (404, "Source is disabled", "misconfigured"),
            (413, "Request size exceeds max limit", "too large"),
            (429, "Max Requests Limit reached", "later"),
            (500, "Failed to read body from request", "unknown"),
            (503, "", "unknown"),
        ] {
            let found = match super::of(&Reply { status, headers: Vec::new(), body: body.to_owned() }) {
                Answer::Taken(_) => "taken",
                Answer::Without { .. } => "without",
                Answer::TooLarge(_) => "too large",
                Answer::Refused(_) => "refused",
                Answer::Later { .. } => "later",
                Answer::Unknown { .. } => "unknown",
                Answer::Misconfigured(_) => "misconfigured",
            };
            assert_eq!(found, meaning, "{status} {body}");
        }
    }
}
