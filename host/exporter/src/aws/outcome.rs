//! What an answer of the services means, as data, and what became of a batch of messages.
//!
//! An error's code decides; where it says nothing known, the HTTP status does. Codes come in the body, in a form that belongs to the service's
//! protocol, and some (of gateways, of emulators, of the authorisation in front of a JSON service) come as XML all the same: so the body is
//! looked into a second time. An error without an answer is the line's or the credentials'.

use std::error::Error;
use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use flagpost_event::Clock;

use crate::webhook::{one_line, retry_after};
use crate::{ExportError, RejectedEvent};

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// It passes: the same again.
    Passing,
    /// Nothing can be delivered until somebody does what is said here. Never an event's fault.
    Alarm(&'static str),
    /// What was sent cannot be taken as it is: somewhere in it is a guilty event.
    Refused,
}

use Meaning::{Alarm, Passing, Refused};

/// Codes and what they mean.
pub(crate) type Table = &'static [(Meaning, &'static [&'static str])];

const CREDENTIALS: &str = "check the credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or this machine's role)";
const NONE: &str = "no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or give this machine a role";
const EXPIRED: &str = "the credentials have expired: renew AWS_SESSION_TOKEN, or use a role that renews them itself";
const CLOCK: &str = "set this machine's clock";
const RIGHTS: &str = "give these credentials (or `assumeRole`) the right to do this, also on the key that encrypts";
const KEY: &str = "see to the KMS key that encrypts";
const REGION: &str = "set `region`, or AWS_REGION in the environment";
const ACCOUNT: &str = "see to the account: the service is not open to it";
const PLACE: &str = "check `endpoint` and `region`";

/// Codes that mean the same in every service.
const COMMON: Table = &[
    (
        Passing,
        &[
            "BandwidthLimitExceeded",
            "EC2ThrottledException",
            "InternalError",
            "InternalFailure",
            "InternalFailureException",
            "InternalServerError",
            "InternalServerException",
            "KMSThrottlingException",
            "KmsThrottled",
            "LimitExceededException",
            "OverLimit",
            "PriorRequestNotComplete",
            "ProvisionedThroughputExceededException",
            "RequestLimitExceeded",
            "RequestThrottled",
            "RequestThrottledException",
            "RequestTimeout",
            "RequestTimeoutException",
            "ServiceFailure",
            "ServiceUnavailable",
            "ServiceUnavailableException",
            "SlowDown",
            "ThrottledException",
            "Throttling",
            "ThrottlingException",
            "TooManyRequestsException",
            "TransactionInProgressException",
        ],
    ),
    (
        Alarm(CREDENTIALS),
        &[
            "AuthFailure",
            "IncompleteSignature",
            "IncompleteSignatureException",
            "InvalidAccessKeyId",
            "InvalidClientTokenId",
            "InvalidSecurity",
            "InvalidSecurityException",
            "InvalidSignatureException",
            "InvalidToken",
            "MissingAuthenticationToken",
            "MissingAuthenticationTokenException",
            "SignatureDoesNotMatch",
            "UnrecognizedClient",
            "UnrecognizedClientException",
        ],
    ),
    (Alarm(EXPIRED), &["ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"]),
    (Alarm(CLOCK), &["RequestExpired", "RequestInTheFuture", "RequestTimeTooSkewed"]),
    (
        Alarm(RIGHTS),
        &[
            "AccessDenied",
            "AccessDeniedException",
            "Forbidden",
            "KMSAccessDeniedException",
            "KmsAccessDenied",
            "NotAuthorized",
            "UnauthorizedOperation",
        ],
    ),
    (
        Alarm(KEY),
        &[
            "KMSDisabledException",
            "KMSInvalidStateException",
            "KMSNotFoundException",
            "KMSOptInRequired",
            "KmsDisabled",
            "KmsInvalidKeyUsage",
            "KmsInvalidState",
            "KmsNotFound",
            "KmsOptInRequired",
        ],
    ),
    (Alarm(ACCOUNT), &["AccountProblem", "AllAccessDisabled", "OptInRequired", "SubscriptionRequiredException"]),
];

/// What a code means, in the kind's own table first; then what the status means.
pub(crate) fn meaning(code: Option<&str>, status: Option<u16>, message: &str, own: Table) -> Meaning {
    // SQS' older protocol has its codes with this in front.
    let code = code.map(|code| code.strip_prefix("AWS.SimpleQueueService.").unwrap_or(code));
    let known = own.iter().chain(COMMON).find(|(_, codes)| code.is_some_and(|code| codes.contains(&code)));
    let known = known.map(|(meaning, _)| *meaning);
    // The JSON services have no code of their own for a clock that is wrong.
    let skewed = ["Signature expired", "Signature not yet current"].iter().any(|text| message.contains(text));
    match (known, status) {
        (Some(Alarm(CREDENTIALS)), _) if skewed => Alarm(CLOCK),
        (Some(meaning), _) => meaning,
        (None, None | Some(408 | 425 | 429 | 500..)) => Passing,
        (None, Some(401 | 403)) if code.is_none() => Alarm(CREDENTIALS),
        (None, Some(401 | 403)) => Alarm(RIGHTS),
        (None, Some(400 | 413 | 422)) => Refused,
        (None, Some(_)) => Alarm(PLACE),
    }
}

/// A call that failed as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) meaning: Meaning,
    /// What happened, in one line.
    pub(crate) reason: String,
    /// The service's own wish.
    pub(crate) after: Option<Duration>,
}

impl Failure {
    pub(crate) fn new(meaning: Meaning, reason: impl Into<String>) -> Self {
        Failure { meaning, reason: reason.into(), after: None }
    }

    /// What an error of the SDK's means. `what` was asked for something: "queue `q`"; `own`: what codes mean to this kind.
    pub(crate) fn of<E>(what: &str, error: &SdkError<E, HttpResponse>, own: Table, clock: &dyn Clock) -> Self
    where
        E: Error + ProvideErrorMetadata + 'static,
    {
        let Some(answer) = error.raw_response() else {
            let (meaning, said) = without_answer(error);
            return Failure::new(meaning, format!("{what}: {said}"));
        };
        let status = answer.status().as_u16();
        let body = answer.body().bytes().unwrap_or_default();
        let body = String::from_utf8_lossy(body);
        let metadata = error.as_service_error().map(ProvideErrorMetadata::meta);
        let code = metadata.and_then(|metadata| metadata.code()).or_else(|| element(&body, "Code"));
        let said = metadata.and_then(|metadata| metadata.message()).or_else(|| element(&body, "Message")).unwrap_or_default();
        let meaning = meaning(code, Some(status), said, own);
        let mut reason = format!("{what}: HTTP {status}");
        for part in [code.unwrap_or_default(), said].into_iter().filter(|part| !part.is_empty()) {
            reason.push_str(": ");
            reason.push_str(&one_line(part.as_bytes()));
        }
        if (200..300).contains(&status) {
            // It was taken, or not: nobody can tell from what came.
            return Failure::new(Passing, format!("{reason}: the answer cannot be read: {}", chain(error)));
        }
        Failure { meaning, reason, after: wish(answer, clock) }
    }

    /// The same as a message: with what is to be done.
    pub(crate) fn told(&self) -> String {
        match self.meaning {
            Alarm(advice) => format!("{}: {advice}", self.reason),
            Passing | Refused => self.reason.clone(),
        }
    }
}

impl From<Failure> for ExportError {
    fn from(failure: Failure) -> Self {
        match failure.meaning {
            Passing => ExportError::Retryable { reason: failure.reason, after: failure.after },
            Alarm(_) => ExportError::misconfigured(failure.told()),
            Refused => ExportError::rejected(failure.reason),
        }
    }
}

/// When the service wants to be asked again.
fn wish(answer: &HttpResponse, clock: &dyn Clock) -> Option<Duration> {
    if let Some(millis) = answer.headers().get("x-amz-retry-after").and_then(|millis| millis.trim().parse().ok()) {
        return Some(Duration::from_millis(millis));
    }
    answer.headers().get("retry-after").and_then(|wish| retry_after(wish, clock.now()))
}

/// The text of the first XML element of that name.
fn element<'a>(body: &'a str, name: &str) -> Option<&'a str> {
    let rest = body.split_once(&format!("<{name}>"))?.1;
    Some(rest.split_once(&format!("</{name}>"))?.0)
}

/// An error that no answer came with: no credentials, no region, or nothing was heard.
fn without_answer(error: &(dyn Error + 'static)) -> (Meaning, String) {
    let said = chain(error);
    let any = |texts: &[&str]| texts.iter().any(|text| said.contains(text));
    if any(&["Missing Region"]) {
        return (Alarm(REGION), said);
    }
    if any(&["loading credentials", "credentials error", "credential provider", "credentials provider", "ProviderNotConfigured"]) {
        if any(&["no credentials found in chain", "was not enabled"]) {
            // The SDK goes on with everywhere it looked.
            return (Alarm(NONE), said.split(" Attempted:").next().unwrap_or_default().to_owned());
        }
        // The service that gives credentials is not there, or has too much to do; what else it says is its opinion.
        let nested = said.matches("dispatch failure").count() > 1 || any(&["timed out", "timeout"]);
        let words = || said.split(|c: char| !c.is_ascii_alphanumeric());
        let passing = COMMON[0].1.iter().any(|code| words().any(|word| word == *code));
        return (if nested || passing { Passing } else { Alarm(CREDENTIALS) }, said);
    }
    (Passing, said)
}

/// An error and its causes in one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut parts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if parts.last().is_none_or(|last| !last.contains(&text)) {
            parts.push(text);
        }
        cause = error.source();
    }
    const LONGEST: usize = 600;
    parts.join(": ").chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect()
}

/// What became of the messages of one export, as it becomes known.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) delivered: usize,
    pub(super) retry: Vec<u32>,
    pub(super) rejected: Vec<RejectedEvent>,
    /// Why messages are to be sent again: the first reason, or the first that somebody must do something about.
    pub(super) trouble: Option<Failure>,
}

impl Tally {
    /// Messages are to be sent again.
    pub(crate) fn again(&mut self, indices: impl IntoIterator<Item = u32>, failure: impl FnOnce() -> Failure) {
        let known = self.retry.len();
        self.retry.extend(indices);
        if self.retry.len() == known || matches!(&self.trouble, Some(Failure { meaning: Alarm(_), .. })) {
            return;
        }
        let failure = failure();
        if self.trouble.is_none() || matches!(failure.meaning, Alarm(_)) {
            self.trouble = Some(failure);
        }
    }

    /// A message can never be delivered.
    pub(crate) fn reject(&mut self, index: u32, reason: impl Into<String>) {
        self.rejected.push(RejectedEvent { index, reason: reason.into() });
    }

    /// Whether nothing was taken so far and several were refused one by one: then it is not worth while to look for more of them, and
    /// delivery may think again.
    pub(crate) fn hopeless(&self) -> bool {
        self.delivered == 0 && self.rejected.len() >= 3
    }

    /// Whether something is to be sent again: what has not been sent yet should wait behind it.
    pub(crate) fn troubled(&self) -> bool {
        self.trouble.is_some()
    }

    /// Whether somebody has to do something: what a client was made from may then be something else.
    pub(crate) fn alarming(&self) -> bool {
        matches!(&self.trouble, Some(Failure { meaning: Alarm(_), .. }))
    }

    /// What delivery is told.
    pub(crate) fn outcome(mut self) -> Result<(), ExportError> {
        if self.retry.is_empty() && self.rejected.is_empty() {
            return Ok(());
        }
        self.retry.sort_unstable();
        self.rejected.sort_unstable_by_key(|event| event.index);
        if self.delivered == 0 && self.retry.is_empty() {
            // Nothing vouches for the destination: delivery asks others before it believes this.
            return Err(ExportError::rejected(self.rejected.swap_remove(0).reason));
        }
        let after = self.trouble.as_ref().and_then(|trouble| trouble.after);
        match self.trouble {
            Some(trouble) if self.delivered == 0 && self.rejected.is_empty() => Err(trouble.into()),
            trouble => {
                if let Some(trouble) = trouble {
                    tracing::warn!(
                        again = self.retry.len(),
                        delivered = self.delivered,
                        reason = trouble.told(),
                        "a part was not delivered"
                    );
                }
                Err(ExportError::Partial { retry: self.retry, rejected: self.rejected, after })
            }
        }
    }
}
