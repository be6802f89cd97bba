//! What replies of Google Cloud mean here, as data.
//!
//! An error is one of: a status of the service's (gRPC, or JSON over HTTP with the same names), an HTTP code of something in front of it, or what the
//! library met before there was a reply. Libraries wrap one in another; the innermost says what it was.

use std::error::Error as _;
use std::time::Duration;

use google_cloud_gax::error::rpc::{Code, StatusDetails};
use google_cloud_gax::error::{CredentialsError, Error};

use crate::{ExportError, ProbeError};

/// What a reply says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// It passes: the same again.
    Passing,
    /// Nothing can be delivered until somebody does something. Never an event's fault.
    Alarm(Advice),
    /// What was sent in one request cannot be taken as it is.
    Refused,
    /// A condition that was sent along does not hold: the thing is there already.
    Exists,
}

/// What somebody must do. The kinds say it in words of their own where they know more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    /// Who we are is not believed, or could not be said.
    Credentials,
    /// Who we are may not do this.
    Rights,
    /// What is written to is not there.
    Missing,
    /// The address is not the service's, or the service is switched off.
    Service,
}

pub(super) const CREDENTIALS: Advice = Advice::Credentials;

impl Advice {
    /// In words; `missing` is what the kind says about a target that is not there, `rights` the rights that it needs.
    fn words(self, missing: &str, rights: &str) -> String {
        match self {
            Advice::Credentials => {
                "check the credentials (`credentialsFile`, GOOGLE_APPLICATION_CREDENTIALS, or the machine's account)".to_owned()
            }
            Advice::Rights => format!("give the account {rights}"),
            Advice::Missing => missing.to_owned(),
            Advice::Service => "check `endpoint`, the project's billing, and that the service is switched on in it".to_owned(),
        }
    }
}

use Advice::{Credentials, Missing, Rights, Service};
use Meaning::{Alarm, Exists, Passing, Refused};

/// gRPC's codes. One that is not here passes.
const CODES: &[(Meaning, &[Code])] = &[
    (
        Passing,
        &[
            Code::Ok,
            Code::Cancelled,
            Code::Unknown,
            Code::DeadlineExceeded,
            Code::ResourceExhausted,
            Code::Aborted,
            Code::Internal,
            Code::Unavailable,
            Code::DataLoss,
        ],
    ),
    (Alarm(Credentials), &[Code::Unauthenticated]),
    (Alarm(Rights), &[Code::PermissionDenied]),
    (Alarm(Missing), &[Code::NotFound]),
    // A key that was switched off, a topic that is being deleted, a project without billing.
    (Alarm(Service), &[Code::Unimplemented, Code::FailedPrecondition]),
    (Refused, &[Code::InvalidArgument, Code::OutOfRange]),
    (Exists, &[Code::AlreadyExists]),
];

/// HTTP's codes; they are asked first where there is one. One that is not here passes if it is 5xx, and is an alarm otherwise.
const STATUSES: &[(Meaning, &[u16])] = &[
    // 308: an upload that was interrupted. 409: two at the same time. 410: an upload whose session is over.
    (Passing, &[308, 408, 409, 410, 425, 429]),
    (Alarm(Credentials), &[401]),
    (Alarm(Rights), &[403, 407]),
    (Alarm(Missing), &[404]),
    (Alarm(Service), &[501]),
    (Refused, &[400, 411, 413, 414, 422]),
    (Exists, &[412]),
];

/// Reasons that Google gives with a 403 and that pass all the same.
const PASSING_REASONS: &[&str] =
    &["jobRateLimitExceeded", "quotaExceeded", "rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED"];

/// A wish to wait is followed up to this long; then the service is asked again.
const LONGEST_WISH: Duration = Duration::from_secs(600);

/// No reason is longer.
const LONGEST_REASON: usize = 600;

/// A reply that was no success, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) meaning: Meaning,
    /// What happened, in one line.
    pub(crate) reason: String,
    /// The service's own wish.
    pub(crate) after: Option<Duration>,
}

impl Verdict {
    /// It passes.
    pub(crate) fn passing(reason: impl Into<String>) -> Self {
        Verdict { meaning: Passing, reason: reason.into(), after: None }
    }

    /// Whether the client is to be made anew: its credentials may have been replaced.
    pub(crate) fn spent(&self) -> bool {
        matches!(self.meaning, Alarm(_))
    }

    /// What delivery is told when nothing was delivered. `missing` is what to do about a target that is not there, `rights` the rights that are
    /// needed.
    pub(crate) fn failure(self, missing: &str, rights: &str) -> ExportError {
        match self.meaning {
            Alarm(advice) => ExportError::misconfigured(format!("{}: {}", self.reason, advice.words(missing, rights))),
            Refused => ExportError::rejected(self.reason),
            Passing | Exists => ExportError::Retryable { reason: self.reason, after: self.after },
        }
    }
}

/// What a probe says of it.
pub(crate) fn probe_error(verdict: Verdict, missing: &str, rights: &str) -> ProbeError {
    let reason = match verdict.meaning {
        Alarm(advice) => format!("{}: {}", verdict.reason, advice.words(missing, rights)),
        Passing | Refused | Exists => verdict.reason,
    };
    ProbeError { reason }
}

/// Understands an error of the library's.
pub(crate) fn judge(error: &Error) -> Verdict {
    let error = innermost(error);
    let status = error.status();
    let http = error.http_status_code().filter(|code| !(200..300).contains(code));
    let mut meaning = match (http, status) {
        (Some(code), _) => of_http(code),
        (None, Some(status)) => of_code(status.code),
        (None, None) => of_library(error),
    };
    if meaning == Alarm(Rights) && reasons(error).iter().any(|reason| PASSING_REASONS.contains(&reason.as_str())) {
        meaning = Passing;
    }
    Verdict { meaning, reason: reason(error), after: after(error) }
}

/// Understands a reply over HTTP that was no success, and that no library has read.
#[cfg(any(feature = "bigquery", feature = "googlestorage"))]
pub(crate) fn judge_reply(code: u16, headers: &http::HeaderMap, body: &[u8]) -> Verdict {
    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct Reply {
        error: Said,
    }
    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct Said {
        message: String,
        errors: Vec<Item>,
    }
    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct Item {
        reason: String,
    }
    let said = serde_json::from_slice::<Reply>(body).map(|reply| reply.error).unwrap_or_default();
    let text = if said.message.is_empty() { String::from_utf8_lossy(body) } else { said.message.as_str().into() };
    let mut meaning = of_http(code);
    if meaning == Alarm(Rights) && said.errors.iter().any(|item| PASSING_REASONS.contains(&item.reason.as_str())) {
        meaning = Passing;
    }
    Verdict { meaning, reason: one_line(&format!("{code}: {text}")), after: wish(headers) }
}

/// Understands why there are no credentials.
#[cfg(any(feature = "bigquery", feature = "googlestorage"))]
pub(crate) fn judge_credentials(error: &CredentialsError) -> Verdict {
    Verdict { meaning: of_credentials(error), reason: one_line(&chain(error)), after: None }
}

fn of_credentials(error: &CredentialsError) -> Meaning {
    if error.is_transient() { Passing } else { Alarm(Credentials) }
}

fn of_code(code: Code) -> Meaning {
    CODES.iter().find(|(_, codes)| codes.contains(&code)).map_or(Passing, |(meaning, _)| *meaning)
}

fn of_http(code: u16) -> Meaning {
    let known = STATUSES.iter().find(|(_, codes)| codes.contains(&code)).map(|(meaning, _)| *meaning);
    known.unwrap_or(if code >= 500 { Passing } else { Alarm(Service) })
}

/// There was no reply.
fn of_library(error: &Error) -> Meaning {
    if error.is_authentication() {
        let credentials = error.source().and_then(|source| source.downcast_ref::<CredentialsError>());
        return credentials.map_or(Alarm(Credentials), of_credentials);
    }
    // The request could not be made at all: a name that cannot be.
    if error.is_binding() { Alarm(Missing) } else { Passing }
}

/// What the library wrapped: it says that it gave up, or that something went wrong on the way, around what the service said.
fn innermost(error: &Error) -> &Error {
    let wraps = error.status().is_none() && error.http_status_code().is_none() && !error.is_authentication();
    match error.source().and_then(|source| source.downcast_ref::<Error>()) {
        Some(inner) if wraps => innermost(inner),
        _ => error,
    }
}

/// In one line.
fn reason(error: &Error) -> String {
    let text = match (error.status(), error.http_status_code()) {
        // Cloud Storage gives no name.
        (Some(status), Some(code)) if status.code == Code::Unknown => format!("{code}: {}", status.message),
        (Some(status), Some(code)) => format!("{code} {}: {}", status.code, status.message),
        (Some(status), None) => format!("{}: {}", status.code, status.message),
        (None, Some(code)) => {
            let payload = error.http_payload().map(|payload| String::from_utf8_lossy(payload).into_owned());
            format!("{code}: {}", payload.unwrap_or_default())
        }
        (None, None) => chain(error),
    };
    one_line(&text)
}

/// An error and its causes, unless it tells of them itself.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// Text without line breaks, and not too long.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.len() > LONGEST_REASON {
        line.truncate((0..=LONGEST_REASON).rev().find(|&end| line.is_char_boundary(end)).unwrap_or(0));
        line.push('…');
    }
    line.trim_end_matches([':', ' ']).to_owned()
}

/// Words for machines that came along.
fn reasons(error: &Error) -> Vec<String> {
    let details = error.status().map(|status| status.details.as_slice()).unwrap_or_default();
    let of = |detail: &StatusDetails| match detail {
        StatusDetails::ErrorInfo(info) => Some(info.reason.clone()),
        _ => None,
    };
    details.iter().filter_map(of).collect()
}

/// `Retry-After` in seconds, or gRPC's word for the same.
fn after(error: &Error) -> Option<Duration> {
    if let Some(wish) = error.http_headers().and_then(wish) {
        return Some(wish);
    }
    let details = error.status().map(|status| status.details.as_slice()).unwrap_or_default();
    details.iter().find_map(|detail| match detail {
        StatusDetails::RetryInfo(info) => info.retry_delay.and_then(|delay| Duration::try_from(delay).ok()),
        _ => None,
    })
}

/// Google writes seconds.
fn wish(headers: &http::HeaderMap) -> Option<Duration> {
    let seconds = headers.get("retry-after")?.to_str().ok()?.trim().parse::<u64>().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_WISH))
}

#[cfg(test)]
mod tests;
