//! What a collector's replies mean.
//!
//! OTLP says which codes may be tried again and lets clients drop everything else. Here nothing is dropped: what OTLP calls final is either
//! about these very spans (then the guilty are searched for) or about the way there (then somebody has to change something).

use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;
use reqwest::StatusCode;
use tonic::Code;

use crate::webhook::{LONGEST_WISH, one_line};
use crate::{ExportError, RejectedEvent};

/// What is said to whoever reaches no OTLP server.
const WRONG_PLACE: &str = "check `endpoint` and `protocol`: usually port 4317 is gRPC, 4318 is http/protobuf";

/// What refused credentials are answered with.
const CREDENTIALS: &str = "check the credentials in `headers` and `tls`";

/// A request of so many spans was taken, or a part of them.
pub(super) fn accepted(partial: Option<ExportTracePartialSuccess>, spans: usize) -> Result<(), ExportError> {
    let Some(ExportTracePartialSuccess { rejected_spans, error_message }) = partial else { return Ok(()) };
    let said = one_line(error_message.as_bytes());
    if rejected_spans <= 0 {
        if !said.is_empty() {
            tracing::warn!(said, "the collector took all spans and has something to say");
        }
        return Ok(());
    }
    let which = if spans > 1 { ", and does not say which" } else { "" };
    Err(ExportError::rejected(format!("the collector refused {rejected_spans} of {spans} spans{which}: {said}")))
}

/// A gRPC status other than ok. `after`: the server's RetryInfo.
pub(super) fn status(code: Code, said: &str, after: Option<Duration>) -> ExportError {
    let reason = match one_line(said.as_bytes()) {
        said if said.is_empty() => format!("the collector answered {code:?}"),
        said => format!("the collector answered {code:?}: {said}"),
    };
    match code {
        Code::Unauthenticated | Code::PermissionDenied => ExportError::misconfigured(format!("{reason}: {CREDENTIALS}")),
        Code::Unimplemented | Code::NotFound => ExportError::misconfigured(format!("{reason}: {WRONG_PLACE}")),
        Code::InvalidArgument => ExportError::rejected(reason),
        Code::ResourceExhausted | Code::OutOfRange if after.is_none() && is_too_large(said) => ExportError::rejected(reason),
        _ => {
            let after = after.filter(|after| !after.is_zero()).map(|after| after.min(LONGEST_WISH));
            ExportError::Retryable { reason, after }
        }
    }
}

/// What gRPC itself says of a message beyond the server's limit: the one exhausted resource that waiting does not bring back. Go's and C's,
/// Java's, Rust's words.
fn is_too_large(said: &str) -> bool {
    let said = said.to_ascii_lowercase();
    ["larger than max", "exceeds maximum", "message length too large"].iter().any(|words| said.contains(words))
}

/// An HTTP reply other than a success. `after`: Retry-After.
pub(super) fn reply(code: StatusCode, after: Option<Duration>, said: &str) -> ExportError {
    let reason = match said {
        "" => format!("the collector answered {code}"),
        said => format!("the collector answered {code}: {said}"),
    };
    match code.as_u16() {
        400 | 413 | 422 => ExportError::rejected(reason),
        408 | 425 | 429 | 500 | 502.. => ExportError::Retryable { reason, after },
        401 | 403 | 407 => ExportError::misconfigured(format!("{reason}: {CREDENTIALS}")),
        // Not here, not this way: redirects, 404, 405, 415, 501.
        _ => ExportError::misconfigured(format!("{reason}: {WRONG_PLACE}")),
    }
}

/// A success of somebody who does not speak OTLP: nothing says that spans were taken.
pub(super) fn foreign(code: StatusCode, kind: &str, said: &str) -> ExportError {
    ExportError::misconfigured(format!("{code} with a body of type `{kind}` is no answer of an OTLP server ({said}): {WRONG_PLACE}"))
}

/// A request failed after others had delivered `delivered` events; `unsent` are its own and those behind.
pub(super) fn stopped(error: ExportError, delivered: usize, unsent: Vec<u32>, rejected: Vec<RejectedEvent>) -> ExportError {
    if delivered == 0 {
        return error;
    }
    let after = match error {
        ExportError::Retryable { after, .. } => after,
        _ => None,
    };
    ExportError::Partial { retry: unsent, rejected, after }
}

/// Every request was taken.
pub(super) fn finished(delivered: usize, mut rejected: Vec<RejectedEvent>) -> Result<(), ExportError> {
    match rejected.len() {
        0 => Ok(()),
        // Nothing vouches for the destination: delivery asks others before it believes this.
        _ if delivered == 0 => Err(ExportError::rejected(rejected.swap_remove(0).reason)),
        _ => Err(ExportError::Partial { retry: Vec::new(), rejected, after: None }),
    }
}
