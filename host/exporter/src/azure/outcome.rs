//! What the blob service's answers mean, as data.
//!
//! Its error code decides, which stands in a header; where it says nothing known, the status does. Blobs are opaque to the service: what it refuses,
//! except for its size, is never an event's fault.

use std::time::SystemTime;

use azure_core::Error;
use azure_core::error::ErrorKind;
use azure_core::http::RawResponse;
use azure_core::http::headers::HeaderName;

use crate::ExportError;
use crate::webhook::{one_line, retry_after};

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It passes: the same again.
    Passing,
    /// Nothing can be delivered until somebody does what is said here.
    Alarm(&'static str),
    /// A blob of that name exists, and nothing was written.
    Exists,
    /// Too large.
    Refused,
}

use Meaning::{Alarm, Exists, Passing, Refused};

const CREDENTIALS: &str =
    "check `accountKey` or `sasUrl` (it may have expired), or the identity that the environment gives, and this machine's clock";
const RIGHTS: &str = "give this key, signature or identity the right to write blobs here (role \"Storage Blob Data Contributor\"; signature: create, write, read)";
const KEYS: &str = "check this exporter's keys, and what the container allows";

/// Codes and what they mean.
const CODES: &[(Meaning, &[&str])] = &[
    // The last: what a signature without the right to write over blobs is told.
    (Exists, &["BlobAlreadyExists", "ConditionNotMet", "TargetConditionNotMet", "UnauthorizedBlobOverwrite"]),
    (Alarm("create the container, or correct `container`"), &["ContainerNotFound", "ContainerDisabled", "ResourceNotFound"]),
    (
        Alarm(CREDENTIALS),
        &[
            "AuthenticationFailed",
            "InvalidAuthenticationInfo",
            "NoAuthenticationInformation",
            "AuthorizationFailure",
            "CannotVerifyCopySource",
        ],
    ),
    (
        Alarm(RIGHTS),
        &[
            "AuthorizationPermissionMismatch",
            "AuthorizationProtocolMismatch",
            "AuthorizationResourceTypeMismatch",
            "AuthorizationServiceMismatch",
            "AuthorizationSourceIPMismatch",
            "InsufficientAccountPermissions",
            "KeyBasedAuthenticationNotPermitted",
            "PublicAccessNotPermitted",
        ],
    ),
    (Alarm("see to the storage account"), &["AccountIsDisabled", "AccountBeingCreated"]),
    (Alarm("correct `container`, `path` and `filename`"), &["InvalidResourceName", "InvalidUri", "OutOfRangeInput"]),
    (
        Passing,
        &[
            "ContainerBeingDeleted",
            "InternalError",
            "InvalidBlockList",
            "Md5Mismatch",
            "MemoryExtentStoreAtSizeLimit",
            "OperationTimedOut",
            "ServerBusy",
        ],
    ),
    (Refused, &["BlockCountExceedsLimit", "ContentLengthLargerThanLimit", "RequestBodyTooLarge"]),
];

fn meaning(code: Option<&str>, status: u16) -> Meaning {
    let known = CODES.iter().find(|(_, codes)| code.is_some_and(|code| codes.contains(&code)));
    match (known, status) {
        (Some((meaning, _)), _) => *meaning,
        (None, 412) => Exists,
        (None, 413) => Refused,
        (None, 408 | 409 | 429 | 500 | 502..) => Passing,
        (None, 401) => Alarm(CREDENTIALS),
        (None, 403) => Alarm(RIGHTS),
        (None, 404 | 405 | 300..=399) => Alarm("check `endpoint` and `container`"),
        (None, _) => Alarm(KEYS),
    }
}

/// An answer's code and status; `None`: there was no answer.
pub(super) fn facts(error: &Error) -> Option<(Option<&str>, u16)> {
    match error.kind() {
        ErrorKind::HttpResponse { status, error_code, .. } => Some((error_code.as_deref(), u16::from(*status))),
        _ => None,
    }
}

/// Whether a conditional write found something.
pub(super) fn exists(error: &Error) -> bool {
    facts(error).is_some_and(|(code, status)| meaning(code, status) == Exists)
}

/// What an error means for a batch; `what` was asked for something.
pub(super) fn outcome(what: &str, error: &Error, now: SystemTime) -> ExportError {
    let ErrorKind::HttpResponse { raw_response, .. } = error.kind() else {
        let reason = format!("{what}: {}", chain(error));
        return match error.kind() {
            ErrorKind::Credential => ExportError::misconfigured(format!("{reason}: {CREDENTIALS}")),
            _ => ExportError::retryable(reason),
        };
    };
    let (code, status) = facts(error).unwrap_or_default();
    let mut reason = format!("{what}: HTTP {status}");
    let said = raw_response.as_deref().map(message).unwrap_or_default();
    for part in [code.unwrap_or_default(), &said].into_iter().filter(|part| !part.is_empty()) {
        reason.push_str(": ");
        reason.push_str(part);
    }
    match meaning(code, status) {
        Passing => {
            let after =
                raw_response.as_deref().and_then(|answer| answer.headers().get_optional_str(&HeaderName::from_static("retry-after")));
            ExportError::Retryable { reason, after: after.and_then(|wish| retry_after(wish, now)) }
        }
        // What no conditional write was answered with.
        Exists => ExportError::retryable(reason),
        Alarm(advice) => ExportError::misconfigured(format!("{reason}: {advice}")),
        Refused => ExportError::rejected(reason),
    }
}

/// The first line of what the service says.
fn message(answer: &RawResponse) -> String {
    let body = String::from_utf8_lossy(answer.body().as_ref()).into_owned();
    let said = body.split_once("<Message>").and_then(|(_, rest)| rest.split_once("</Message>")).map_or("", |(said, _)| said);
    one_line(said.lines().next().unwrap_or_default().as_bytes())
}

/// An error and its causes in one line, without the URL, which may hold a signature.
fn chain(error: &Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let text = match error.downcast_ref::<reqwest::Error>() {
            Some(error) if error.is_timeout() => "timed out".to_owned(),
            Some(error) if error.is_connect() => "cannot connect".to_owned(),
            Some(_) => "the request failed".to_owned(),
            None => error.to_string(),
        };
        if !text.contains("://") && parts.last().is_none_or(|last| !last.contains(&text)) {
            parts.push(text);
        }
        cause = error.source();
    }
    one_line(parts.join(": ").as_bytes())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use azure_core::http::StatusCode;
    use azure_core::http::headers::Headers;

    use super::*;

    fn said(status: u16, code: &str, message: &str, headers: &[(&'static str, &'static str)]) -> Error {
        let mut all = Headers::new();
        headers.iter().for_each(|(name, value)| all.insert(*name, *value));
        let body = format!(
            "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>{message}\nRequestId:1</Message></Error>"
        );
        let status = StatusCode::from(status);
        let raw_response = Some(Box::new(RawResponse::from_bytes(status, all, body.into_bytes())));
        let error_code = (!code.is_empty()).then(|| code.to_owned());
        Error::with_message(ErrorKind::HttpResponse { status, error_code, raw_response }, "failed")
    }

    #[test]
    fn answers_mean_what_they_say() {
        let table = [
            (503, "ServerBusy", "The server is currently unable to receive requests.", "retry", ""),
            (429, "", "", "retry", ""),
            (500, "InternalError", "", "retry", ""),
            (500, "OperationTimedOut", "", "retry", ""),
            (502, "", "", "retry", ""),
            (409, "ContainerBeingDeleted", "", "retry", ""),
            (409, "MemoryExtentStoreAtSizeLimit", "", "retry", ""),
            (400, "InvalidBlockList", "", "retry", ""),
            (403, "AuthenticationFailed", "Server failed to authenticate the request.", "alarm", "`accountKey`"),
            (403, "AuthorizationFailure", "", "alarm", "`accountKey`"),
            (401, "InvalidAuthenticationInfo", "Lifetime validation failed. The token is expired.", "alarm", "expired"),
            (403, "AuthorizationPermissionMismatch", "", "alarm", "Storage Blob Data Contributor"),
            (403, "", "", "alarm", "Storage Blob Data Contributor"),
            (404, "ContainerNotFound", "The specified container does not exist.", "alarm", "create the container"),
            (404, "", "", "alarm", "`endpoint`"),
            (400, "InvalidResourceName", "", "alarm", "`container`"),
            (400, "InvalidHeaderValue", "", "alarm", "this exporter's keys"),
            (501, "", "", "alarm", "this exporter's keys"),
            (413, "RequestBodyTooLarge", "", "rejected", ""),
            (413, "", "", "rejected", ""),
        ];
        for (status, code, message, expected, advice) in table {
            let error = outcome("container `c`", &said(status, code, message, &[]), SystemTime::UNIX_EPOCH);
            let found = match &error {
                ExportError::Retryable { .. } => "retry",
                ExportError::Misconfigured { .. } => "alarm",
                ExportError::Rejected { .. } => "rejected",
                _ => "?",
            };
            assert_eq!(found, expected, "{status} {code}: {error}");
            let text = error.to_string();
            assert!(text.contains("container `c`") && text.contains(code) && text.contains(message) && text.contains(advice), "{text}");
            assert!(!text.contains("RequestId"), "{text}");
        }
    }

    #[test]
    fn a_blob_that_is_there_is_no_failure() {
        for (status, code) in [(409, "BlobAlreadyExists"), (412, "ConditionNotMet"), (412, ""), (403, "UnauthorizedBlobOverwrite")] {
            assert!(exists(&said(status, code, "", &[])), "{code}");
        }
        assert!(!exists(&said(409, "ContainerBeingDeleted", "", &[])) && !exists(&Error::with_message(ErrorKind::Io, "x")));
    }

    #[test]
    fn a_wish_to_wait_is_heard() {
        let error = outcome("c", &said(503, "ServerBusy", "", &[("retry-after", "3")]), SystemTime::UNIX_EPOCH);
        assert!(matches!(error, ExportError::Retryable { after: Some(after), .. } if after.as_secs() == 3), "{error:?}");
    }

    #[test]
    fn what_never_was_answered_says_nothing_secret() {
        let inner = std::io::Error::other("GET https://h/c?sig=hunter2 failed");
        let error = outcome("c", &Error::with_error(ErrorKind::Io, inner, "no answer"), SystemTime::UNIX_EPOCH);
        assert!(matches!(error, ExportError::Retryable { .. }) && !error.to_string().contains("hunter2"), "{error}");
        let error = outcome("c", &Error::with_message(ErrorKind::Credential, "no token"), SystemTime::UNIX_EPOCH);
        assert!(matches!(error, ExportError::Misconfigured { .. }) && error.to_string().contains("no token"), "{error}");
    }
}
