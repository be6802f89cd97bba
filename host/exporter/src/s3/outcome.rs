//! What S3's answers mean, beside those that mean the same in all of Amazon's services.

use crate::aws::{Failure, Meaning, Table};

use Meaning::{Alarm, Passing, Refused};

const KEY: &str = "see to the KMS key `kmsKeyId`";

/// S3's own codes.
pub(super) const CODES: Table = &[
    (Alarm("create the bucket, or correct `bucket`"), &["NoSuchBucket", "InvalidBucketName"]),
    (
        Alarm("set `region` to the bucket's"),
        &["AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect", "TemporaryRedirect"],
    ),
    (Alarm("correct `storageClass`"), &["InvalidStorageClass"]),
    (Alarm("correct `path` and `filename`"), &["InvalidURI", "KeyTooLongError"]),
    (Alarm("the store does not offer what this exporter needs (conditional writes, or `serverSideEncryption`)"), &["NotImplemented"]),
    (Alarm("make room in the bucket, or raise its quota"), &["QuotaExceeded", "XMinioAdminBucketQuotaExceeded"]),
    (Alarm(KEY), &["KMS.DisabledException", "KMS.InvalidKeyUsageException", "KMS.KMSInvalidStateException", "KMS.NotFoundException"]),
    // Two writers at once, an upload that somebody else gave up, bytes that were damaged on the way: the same again.
    (
        Passing,
        &[
            "BadDigest",
            "ConditionalRequestConflict",
            "IncompleteBody",
            "InvalidDigest",
            "InvalidPart",
            "InvalidPartOrder",
            "NoSuchUpload",
            "OperationAborted",
            "XAmzContentSHA256Mismatch",
        ],
    ),
    (Refused, &["EntityTooLarge", "MaxMessageLengthExceeded"]),
];

/// Codes, or else the status, of an object that is there already.
pub(super) fn exists(code: Option<&str>, status: Option<u16>) -> bool {
    code == Some("PreconditionFailed") || status == Some(412)
}

/// Objects are opaque to the store: what it refuses, except for its size, is never an event's fault.
pub(super) fn judged(failure: Failure, status: Option<u16>, code: Option<&str>) -> Failure {
    let large =
        status == Some(413) || CODES.iter().any(|(meaning, codes)| *meaning == Refused && code.is_some_and(|code| codes.contains(&code)));
    match failure.meaning {
        Refused if !large => Failure { meaning: Alarm("check this exporter's keys, and what the store allows"), ..failure },
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use aws_sdk_s3::operation::put_object::PutObjectError;
    use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
    use aws_smithy_runtime_api::client::result::SdkError;
    use aws_smithy_types::body::SdkBody;
    use flagpost_event::SystemClock;

    use super::super::store::failure;
    use super::*;
    use crate::ExportError;

    /// An answer as S3 gives it, through the SDK's own reading of it.
    fn said(status: u16, code: &str, message: &str) -> ExportError {
        let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>");
        let body = if code.is_empty() { String::new() } else { body };
        let mut metadata = aws_smithy_types::error::ErrorMetadata::builder();
        if !code.is_empty() {
            metadata = metadata.code(code).message(message);
        }
        let answer = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
        failure("bucket `b`", &SdkError::service_error(PutObjectError::generic(metadata.build()), answer), &SystemClock).into()
    }

    #[test]
    fn answers_mean_what_they_say() {
        let table = [
            // Throttled and 5xx.
            (503, "SlowDown", "Please reduce your request rate.", "retry", ""),
            (503, "ServiceUnavailable", "", "retry", ""),
            (500, "InternalError", "We encountered an internal error. Please try again.", "retry", ""),
            (502, "", "", "retry", ""),
            (400, "RequestTimeout", "Your socket connection to the server was not read from", "retry", ""),
            (429, "TooManyRequests", "", "retry", ""),
            (507, "XMinioStorageFull", "", "retry", ""),
            // Two at once, and damage.
            (409, "ConditionalRequestConflict", "", "retry", ""),
            (409, "OperationAborted", "", "retry", ""),
            (404, "NoSuchUpload", "", "retry", ""),
            (400, "BadDigest", "", "retry", ""),
            // Credentials.
            (
                403,
                "InvalidAccessKeyId",
                "The AWS Access Key Id you provided does not exist in our records.",
                "alarm",
                "check the credentials",
            ),
            (403, "SignatureDoesNotMatch", "", "alarm", "check the credentials"),
            (403, "AccessDenied", "Access Denied", "alarm", "the right to do this"),
            (400, "ExpiredToken", "The provided token has expired.", "alarm", "have expired"),
            (403, "RequestTimeTooSkewed", "", "alarm", "clock"),
            (403, "", "", "alarm", "check the credentials"),
            // Not there, not here.
            (404, "NoSuchBucket", "The specified bucket does not exist", "alarm", "create the bucket"),
            (301, "PermanentRedirect", "", "alarm", "set `region`"),
            (400, "AuthorizationHeaderMalformed", "the region 'us-east-1' is wrong; expecting 'eu-west-1'", "alarm", "set `region`"),
            (400, "InvalidStorageClass", "", "alarm", "correct `storageClass`"),
            (400, "KMS.NotFoundException", "", "alarm", "`kmsKeyId`"),
            (400, "KMS.DisabledException", "", "alarm", "`kmsKeyId`"),
            (501, "NotImplemented", "A header you provided implies functionality that is not implemented", "alarm", "conditional writes"),
            (400, "KeyTooLongError", "", "alarm", "`filename`"),
            // Nothing that an event could be blamed for.
            (400, "InvalidArgument", "", "alarm", "this exporter's keys"),
            (400, "", "", "alarm", "this exporter's keys"),
            (405, "MethodNotAllowed", "", "alarm", "`endpoint`"),
            // But for its size.
            (400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed object size.", "rejected", ""),
            (413, "", "", "rejected", ""),
        ];
        for (status, code, message, expected, advice) in table {
            let error = said(status, code, message);
            let found = match &error {
                ExportError::Retryable { .. } => "retry",
                ExportError::Misconfigured { .. } => "alarm",
                ExportError::Rejected { .. } => "rejected",
                _ => "?",
            };
            assert_eq!(found, expected, "{status} {code}: {error}");
            let text = error.to_string();
            assert!(text.contains("bucket `b`") && text.contains(code) && text.contains(message) && text.contains(advice), "{text}");
        }
    }

    #[test]
    fn an_object_that_is_there_is_no_failure() {
        assert!(exists(Some("PreconditionFailed"), Some(412)) && exists(None, Some(412)));
        assert!(!exists(Some("ConditionalRequestConflict"), Some(409)) && !exists(None, None));
    }
}
