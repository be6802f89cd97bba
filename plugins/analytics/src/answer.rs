//! What a service said to one request.

use flagpost_sdk::Reply;

/// What became of a request's events. Places count from 0 within the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// They were taken, except those that are named and never will be.
    Taken(Vec<(usize, String)>),
    /// None was taken. The named never will be, the throttled not before `after_ms`; the others would be, if they came without those.
    Without {
        /// Never, and why.
        rejected: Vec<(usize, String)>,
        /// Not now.
        throttled: Vec<usize>,
        /// Milliseconds.
        after_ms: Option<u32>,
    },
    /// None was taken: the request is too large.
    TooLarge(String),
    /// None was taken, and the request never will be as it is; nobody knows which event is to blame.
    Refused(String),
    /// None was taken, for now.
    Later {
        /// What the service said.
        reason: String,
        /// Milliseconds.
        after_ms: Option<u32>,
    },
    /// Nobody knows what was taken.
    Unknown {
        /// What happened.
        reason: String,
        /// Milliseconds.
        after_ms: Option<u32>,
    },
    /// Nothing is taken until an operator changes something.
    Misconfigured(String),
}

/// What a status means where a service's documentation says nothing else.
pub fn by_status(reply: &Reply) -> Answer {
    let said = format!("HTTP {}: {}", reply.status, shortened(&reply.body));
    let after_ms = reply.retry_after_ms();
    match reply.status {
        200..=299 => Answer::Taken(Vec::new()),
        401 | 403 => Answer::Misconfigured(format!("{said}: are the credentials right?")),
        300..=399 | 404 | 405 | 410 => Answer::Misconfigured(format!("{said}: is `endpoint` right?")),
        413 => Answer::TooLarge(said),
        429 => Answer::Later { reason: said, after_ms },
        400..=499 if reply.status != 408 => Answer::Refused(said),
        _ => Answer::Unknown { reason: said, after_ms },
    }
}

/// The beginning of what a service said, for a reason that people read.
pub fn shortened(text: &str) -> &str {
    const ENOUGH: usize = 400;
    let text = text.trim();
    text.char_indices().nth(ENOUGH).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use flagpost_sdk::Reply;

    use super::{Answer, by_status};

    #[test]
    fn each_status_has_its_meaning() {
        let mut seen = Vec::new();
        for status in [200, 202, 301, 400, 401, 403, 404, 405, 408, 413, 422, 429, 500, 502, 503, 504] {
            let reply = Reply { status, headers: vec![("retry-after".to_owned(), "2".to_owned())], body: "x".to_owned() };
            seen.push((
                status,
                match by_status(&reply) {
                    Answer::Taken(named) if named.is_empty() => "taken",
                    Answer::Misconfigured(_) => "misconfigured",
                    Answer::TooLarge(_) => "too large",
                    Answer::Refused(_) => "refused",
                    Answer::Later { after_ms: Some(2000), .. } => "later",
                    Answer::Unknown { after_ms: Some(2000), .. } => "unknown",
                    other => panic!("{status}: {other:?}"),
                },
            ));
        }
        assert_eq!(
            seen,
            [
                (200, "taken"),
                (202, "taken"),
                (301, "misconfigured"),
                (400, "refused"),
                (401, "misconfigured"),
                (403, "misconfigured"),
                (404, "misconfigured"),
                (405, "misconfigured"),
                (408, "unknown"),
                (413, "too large"),
                (422, "refused"),
                (429, "later"),
                (500, "unknown"),
                (502, "unknown"),
                (503, "unknown"),
                (504, "unknown"),
            ]
        );
    }
}
