//! Recorded answers through the SDK's own types, and the SDK without region, credentials, or a service.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::ErrorMetadata;
use flagpost_event::SystemClock;

use super::outcome::Meaning::{Alarm, Passing, Refused};
use super::outcome::{Failure, Meaning, Table, Tally, meaning};
use crate::{ExportError, RejectedEvent};

fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &'static str) -> HttpResponse {
    let mut answer = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
    for (name, value) in headers {
        answer.headers_mut().insert(*name, *value);
    }
    answer
}

/// An error as the SDK gives it: what it made of the body, and the answer itself.
fn failure(code: Option<&str>, message: &str, answer: HttpResponse) -> Failure {
    let mut metadata = ErrorMetadata::builder();
    if let Some(code) = code {
        metadata = metadata.code(code).message(message);
    }
    Failure::of("queue `q`", &SdkError::service_error(metadata.build(), answer), OWN, &SystemClock)
}

const OWN: Table = &[(Alarm("create it"), &["NonExistentQueue", "QueueDoesNotExist"]), (Refused, &["BatchRequestTooLong"])];

fn advice(meaning: Meaning) -> &'static str {
    match meaning {
        Passing => "passing",
        Refused => "refused",
        Alarm(advice) => advice,
    }
}

#[test]
fn answers_mean_what_their_code_or_else_their_status_says() {
    let cases = [
        (Some("ThrottlingException"), 400, "", "passing"),
        (Some("ProvisionedThroughputExceededException"), 400, "Rate exceeded for shard shardId-0", "passing"),
        (Some("SlowDown"), 503, "", "passing"),
        (Some("InternalFailure"), 500, "", "passing"),
        (Some("SomethingNew"), 500, "", "passing"),
        (None, 503, "", "passing"),
        (None, 429, "", "passing"),
        (Some("AccessDeniedException"), 400, "not authorized to perform: kinesis:PutRecords", "give these credentials"),
        (Some("AccessDenied"), 403, "", "give these credentials"),
        (Some("KMSAccessDeniedException"), 400, "", "give these credentials"),
        (Some("KMSDisabledException"), 400, "", "see to the KMS key"),
        (Some("UnrecognizedClientException"), 400, "The security token included in the request is invalid.", "check the credentials"),
        (Some("InvalidAccessKeyId"), 403, "", "check the credentials"),
        (Some("SignatureDoesNotMatch"), 403, "", "check the credentials"),
        (Some("InvalidSignatureException"), 400, "Signature expired: 20261127T000000Z is now earlier than", "set this machine's clock"),
        (Some("InvalidSignatureException"), 400, "The request signature we calculated does not match", "check the credentials"),
        (Some("RequestTimeTooSkewed"), 403, "", "set this machine's clock"),
        (Some("ExpiredTokenException"), 400, "The security token included in the request is expired", "the credentials have expired"),
        (Some("ExpiredToken"), 400, "", "the credentials have expired"),
        (Some("OptInRequired"), 403, "", "see to the account"),
        (Some("AWS.SimpleQueueService.NonExistentQueue"), 400, "", "create it"),
        (Some("QueueDoesNotExist"), 400, "", "create it"),
        (Some("AWS.SimpleQueueService.BatchRequestTooLong"), 400, "", "refused"),
        (Some("ValidationException"), 400, "", "refused"),
        (None, 413, "", "refused"),
        (None, 403, "", "check the credentials"),
        (Some("SomethingNew"), 403, "", "give these credentials"),
        (None, 404, "<html>", "check `endpoint`"),
        (None, 301, "", "check `endpoint`"),
    ];
    for (code, status, message, expected) in cases {
        let found = failure(code, message, answer(status, &[], ""));
        assert!(advice(found.meaning).starts_with(expected), "{code:?} {status}: {found:?}");
        assert!(
            found.reason.starts_with(&format!("queue `q`: HTTP {status}")) && found.reason.contains(code.unwrap_or_default()),
            "{found:?}"
        );
    }
}

#[test]
fn a_code_in_xml_is_found_where_json_was_expected() {
    let body = "<ErrorResponse>\n<Errors><Error><Code>SignatureDoesNotMatch</Code><Message>The request signature we calculated\ndoes not match</Message></Error></Errors></ErrorResponse>";
    let found = failure(None, "", answer(403, &[], body));
    assert!(advice(found.meaning).starts_with("check the credentials"), "{found:?}");
    assert_eq!(found.reason, "queue `q`: HTTP 403: SignatureDoesNotMatch: The request signature we calculated does not match");
    // An answer that the SDK could not even read.
    let unread: SdkError<ErrorMetadata, _> = SdkError::response_error("no JSON", answer(403, &[], body));
    assert_eq!(Failure::of("queue `q`", &unread, OWN, &SystemClock), found);
    let cut: SdkError<ErrorMetadata, _> = SdkError::response_error("unexpected end", answer(200, &[], "{\"Succ"));
    let cut = Failure::of("queue `q`", &cut, OWN, &SystemClock);
    assert!(cut.meaning == Passing && cut.reason.contains("unexpected end"), "{cut:?}");
}

#[test]
fn a_wish_to_wait_is_heard() {
    for (headers, expected) in [
        (&[("retry-after", "3")][..], Some(Duration::from_secs(3))),
        (&[("x-amz-retry-after", "1500"), ("retry-after", "9")], Some(Duration::from_millis(1_500))),
        (&[("retry-after", "soon")], None),
        (&[], None),
    ] {
        let failure = failure(Some("Throttling"), "", answer(400, headers, ""));
        assert_eq!(failure.after, expected, "{headers:?}");
        assert!(matches!(ExportError::from(failure), ExportError::Retryable { after, .. } if after == expected));
    }
}

#[test]
fn every_common_code_has_one_meaning() {
    let codes = ["Throttling", "AccessDenied", "ExpiredToken", "RequestExpired", "KmsDisabled", "OptInRequired", "InvalidToken"];
    for code in codes {
        let found = meaning(Some(code), Some(400), "", &[]);
        // What a kind says of a code wins.
        assert_ne!(found, Refused, "{code}");
        assert_eq!(
            meaning(Some(code), Some(400), "", &[(Refused, &["Throttling", "AccessDenied", "ExpiredToken"])]) == Refused,
            codes[..3].contains(&code)
        );
    }
}

fn tally(delivered: usize, retry: &[(u32, Meaning)], rejected: &[u32]) -> Tally {
    let mut tally = Tally { delivered, ..Tally::default() };
    for (index, meaning) in retry {
        tally.again([*index], || Failure { after: Some(Duration::from_secs(7)), ..Failure::new(*meaning, format!("r{index}")) });
    }
    rejected.iter().for_each(|index| tally.reject(*index, "too large"));
    tally
}

#[test]
fn outcomes_name_exactly_what_failed() {
    let rejected = |index| RejectedEvent { index, reason: "too large".to_owned() };
    let after = Some(Duration::from_secs(7));
    let partial = |retry: &[u32], rejected: Vec<RejectedEvent>| {
        let after = after.filter(|_| !retry.is_empty());
        ExportError::Partial { retry: retry.to_vec(), rejected, after }
    };
    let alarm = Alarm("do it");
    let cases = [
        (tally(3, &[], &[]), Ok(()), false),
        (tally(2, &[(1, Passing)], &[]), Err(partial(&[1], vec![])), false),
        (tally(1, &[(2, Passing), (1, alarm)], &[0]), Err(partial(&[1, 2], vec![rejected(0)])), true),
        (tally(1, &[], &[2, 0]), Err(partial(&[], vec![rejected(0), rejected(2)])), false),
        (tally(0, &[(1, Passing)], &[0]), Err(partial(&[1], vec![rejected(0)])), false),
        (tally(0, &[], &[0, 1]), Err(ExportError::rejected("too large")), false),
        (tally(0, &[(0, Passing), (1, Passing)], &[]), Err(ExportError::Retryable { reason: "r0".to_owned(), after }), false),
        (tally(0, &[(0, Passing), (1, alarm)], &[]), Err(ExportError::misconfigured("r1: do it")), true),
    ];
    for (number, (tally, expected, alarming)) in cases.into_iter().enumerate() {
        assert_eq!((tally.alarming(), tally.outcome()), (alarming, expected), "case {number}");
    }
}
