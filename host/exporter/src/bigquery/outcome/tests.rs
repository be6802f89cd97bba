//! Replies as BigQuery gives them, and what they mean.
#![allow(clippy::unwrap_used)]

use flagpost_settings::Problems;
use http::HeaderValue;
use prost_types::Any;
use serde_json::json;

use super::super::Keys;
use super::super::messages::AppendResult;
use super::super::rest::read;
use std::time::Duration;

use http::{HeaderMap, StatusCode, header};

use super::*;
use crate::google::{Advice, Meaning};

fn config(auto_migrate: bool) -> BigQueryConfig {
    let keys = json!({ "projectID": "p", "datasetID": "d", "autoMigrate": auto_migrate });
    let keys: Keys = serde_json::from_value(keys).unwrap();
    keys.check(&mut Problems::default(), &[EventKind::Feature]).unwrap()
}

fn rows(places: &[u32], rejected: &[u32]) -> Rows<()> {
    let rejected = rejected.iter().map(|&index| RejectedEvent { index, reason: "no event".to_owned() }).collect();
    Rows { rows: Vec::new(), places: places.to_vec(), rejected }
}

fn status(code: i32, message: &str, detail: Option<i32>) -> Status {
    let detail = detail.map(|code| StorageError { code, error_message: message.to_owned() });
    let details = detail.map(|detail| Any { type_url: STORAGE_ERROR.to_owned(), value: detail.encode_to_vec() });
    // What a service adds that nobody here knows comes first.
    let other = Any { type_url: "type.googleapis.com/google.rpc.DebugInfo".to_owned(), value: vec![1, 2, 3] };
    Status { code, message: message.to_owned(), details: [other].into_iter().chain(details).collect() }
}

#[test]
fn appends_that_were_not_taken_say_where_the_rows_are() {
    let cases = [
        // As the service says it: a status with a StorageError in it.
        (status(6, "The offset is within stream, expected offset 100, received 0", Some(8)), There),
        (status(11, "The offset is beyond stream, expected offset 0, received 100", Some(9)), Elsewhere),
        (status(5, "Requested entity was not found. Entity: projects/p/datasets/d/tables/t/streams/x", None), Elsewhere),
        (status(5, "Requested entity was not found.", Some(3)), Elsewhere),
        (status(3, "The stream does not exist", Some(3)), Elsewhere),
        (status(5, "Table is not found", Some(1)), Elsewhere),
        (status(9, "Stream has been finalized and cannot be appended.", Some(6)), Ended),
        (status(3, "Stream is finalized", Some(6)), Ended),
        (status(9, "Stream is already committed", Some(2)), Ended),
        (status(3, "Input schema has more fields than BigQuery schema, extra fields: 'metadata'", Some(7)), Table),
        (status(9, "Customer-managed encryption key is disabled", Some(14)), Table),
        // As bqemulator says it: no details.
        (status(6, "Offset 0 already committed; next expected 10", None), There),
        (status(11, "Offset 7 beyond next expected 0", None), Elsewhere),
        (status(9, "Stream is FINALIZED", None), Ended),
        // Nothing of the kind.
        (status(3, "AppendRows request too large: 10000001 limit 10000000", None), Other),
        (status(8, "Exceeds 'AppendRows throughput' quota", None), Other),
        (status(10, "Closing the stream because server is closing", Some(0)), Other),
        (status(7, "Permission 'TABLES_UPDATE_DATA' denied on resource (or it may not exist).", None), Other),
    ];
    for (status, expected) in cases {
        assert_eq!(answer(&status), expected, "{status:?}");
    }
}

#[test]
fn other_codes_of_the_storage_write_api_are_as_with_every_service() {
    type Fits = fn(&ExportError) -> bool;
    let passing: Fits = |error| matches!(error, ExportError::Retryable { .. });
    let alarm: Fits = |error| matches!(error, ExportError::Misconfigured { .. });
    let refused: Fits = |error| matches!(error, ExportError::Rejected { .. });
    let cases = [
        (1, "Operation was cancelled", passing, "CANCELLED"),
        (2, "Unexpected", passing, "UNKNOWN"),
        (3, "AppendRows request too large", refused, "too large"),
        (4, "Deadline expired before operation could complete.", passing, "DEADLINE_EXCEEDED"),
        (5, "Requested entity was not found.", alarm, "create the table p.d.feature_flag_evaluations (`autoMigrate: true` does)"),
        (7, "Permission 'TABLES_UPDATE_DATA' denied", alarm, "bigquery.tables.updateData"),
        (8, "Exceeds quota", passing, "Exceeds quota"),
        (10, "Closing the stream because server is closing", passing, "ABORTED"),
        (13, "Internal error occurred", passing, "INTERNAL"),
        (14, "Task is overloaded", passing, "UNAVAILABLE"),
        (16, "Request had invalid authentication credentials.", alarm, "check the credentials"),
    ];
    for (code, message, fits, part) in cases {
        let error = trouble(&config(false), EventKind::Feature, Trouble::Said(status(code, message, None)));
        assert!(fits(&error) && error.to_string().contains(part), "{code}: {error:?}");
    }
    let met = trouble(&config(false), EventKind::Feature, Trouble::Met(Verdict::passing("refused")));
    assert_eq!(met, ExportError::retryable("refused"));
}

#[test]
fn a_reply_to_an_append_is_taken_rows_or_a_status() {
    let taken = AppendRowsResponse { append_result: Some(AppendResult { offset: Some(7) }), ..AppendRowsResponse::default() };
    assert!(matches!(Reply::from(taken), Reply::Taken));
    // The first offset is not printed by the encoding.
    assert!(matches!(Reply::from(AppendRowsResponse::default()), Reply::Taken));
    let error = status(3, "Errors found while processing rows. Please refer to the row_errors field for details.", None);
    let failed = AppendRowsResponse { error: Some(error.clone()), ..AppendRowsResponse::default() };
    assert!(matches!(Reply::from(failed.clone()), Reply::Status(status) if status.code == 3));
    let row_errors = vec![RowError { index: 1, message: "Field value: Invalid JSON".to_owned() }];
    let spoilt = AppendRowsResponse { row_errors, ..failed };
    assert!(matches!(Reply::from(spoilt), Reply::Rows(errors) if errors.len() == 1));
}

#[test]
fn rows_that_spoil_an_append_are_rejected_and_the_others_come_again() {
    let errors = |indices: &[i64]| indices.iter().map(|&index| RowError { index, message: format!("bad\n{index}") }).collect::<Vec<_>>();
    let rejected = |index, reason: &str| RejectedEvent { index, reason: reason.to_owned() };
    let error = spoilt(rows(&[0, 1, 3, 4], &[2]), errors(&[2, 0, 2]));
    let expected = vec![rejected(0, "bad 0"), rejected(2, "no event"), rejected(3, "bad 2")];
    assert_eq!(error, ExportError::Partial { retry: vec![1, 4], rejected: expected, after: None });
    let error = spoilt(rows(&[0, 1], &[]), errors(&[0, 1]));
    assert!(matches!(error, ExportError::Partial { retry, rejected, .. } if retry.is_empty() && rejected.len() == 2));
    // Rows that were never sent are nobody's.
    let error = spoilt(rows(&[0, 1], &[]), errors(&[2, -1]));
    assert!(matches!(error, ExportError::Rejected { .. }), "{error:?}");
}

#[test]
fn rows_that_were_not_inserted_are_judged_one_by_one() {
    let one = |index: i64, reason: &str, location: &str, message: &str| json!({ "index": index, "errors": [ { "reason": reason, "location": location, "debugInfo": "", "message": message } ] });
    let inserted = |reply: Value| super::inserted(&config(false), EventKind::Feature, rows(&[0, 1, 3], &[2]), &reply);
    let no_event = RejectedEvent { index: 2, reason: "no event".to_owned() };
    let partial = |retry: &[u32], rejected: Vec<RejectedEvent>| Err(ExportError::Partial { retry: retry.to_vec(), rejected, after: None });
    for taken in [json!({ "kind": "bigquery#tableDataInsertAllResponse" }), json!({ "insertErrors": [] })] {
        assert_eq!(inserted(taken), partial(&[], vec![no_event.clone()]));
    }
    let reply = json!({ "insertErrors": [ one(2, "invalid", "value", "Invalid JSON"), one(0, "stopped", "", "") ] });
    let invalid = RejectedEvent { index: 3, reason: "invalid: Invalid JSON (column `value`)".to_owned() };
    assert_eq!(inserted(reply), partial(&[0], vec![no_event.clone(), invalid]));
    let reply = json!({ "insertErrors": [ one(0, "backendError", "", "try again"), { "index": 1 }, one(9, "invalid", "", "?") ] });
    assert_eq!(inserted(reply), partial(&[0, 1], vec![no_event]));
    let all = json!({ "insertErrors": [ one(0, "timeout", "", "late"), one(1, "stopped", "", ""), one(2, "stopped", "", "") ] });
    let error = super::inserted(&config(false), EventKind::Feature, rows(&[0, 1, 2], &[]), &all).unwrap_err();
    assert!(matches!(error, ExportError::Retryable { .. }), "{error:?}");
    let lacking = json!({ "insertErrors": [ one(0, "invalid", "metadata", "no such field: metadata.") ] });
    let error = inserted(lacking).unwrap_err();
    assert!(matches!(error, ExportError::Misconfigured { .. }) && error.to_string().contains("no such field: metadata"), "{error:?}");
    let error = inserted(json!({ "insertErrors": "?" })).unwrap_err();
    assert!(matches!(error, ExportError::Retryable { .. }), "{error:?}");
    assert_eq!(super::inserted(&config(false), EventKind::Feature, rows(&[0, 1], &[]), &json!({})), Ok(()));
}

fn body(code: u16, reason: &str, message: &str) -> String {
    json!({ "error": { "code": code, "message": message, "errors": [ { "message": message, "domain": "global", "reason": reason } ], "status": "X" } }).to_string()
}

#[test]
fn replies_over_rest_mean_what_their_code_and_reason_say() {
    use Advice::{Credentials, Missing, Rights, Service};
    use Meaning::{Alarm, Passing, Refused};
    let cases = [
        (400, body(400, "invalid", "The destination table has no schema"), Refused, "400: The destination table has no schema"),
        (401, body(401, "authError", "Invalid Credentials"), Alarm(Credentials), "401: Invalid Credentials"),
        (403, body(403, "accessDenied", "Access Denied: Table p:d.t"), Alarm(Rights), "Access Denied"),
        (403, body(403, "rateLimitExceeded", "Exceeded rate limits"), Passing, "rate limits"),
        (403, body(403, "quotaExceeded", "Quota exceeded"), Passing, "Quota exceeded"),
        (403, body(403, "billingNotEnabled", "BigQuery: Streaming insert is not allowed in the free tier"), Alarm(Rights), "free tier"),
        (404, body(404, "notFound", "Not found: Table p:d.t"), Alarm(Missing), "Not found: Table p:d.t"),
        (405, String::new(), Alarm(Service), "405"),
        (409, body(409, "duplicate", "Already Exists: Table p:d.t"), Passing, "Already Exists"),
        (413, "<html>Your client issued a request that was too large.".to_owned(), Refused, "too large"),
        (429, body(429, "rateLimitExceeded", "Exceeded rate limits"), Passing, "429"),
        (500, body(500, "internalError", "An internal error occurred"), Passing, "500: An internal"),
        (502, "<html>\n<title>Error 502".to_owned(), Passing, "502: <html> <title>Error 502"),
        (
            503,
            body(503, "backendError", "Error encountered during execution. Retrying may solve the problem."),
            Passing,
            "503: Error encountered",
        ),
    ];
    for (code, text, meaning, part) in cases {
        let status = StatusCode::from_u16(code).unwrap();
        let refusal = read(status, &HeaderMap::new(), text.as_bytes()).unwrap_err();
        assert_eq!((refusal.status, refusal.verdict.meaning), (Some(status), meaning), "{text}");
        assert!(refusal.verdict.reason.contains(part) && !refusal.verdict.reason.contains('\n'), "{}", refusal.verdict.reason);
    }
    for (header, after) in [("7", Some(7)), ("86400", Some(600)), ("soon", None)] {
        let headers = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static(header))]);
        let refusal = read(StatusCode::SERVICE_UNAVAILABLE, &headers, b"").unwrap_err();
        assert_eq!(refusal.verdict.after, after.map(Duration::from_secs));
    }
    assert_eq!(read(StatusCode::OK, &HeaderMap::new(), b"{\"a\":1}").unwrap(), json!({ "a": 1 }));
    let unread = read(StatusCode::OK, &HeaderMap::new(), b"<html>").unwrap_err();
    assert_eq!((unread.status, unread.verdict.meaning), (None, Passing));
}

#[test]
fn what_is_to_be_done_is_said() {
    let missing = |auto_migrate| missing(&config(auto_migrate), EventKind::Feature);
    assert!(missing(false).contains("`autoMigrate: true` does"));
    assert!(missing(true).contains("could not be made"));
    let error = unfit(&config(false), EventKind::Feature, "it has no column `metadata` (JSON)").to_string();
    let expected = "the table p.d.feature_flag_evaluations is not one for feature events: it has no column `metadata` (JSON): change the table or `tableName` (`autoMigrate: true` adds columns)";
    assert_eq!(error, expected);
}
