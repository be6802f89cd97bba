//! What replies mean, as data. What they have in common with other services of Google's is in `crate::google`.

use flagpost_event::EventKind;
use google_cloud_gax::error::Error;
use google_cloud_gax::error::rpc::Status as RpcStatus;
use prost::Message;
use serde::Deserialize;
use serde_json::Value;

use crate::google::{Verdict, judge, one_line};
use crate::{ExportError, RejectedEvent};

use super::config::{BigQueryConfig, WriteApi};
use super::messages::{AppendRowsResponse, RowError, STORAGE_ERROR, Status, StorageError};
use super::request::Rows;
use super::storage::Trouble;

/// What an append that was not taken says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The rows are in the stream since an earlier attempt.
    There,
    /// The stream takes no rows any more; how many it has can be asked.
    Ended,
    /// The stream is not there, or has no such place: the rows cannot be in it.
    Elsewhere,
    /// Somebody must change something about the table.
    Table,
    /// Something else, which the code says.
    Other,
}

use Answer::{Elsewhere, Ended, Other, Table, There};

/// Codes of `StorageError`, by what they say.
const STORAGE_CODES: &[(Answer, &[i32])] = &[
    // TABLE_NOT_FOUND, STREAM_NOT_FOUND, INVALID_STREAM_TYPE, OFFSET_OUT_OF_RANGE
    (Elsewhere, &[1, 3, 4, 9]),
    // STREAM_ALREADY_COMMITTED, INVALID_STREAM_STATE, STREAM_FINALIZED
    (Ended, &[2, 5, 6]),
    // SCHEMA_MISMATCH_EXTRA_FIELDS; keys of customers: CMEK_NOT_PROVIDED, INVALID_CMEK_PROVIDED, CMEK_ENCRYPTION_ERROR, KMS_SERVICE_ERROR,
    // KMS_PERMISSION_DENIED
    (Table, &[7, 10, 11, 12, 13, 14]),
    // OFFSET_ALREADY_EXISTS
    (There, &[8]),
];

/// Codes of gRPC, where there is no `StorageError`: NOT_FOUND and OUT_OF_RANGE, FAILED_PRECONDITION, ALREADY_EXISTS.
const GRPC_CODES: &[(Answer, &[i32])] = &[(Elsewhere, &[5, 11]), (Ended, &[9]), (There, &[6])];

/// Reasons of rows that were not inserted though nothing is wrong with them: others in the request were invalid, or it did not fit.
const ROW_PASSING: &[&str] = &["backendError", "internalError", "quotaExceeded", "rateLimitExceeded", "stopped", "timeout"];

pub(super) fn answer(status: &Status) -> Answer {
    let detail = status.details.iter().find(|detail| detail.type_url == STORAGE_ERROR);
    let code = detail.and_then(|detail| StorageError::decode(detail.value.as_slice()).ok()).map(|error| error.code);
    let of = |table: &[(Answer, &[i32])], code: i32| table.iter().find(|(_, codes)| codes.contains(&code)).map(|(answer, _)| *answer);
    code.and_then(|code| of(STORAGE_CODES, code)).or_else(|| of(GRPC_CODES, status.code)).unwrap_or(Other)
}

/// The reply to an append: taken, or why not.
pub(super) enum Reply {
    Taken,
    /// Nothing of the request was taken, because of these rows.
    Rows(Vec<RowError>),
    Status(Status),
}

impl From<AppendRowsResponse> for Reply {
    fn from(response: AppendRowsResponse) -> Self {
        match response.error {
            _ if !response.row_errors.is_empty() => Reply::Rows(response.row_errors),
            Some(status) if status.code != 0 => Reply::Status(status),
            _ => Reply::Taken,
        }
    }
}

/// A status of the Storage Write API in the words of all of Google's services.
pub(super) fn verdict(status: &Status) -> Verdict {
    judge(&Error::service(RpcStatus::default().set_code(status.code).set_message(&status.message)))
}

/// What delivery is told when the Storage Write API did not do as it was asked.
pub(super) fn trouble(config: &BigQueryConfig, kind: EventKind, trouble: Trouble) -> ExportError {
    match trouble {
        Trouble::Said(status) => failure(config, kind, verdict(&status)),
        Trouble::Met(verdict) => failure(config, kind, verdict),
    }
}

/// Rows that spoilt an append: only they are rejected.
pub(super) fn spoilt<R>(rows: Rows<R>, errors: Vec<RowError>) -> ExportError {
    let mut rejected = rows.rejected.clone();
    for error in errors {
        match rows.place(error.index) {
            Some(index) if !rejected.iter().any(|event| event.index == index) => {
                rejected.push(RejectedEvent { index, reason: one_line(&error.message) });
            }
            _ => {}
        }
    }
    if rejected.is_empty() {
        return ExportError::rejected("rows were refused, and it was not said which");
    }
    let retry = rows.places.into_iter().filter(|place| !rejected.iter().any(|event| event.index == *place)).collect();
    rejected.sort_by_key(|event| event.index);
    ExportError::Partial { retry, rejected, after: None }
}

/// What became of an insertAll that was answered with success.
pub(super) fn inserted<R>(config: &BigQueryConfig, kind: EventKind, rows: Rows<R>, reply: &Value) -> Result<(), ExportError> {
    #[derive(Deserialize)]
    struct RowErrors {
        index: i64,
        #[serde(default)]
        errors: Vec<RowProblem>,
    }
    #[derive(Deserialize)]
    #[serde(default)]
    #[derive(Default)]
    struct RowProblem {
        reason: String,
        location: String,
        message: String,
    }
    let errors = match &reply["insertErrors"] {
        Value::Null => Vec::new(),
        errors => match Vec::<RowErrors>::deserialize(errors) {
            Ok(errors) => errors,
            // Which rows were taken is not known: all again.
            Err(error) => return Err(ExportError::retryable(format!("the reply's insertErrors cannot be read: {error}"))),
        },
    };
    let (mut retry, mut rejected, mut why) = (Vec::new(), rows.rejected.clone(), String::new());
    for RowErrors { index, errors } in errors {
        let Some(place) = rows.place(index) else { continue };
        let guilty = errors.iter().find(|problem| !ROW_PASSING.contains(&problem.reason.as_str()));
        let Some(problem) = guilty.or(errors.first()) else {
            retry.push(place);
            continue;
        };
        let column = if problem.location.is_empty() { String::new() } else { format!(" (column `{}`)", problem.location) };
        let reason = one_line(&format!("{}: {}{column}", problem.reason, problem.message));
        if guilty.is_none() {
            retry.push(place);
            why = reason;
        } else if problem.message.to_ascii_lowercase().starts_with("no such field") {
            // Never a row's fault.
            return Err(unfit(config, kind, &reason));
        } else {
            rejected.push(RejectedEvent { index: place, reason });
        }
    }
    rejected.sort_by_key(|event| event.index);
    rejected.dedup_by_key(|event| event.index);
    match (retry.len(), rejected.len()) {
        (0, 0) => Ok(()),
        (again, 0) if again == rows.places.len() => Err(ExportError::retryable(format!("no row was inserted: {why}"))),
        _ => Err(ExportError::Partial { retry, rejected, after: None }),
    }
}

/// What delivery is told when nothing was written.
pub(super) fn failure(config: &BigQueryConfig, kind: EventKind, verdict: Verdict) -> ExportError {
    verdict.failure(&missing(config, kind), &rights(config))
}

/// What to do about a table that is not there.
pub(super) fn missing(config: &BigQueryConfig, kind: EventKind) -> String {
    let table = config.shown(kind);
    if config.auto_migrate {
        format!("check `projectID`; the table {table} could not be made")
    } else {
        format!("create the table {table} (`autoMigrate: true` does), or correct `projectID`, `datasetID` or `tableName`")
    }
}

/// The rights that are needed.
pub(super) fn rights(config: &BigQueryConfig) -> String {
    let write = "the right bigquery.tables.updateData on the table";
    match (config.auto_migrate, config.write_api) {
        (true, _) => "the role BigQuery Data Editor (roles/bigquery.dataEditor), on the project when the dataset is to be made".to_owned(),
        (false, WriteApi::Storage) => format!("{write} (role BigQuery Data Editor)"),
        (false, WriteApi::InsertAll) => format!("{write}, and bigquery.tables.get to look at its columns (role BigQuery Data Editor)"),
    }
}

/// The table is there and cannot be written to as it is.
pub(super) fn unfit(config: &BigQueryConfig, kind: EventKind, words: &str) -> ExportError {
    let help = if config.auto_migrate { "" } else { " (`autoMigrate: true` adds columns)" };
    let table = config.shown(kind);
    ExportError::misconfigured(format!("the table {table} is not one for {kind} events: {words}: change the table or `tableName`{help}"))
}

#[cfg(test)]
mod tests;
