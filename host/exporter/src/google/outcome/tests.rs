//! Replies as they were recorded, and what they mean.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use google_cloud_gax::error::rpc::Status;
use http::{HeaderMap, HeaderValue};

use super::*;

/// As the library reads an HTTP reply.
fn http(code: u16, after: Option<&'static str>, body: &str) -> Error {
    let mut headers = HeaderMap::new();
    if let Some(after) = after {
        headers.insert("retry-after", HeaderValue::from_static(after));
    }
    let body = Bytes::from(body.to_owned());
    match Status::try_from(&body) {
        Ok(status) => Error::service_with_http_metadata(status, Some(code), Some(headers)),
        Err(_) => Error::http(code, headers, body),
    }
}

fn json(code: u16, reason: &str, message: &str) -> String {
    format!(
        r#"{{"error":{{"code":{code},"message":"{message}","errors":[{{"message":"{message}","domain":"global","reason":"{reason}","locationType":"header","location":"Authorization"}}]}}}}"#
    )
}

/// Back again.
#[cfg(feature = "googlestorage")]
fn body(error: &Error) -> Vec<u8> {
    let Some(status) = error.status() else { return error.http_payload().unwrap().to_vec() };
    let reason = reasons(error).concat();
    format!(r#"{{"error":{{"message":"{}","errors":[{{"reason":"{reason}"}}]}}}}"#, status.message).into_bytes()
}

#[test]
fn replies_over_http_mean_what_the_table_says() {
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let cases = [
        (http(401, None, &json(401, "authError", "Invalid Credentials")), Alarm(Credentials), "Invalid Credentials", None),
        (
            http(403, None, &json(403, "forbidden", "a@b does not have storage.objects.create access to the Google Cloud Storage object.")),
            Alarm(Rights),
            "does not have storage.objects.create access",
            None,
        ),
        (http(403, None, &json(403, "accountDisabled", "The project to be billed is closed.")), Alarm(Rights), "billed", None),
        (http(403, None, &json(403, "rateLimitExceeded", "The project exceeded the rate limit.")), Passing, "rate limit", None),
        (http(404, None, &json(404, "notFound", "The specified bucket does not exist.")), Alarm(Missing), "bucket does not exist", None),
        (http(408, None, ""), Passing, "408", None),
        (http(409, None, &json(409, "conflict", "try again")), Passing, "try again", None),
        (http(410, None, ""), Passing, "410", None),
        (
            http(412, None, &json(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")),
            Exists,
            "412",
            None,
        ),
        (http(413, None, &json(413, "uploadTooLarge", "too large")), Refused, "too large", None),
        (http(429, Some("7"), &json(429, "rateLimitExceeded", "slow down")), Passing, "slow down", seconds(7)),
        (http(500, None, &json(500, "backendError", "Backend Error")), Passing, "Backend Error", None),
        (http(501, None, r#"{"error":{"code":501,"status":"UNIMPLEMENTED"}}"#), Alarm(Service), "501", None),
        (http(502, None, "<html>\n  <title>502\n"), Passing, "502: <html> <title>502", None),
        (http(503, Some("soon"), "Service Unavailable"), Passing, "503: Service Unavailable", None),
        (http(400, None, &json(400, "invalid", "Invalid argument.")), Refused, "Invalid argument", None),
        (http(400, None, &json(400, "keyInvalid", "x").replace("400", "999")), Refused, "400", None),
        (http(301, None, ""), Alarm(Service), "301", None),
        (http(405, None, ""), Alarm(Service), "405", None),
        (http(599, None, ""), Passing, "599", None),
    ];
    for (error, meaning, part, after) in cases {
        let mut found = vec![judge(&error)];
        // The same without the library.
        #[cfg(feature = "googlestorage")]
        found.push(judge_reply(error.http_status_code().unwrap(), error.http_headers().unwrap(), &body(&error)));
        for found in found {
            assert_eq!((found.meaning, found.after), (meaning, after), "{error}");
            assert!(found.reason.contains(part) && !found.reason.contains('\n'), "{}: {part}", found.reason);
        }
    }
}

#[test]
fn every_code_of_grpc_has_one_meaning() {
    for number in 0..=16 {
        let code = Code::from(number);
        let places = CODES.iter().flat_map(|(_, codes)| *codes).filter(|known| **known == code).count();
        assert_eq!(places, 1, "{code:?}");
    }
    let service = |code: Code, message: &str| Error::service(Status::default().set_code(code).set_message(message));
    let cases = [
        (service(Code::NotFound, "Resource not found (resource=t)."), Alarm(Missing), "NOT_FOUND: Resource not found (resource=t)."),
        (service(Code::PermissionDenied, "User not authorized"), Alarm(Rights), "PERMISSION_DENIED: User not authorized"),
        (service(Code::Unauthenticated, "Request had invalid"), Alarm(Credentials), "UNAUTHENTICATED: Request had invalid"),
        (service(Code::InvalidArgument, "too long"), Refused, "INVALID_ARGUMENT: too long"),
        (service(Code::ResourceExhausted, "quota"), Passing, "RESOURCE_EXHAUSTED: quota"),
        (service(Code::Unavailable, ""), Passing, "UNAVAILABLE"),
        (service(Code::DeadlineExceeded, "late"), Passing, "DEADLINE_EXCEEDED: late"),
        (service(Code::FailedPrecondition, "key is disabled"), Alarm(Service), "FAILED_PRECONDITION: key is disabled"),
        (service(Code::Unimplemented, "no"), Alarm(Service), "UNIMPLEMENTED: no"),
    ];
    for (error, meaning, reason) in cases {
        let found = judge(&error);
        assert_eq!((found.meaning, found.reason.as_str()), (meaning, reason));
    }
}

#[test]
fn a_wish_of_grpcs_is_understood() {
    let details = r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"m","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"2.5s"}]}}"#;
    let status = Status::try_from(&Bytes::from(details)).unwrap();
    assert_eq!(status.code, Code::ResourceExhausted);
    let found = judge(&Error::service(status));
    assert_eq!((found.meaning, found.after), (Passing, Some(Duration::from_millis(2_500))));
}

#[test]
fn what_the_library_met_before_a_reply_is_told_from_bad_credentials() {
    let token = |transient| Error::authentication(CredentialsError::from_msg(transient, "no token"));
    let cases = [
        (Error::timeout("after 10s"), Passing),
        (Error::connect("connection refused"), Passing),
        (Error::io("connection reset by peer"), Passing),
        (Error::deser("not JSON"), Passing),
        (Error::binding("no such name"), Alarm(Missing)),
        (token(true), Passing),
        (token(false), Alarm(Credentials)),
        // Wrapped.
        (Error::io(token(false)), Alarm(Credentials)),
        (Error::exhausted(http(404, None, "")), Alarm(Missing)),
        (Error::exhausted(Error::io(http(401, None, ""))), Alarm(Credentials)),
    ];
    for (error, meaning) in cases {
        assert_eq!(judge(&error).meaning, meaning, "{error:?}");
    }
}

#[test]
fn delivery_is_told_what_to_do() {
    let told = |error: &Error| judge(error).failure("create it", "the right");
    let misconfigured = |text: &str| ExportError::misconfigured(text);
    assert_eq!(told(&http(404, None, "gone")), misconfigured("404: gone: create it"));
    assert_eq!(told(&http(403, None, "no")), misconfigured("403: no: give the account the right"));
    assert!(matches!(told(&http(401, None, "who")), ExportError::Misconfigured { reason } if reason.contains("check the credentials")));
    assert_eq!(told(&http(503, Some("3"), "")), ExportError::Retryable { reason: "503".to_owned(), after: Some(Duration::from_secs(3)) });
    assert_eq!(told(&http(400, None, "bad")), ExportError::rejected("400: bad"));
    assert!(judge(&http(401, None, "")).spent() && !judge(&http(503, None, "")).spent());
}

#[test]
fn reasons_are_cut_between_characters() {
    let found = judge(&http(500, None, &"é".repeat(1_000)));
    assert!(found.reason.len() <= LONGEST_REASON + '…'.len_utf8() && found.reason.ends_with('…'), "{}", found.reason.len());
}
