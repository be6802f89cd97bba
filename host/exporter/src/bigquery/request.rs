//! From a batch to one request. A request is taken as a whole or not at all, so a batch is never more than one of them: that is what makes
//! "is it there already" a question with one answer.

use bytes::{BufMut, Bytes, BytesMut};
use flagpost_event::{EventBatch, EventKind};
use prost::encoding::{WireType, encode_key, encode_varint};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use sha2::{Digest, Sha256};

use crate::RejectedEvent;

use super::messages::{AppendRowsRequest, ProtoData, ProtoRows, ProtoSchema};
use super::schema::{Value, columns, descriptor, values};

/// The most bytes of JSON lines in one append: BigQuery takes 10 MB, and a row is smaller than its line, which has the columns' names in it.
pub(super) const MOST_APPENDED: usize = 8 << 20;

/// The most bytes of an append, a little below BigQuery's 10 MB.
pub(super) const LARGEST_APPEND: usize = 9_900_000;

/// The most rows of one insertAll; upstream's, and BigQuery's advice is less than its limit of 50,000.
pub(super) const MOST_INSERTED: usize = 10_000;

/// The most bytes of JSON lines in one insertAll: BigQuery takes 10 MB, JSON within JSON may double, and each row has an id of its own.
pub(super) const MOST_INSERTED_BYTES: usize = 4 << 20;

/// A batch's rows.
#[derive(Debug)]
pub(super) struct Rows<R> {
    pub(super) rows: Vec<R>,
    /// The place in the batch of each.
    pub(super) places: Vec<u32>,
    /// Lines that are no events.
    pub(super) rejected: Vec<RejectedEvent>,
}

impl<R> Rows<R> {
    fn of<'b>(batch: &'b EventBatch, mut make: impl FnMut(u32, Vec<Value<'b>>) -> R) -> Rows<R> {
        let mut rows = Rows { rows: Vec::with_capacity(batch.len()), places: Vec::with_capacity(batch.len()), rejected: Vec::new() };
        for (place, line) in (0u32..).zip(batch.lines()) {
            match values(batch.kind(), line) {
                Ok(values) => {
                    rows.rows.push(make(place, values));
                    rows.places.push(place);
                }
                Err(error) => rows.rejected.push(RejectedEvent { index: place, reason: error.to_string() }),
            }
        }
        rows
    }

    /// The batch's place of a row; a row that was not sent has none.
    pub(super) fn place(&self, row: i64) -> Option<u32> {
        self.places.get(usize::try_from(row).ok()?).copied()
    }
}

/// Rows as Protobuf messages of [`descriptor`].
pub(super) fn messages(batch: &EventBatch) -> Rows<Bytes> {
    // One allocation for all rows; each is a slice of it.
    let mut room = BytesMut::with_capacity(batch.bytes());
    Rows::of(batch, |_, values| {
        for (tag, value) in (1..).zip(values) {
            match value {
                Value::Text(text) => {
                    encode_key(tag, WireType::LengthDelimited, &mut room);
                    encode_varint(text.len() as u64, &mut room);
                    room.put_slice(text.as_bytes());
                }
                Value::Integer(number) => {
                    encode_key(tag, WireType::Varint, &mut room);
                    encode_varint(number.cast_unsigned(), &mut room);
                }
                Value::Boolean(value) => {
                    encode_key(tag, WireType::Varint, &mut room);
                    encode_varint(u64::from(value), &mut room);
                }
            }
        }
        room.split().freeze()
    })
}

/// Appends rows to a stream where they belong, or not at all.
pub(super) fn append(stream: &str, offset: i64, kind: EventKind, rows: Vec<Bytes>) -> AppendRowsRequest {
    AppendRowsRequest {
        write_stream: stream.to_owned(),
        offset: Some(offset),
        proto_rows: Some(ProtoData {
            writer_schema: Some(ProtoSchema { proto_descriptor: Some(descriptor(kind)) }),
            rows: Some(ProtoRows { serialized_rows: rows }),
        }),
        trace_id: concat!("flagpost:", env!("CARGO_PKG_VERSION")).to_owned(),
    }
}

/// The body of an insertAll, and where its rows stand in the batch.
pub(super) fn insert(batch: &EventBatch) -> Rows<Row<'_>> {
    let kind = batch.kind();
    let ids: Vec<String> = batch.event_ids().map(short).collect();
    Rows::of(batch, |place, values| Row { insert_id: ids.get(place as usize).cloned().unwrap_or_default(), json: Columns(kind, values) })
}

/// An event's id, or its digest: an insertId has at most 128 bytes.
fn short(id: String) -> String {
    const LONGEST: usize = 128;
    if id.len() <= LONGEST { id } else { hex::encode(Sha256::digest(id.as_bytes())) }
}

/// A whole insertAll: valid rows are taken although others are not.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Insert<'a> {
    pub(super) kind: &'static str,
    pub(super) skip_invalid_rows: bool,
    pub(super) rows: &'a [Row<'a>],
}

impl<'a> Insert<'a> {
    pub(super) fn of(rows: &'a [Row<'a>]) -> Self {
        Insert { kind: "bigquery#tableDataInsertAllRequest", skip_invalid_rows: true, rows }
    }
}

/// A row and the id that BigQuery knows it again by, for a minute or so.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row<'a> {
    insert_id: String,
    json: Columns<'a>,
}

#[derive(Debug)]
struct Columns<'a>(EventKind, Vec<Value<'a>>);

impl Serialize for Columns<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.1.len()))?;
        for (column, value) in columns(self.0).iter().zip(&self.1) {
            match value {
                Value::Text(text) => map.serialize_entry(column.name, text)?,
                Value::Integer(number) => map.serialize_entry(column.name, number)?,
                Value::Boolean(value) => map.serialize_entry(column.name, value)?,
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use flagpost_event::{BatchId, StreamName};
    use prost::Message;
    use serde_json::json;

    use super::*;

    fn batch(kind: EventKind, text: &str) -> EventBatch {
        EventBatch::new(BatchId::new("s-default.feature-1-9"), StreamName::new("default", kind), 1, vec![Bytes::from(text.to_owned())])
    }

    const LINES: &str = "{\"kind\":\"feature\",\"userKey\":\"Zoë\",\"creationDate\":-3,\"key\":\"k\",\"variation\":\"on\",\"value\":{\"a\":\"b\"},\"default\":true,\"version\":\"\",\"source\":\"SERVER\"}\nnonsense\n{\"kind\":\"feature\",\"userKey\":\"u\",\"creationDate\":1700000000,\"key\":\"k\",\"variation\":\"\",\"value\":1,\"default\":false,\"version\":\"1\",\"source\":\"S\",\"metadata\":{\"m\":1}}\n";

    /// The same message, as a library's own encoder reads and writes it.
    #[derive(Clone, PartialEq, Message)]
    struct Feature {
        #[prost(string, optional, tag = "1")]
        kind: Option<String>,
        #[prost(string, optional, tag = "2")]
        context_kind: Option<String>,
        #[prost(string, optional, tag = "3")]
        user_key: Option<String>,
        #[prost(int64, optional, tag = "4")]
        creation_date: Option<i64>,
        #[prost(string, optional, tag = "5")]
        key: Option<String>,
        #[prost(string, optional, tag = "6")]
        variation: Option<String>,
        #[prost(string, optional, tag = "7")]
        value: Option<String>,
        #[prost(bool, optional, tag = "8")]
        default: Option<bool>,
        #[prost(string, optional, tag = "9")]
        version: Option<String>,
        #[prost(string, optional, tag = "10")]
        source: Option<String>,
        #[prost(string, optional, tag = "11")]
        metadata: Option<String>,
    }

    #[test]
    fn a_row_is_a_protobuf_message_with_every_column() {
        let rows = messages(&batch(EventKind::Feature, LINES));
        assert_eq!((rows.places.as_slice(), rows.rejected.len(), rows.rejected[0].index), ([0, 2].as_slice(), 1, 1));
        assert_eq!((rows.place(1), rows.place(2), rows.place(-1)), (Some(2), None, None));
        let text = |text: &str| Some(text.to_owned());
        let expected = Feature {
            kind: text("feature"),
            context_kind: text(""),
            user_key: text("Zoë"),
            creation_date: Some(-3),
            key: text("k"),
            variation: text("on"),
            value: text(r#"{"a":"b"}"#),
            default: Some(true),
            version: text(""),
            source: text("SERVER"),
            metadata: text("null"),
        };
        assert_eq!(Feature::decode(rows.rows[0].clone()).unwrap(), expected);
        let second = Feature::decode(rows.rows[1].clone()).unwrap();
        assert_eq!((second.default, second.metadata), (Some(false), text(r#"{"m":1}"#)));
    }

    #[test]
    fn a_row_is_smaller_than_its_line() {
        let escaped = "\\u003c".repeat(100);
        let lines = format!(
            "{{\"kind\":\"\",\"userKey\":\"{escaped}\",\"creationDate\":-9223372036854775808,\"key\":\"\",\"variation\":\"\",\"value\":\"{escaped}\",\"default\":false,\"version\":\"\",\"source\":\"\"}}\n"
        );
        let feature = batch(EventKind::Feature, &lines);
        let tracking = batch(
            EventKind::Tracking,
            "{\"kind\":\"\",\"userKey\":\"\",\"creationDate\":-1,\"key\":\"\",\"evaluationContext\":null,\"trackingEventDetails\":null}\n",
        );
        for batch in [feature, tracking] {
            let request = append("s", 0, batch.kind(), messages(&batch).rows);
            let rows = request.proto_rows.unwrap().rows.unwrap();
            assert!(rows.encoded_len() <= batch.bytes(), "{} {}", rows.encoded_len(), batch.bytes());
        }
    }

    #[test]
    fn an_insert_names_each_row_and_passes_json_as_text() {
        let batch = batch(EventKind::Feature, LINES);
        let rows = insert(&batch);
        assert_eq!((rows.places.as_slice(), rows.rejected.len()), ([0, 2].as_slice(), 1));
        let body = serde_json::to_value(Insert::of(&rows.rows)).unwrap();
        assert_eq!(body["skipInvalidRows"], true);
        let expected = json!({ "kind": "feature", "context_kind": "", "user_key": "Zoë", "creation_date": -3, "key": "k", "variation": "on",
            "value": "{\"a\":\"b\"}", "default": true, "version": "", "source": "SERVER", "metadata": "null" });
        assert_eq!(body["rows"][0]["json"], expected);
        let ids: Vec<&str> = body["rows"].as_array().unwrap().iter().map(|row| row["insertId"].as_str().unwrap()).collect();
        assert_eq!(ids, ["s-default.feature-1-9-0", "s-default.feature-1-9-2"]);
        let numbered = batch.with_numbers(vec![5..6, 8..10]);
        let ids: Vec<String> = insert(&numbered).rows.into_iter().map(|row| row.insert_id).collect();
        assert_eq!(ids, ["s-default.feature-5", "s-default.feature-9"], "the same in whatever batch the event comes");
        assert_eq!((short("x".repeat(128)).len(), short("x".repeat(129)).len()), (128, 64));
    }
}
