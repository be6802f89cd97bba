//! The messages of the Storage Write API (`google.cloud.bigquery.storage.v1`), as far as they are needed here. Google's own library
//! for Rust takes rows in Arrow's format only and keeps these to itself.

use bytes::Bytes;
use prost::Message;
use prost_types::{Any, DescriptorProto};

/// Rows are readable as soon as they are appended.
pub(super) const COMMITTED: i32 = 1;
/// Columns that must have a value.
pub(super) const REQUIRED: i32 = 2;
/// A view of a stream with the table's schema.
pub(super) const FULL: i32 = 2;

#[derive(Clone, PartialEq, Message)]
pub(super) struct CreateWriteStreamRequest {
    #[prost(string, tag = "1")]
    pub(super) parent: String,
    #[prost(message, optional, tag = "2")]
    pub(super) write_stream: Option<WriteStream>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct GetWriteStreamRequest {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(int32, tag = "3")]
    pub(super) view: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FinalizeWriteStreamRequest {
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FinalizeWriteStreamResponse {
    #[prost(int64, tag = "1")]
    pub(super) row_count: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WriteStream {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(int32, tag = "2")]
    pub(super) of: i32,
    #[prost(message, optional, tag = "5")]
    pub(super) table_schema: Option<TableSchema>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TableSchema {
    #[prost(message, repeated, tag = "1")]
    pub(super) fields: Vec<TableField>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TableField {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(int32, tag = "2")]
    pub(super) of: i32,
    #[prost(int32, tag = "3")]
    pub(super) mode: i32,
    #[prost(string, tag = "10")]
    pub(super) default_value: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AppendRowsRequest {
    #[prost(string, tag = "1")]
    pub(super) write_stream: String,
    /// A wrapped integer (`google.protobuf.Int64Value`).
    #[prost(message, optional, tag = "2")]
    pub(super) offset: Option<i64>,
    #[prost(message, optional, tag = "4")]
    pub(super) proto_rows: Option<ProtoData>,
    /// Who is writing, for Google's support.
    #[prost(string, tag = "6")]
    pub(super) trace_id: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ProtoData {
    #[prost(message, optional, tag = "1")]
    pub(super) writer_schema: Option<ProtoSchema>,
    #[prost(message, optional, tag = "2")]
    pub(super) rows: Option<ProtoRows>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ProtoSchema {
    #[prost(message, optional, tag = "1")]
    pub(super) proto_descriptor: Option<DescriptorProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ProtoRows {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub(super) serialized_rows: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AppendRowsResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) append_result: Option<AppendResult>,
    #[prost(message, optional, tag = "2")]
    pub(super) error: Option<Status>,
    #[prost(message, repeated, tag = "4")]
    pub(super) row_errors: Vec<RowError>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AppendResult {
    #[prost(message, optional, tag = "1")]
    pub(super) offset: Option<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RowError {
    #[prost(int64, tag = "1")]
    pub(super) index: i64,
    #[prost(string, tag = "3")]
    pub(super) message: String,
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Status {
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
    #[prost(string, tag = "2")]
    pub(super) message: String,
    #[prost(message, repeated, tag = "3")]
    pub(super) details: Vec<Any>,
}

/// A detail of a [`Status`].
#[derive(Clone, PartialEq, Message)]
pub(super) struct StorageError {
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
    #[prost(string, tag = "3")]
    pub(super) error_message: String,
}

/// The type of that detail.
pub(super) const STORAGE_ERROR: &str = "type.googleapis.com/google.cloud.bigquery.storage.v1.StorageError";

/// Names of column types, by the numbers that streams' schemas have for them.
pub(super) fn type_name(number: i32) -> &'static str {
    const NAMES: [&str; 17] = [
        "",
        "STRING",
        "INT64",
        "DOUBLE",
        "STRUCT",
        "BYTES",
        "BOOL",
        "TIMESTAMP",
        "DATE",
        "TIME",
        "DATETIME",
        "GEOGRAPHY",
        "NUMERIC",
        "BIGNUMERIC",
        "INTERVAL",
        "JSON",
        "RANGE",
    ];
    usize::try_from(number).ok().and_then(|number| NAMES.get(number)).copied().unwrap_or_default()
}
