#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use ::parquet::basic::{ConvertedType, LogicalType, Type as PhysicalType};
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::record::{Field, Row};
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{BatchId, FeatureEvent, Json, StreamName, TrackingEvent, Zone};

fn options(quote: bool) -> TemplateOptions {
    TemplateOptions { zone: Zone::utc(), quote }
}

fn feature(user: &str, value: Value, metadata: Value) -> Vec<u8> {
    let mut line = Vec::new();
    let event = FeatureEvent {
        kind: "feature".into(),
        context_kind: "user".into(),
        user_key: user.into(),
        creation_date: 1_617_970_547,
        key: "flag".into(),
        variation: "A".into(),
        value: Json::from(value),
        default: false,
        version: "".into(),
        source: "SERVER".into(),
        metadata: Some(Json::from(metadata)),
    };
    event.write_line(&mut line);
    line
}

fn tracking(user: &str, details: Value) -> Vec<u8> {
    let mut line = Vec::new();
    let event = TrackingEvent {
        kind: "tracking".into(),
        context_kind: "".into(),
        user_key: user.into(),
        creation_date: -1,
        key: "buy".into(),
        evaluation_context: Json::NULL,
        tracking_event_details: Json::from(details),
    };
    event.write_line(&mut line);
    line
}

fn batch(kind: EventKind, lines: &[Vec<u8>]) -> EventBatch {
    // Some lines share a chunk.
    let chunks: Vec<Bytes> = lines.chunks(3).map(|lines| lines.concat().into()).collect();
    EventBatch::new(BatchId::new("store-default/feature-1-9"), StreamName::new("default", kind), 1, chunks)
}

fn encode(encoding: &Encoding, batch: &EventBatch) -> (Vec<u8>, Encoded) {
    let mut out = Vec::new();
    let encoded = encoding.encode(batch, &mut out).unwrap();
    (out, encoded)
}

fn rows(file: &[u8]) -> Vec<Row> {
    let reader = SerializedFileReader::new(Bytes::copy_from_slice(file)).unwrap();
    reader.get_row_iter(None).unwrap().map(Result::unwrap).collect()
}

fn cell(row: &Row, name: &str) -> Field {
    row.get_column_iter().find(|(column, _)| *column == name).unwrap().1.clone()
}

fn text(field: Field) -> String {
    match field {
        Field::Str(text) => text,
        other => panic!("{other:?} is no text"),
    }
}

fn map(field: &Field) -> BTreeMap<String, String> {
    match field {
        Field::MapInternal(map) => map.entries().iter().map(|(name, value)| (text(name.clone()), text(value.clone()))).collect(),
        other => panic!("{other:?} is no map"),
    }
}

#[test]
fn csv_is_a_text_per_event_by_upstreams_default_and_ours() {
    let features =
        [feature("a", json!("YO"), json!({})), feature("b", json!(1e6), json!({ "x": 1 })), feature("c", Value::Null, json!({}))];
    let csv = Encoding::csv(None, &EventKind::ALL, &options(false)).unwrap();
    let (out, encoded) = encode(&csv, &batch(EventKind::Feature, &features));
    let expected = "feature;user;a;1617970547;flag;A;YO;false;SERVER\nfeature;user;b;1617970547;flag;A;1e+06;false;SERVER\nfeature;user;c;1617970547;flag;A;<no value>;false;SERVER\n";
    assert_eq!((String::from_utf8(out).unwrap().as_str(), encoded), (expected, Encoded { events: 3, refused: Vec::new() }));
    let tracks = [tracking("a", json!({ "text": "x;\"y\"", "n": 1e6 })), tracking("b", Value::Null)];
    let (out, _) = encode(&csv, &batch(EventKind::Tracking, &tracks));
    let expected =
        "tracking;;a;-1;buy;\"null\";\"{\"\"n\"\":1000000,\"\"text\"\":\"\"x;\\\"\"y\\\"\"\"\"}\"\ntracking;;b;-1;buy;\"null\";\"null\"\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
    assert!(csv.ends_lines(EventKind::Tracking) && csv.can_append());
}

#[test]
fn an_event_that_cannot_be_written_is_left_out_and_named() {
    let lines = [
        feature("a", json!([1]), json!({})),
        feature("b", json!(2), json!({})),
        b"{\"kind\":7}\n".to_vec(),
        feature("d", json!([4]), json!({})),
    ];
    let template = "{{ .UserKey }}{{ index .Value 0 }}\n";
    let csv = Encoding::csv(Some(template), &[EventKind::Feature], &options(false)).unwrap();
    let (out, encoded) = encode(&csv, &batch(EventKind::Feature, &lines));
    assert_eq!(out, b"a1\nd4\n");
    assert_eq!(encoded.events, 2);
    let refused: Vec<_> = encoded.refused.iter().map(|event| event.index).collect();
    assert_eq!(refused, [1, 2]);
    assert!(encoded.refused[0].reason.contains("can't index item of type float64"), "{encoded:?}");
    assert!(encoded.refused[1].reason.contains("not a line of a feature event"), "{encoded:?}");
    let (file, encoded) = encode(&Encoding::parquet(Codec::Snappy, &[EventKind::Feature]), &batch(EventKind::Feature, &lines));
    assert_eq!((rows(&file).len(), encoded.events, encoded.refused.len(), encoded.refused[0].index), (3, 3, 1, 2));
    // A batch without any event that can be written leaves nothing behind.
    for encoding in [&csv, &Encoding::parquet(Codec::Zstd, &[EventKind::Feature])] {
        let (out, encoded) = encode(encoding, &batch(EventKind::Feature, &[b"{}x\n".to_vec()]));
        assert_eq!((out.len(), encoded.events, encoded.refused.len()), (0, 0, 1));
    }
    // Kinds that the exporter was not built for.
    let (out, encoded) = encode(&csv, &batch(EventKind::Tracking, &[tracking("a", Value::Null)]));
    assert_eq!((out.len(), encoded.refused.len()), (0, 1));
}

#[test]
fn parquet_has_upstreams_columns_and_types() {
    let table = [
        (
            EventKind::Feature,
            feature("u", json!(null), json!({ "a": 1 })),
            "kind contextKind userKey creationDate key variation value default version source metadata.key_value.key metadata.key_value.value",
        ),
        (
            EventKind::Tracking,
            tracking("u", json!({ "a": 1 })),
            "kind contextKind userKey creationDate key evaluationContext.key_value.key evaluationContext.key_value.value trackingEventDetails.key_value.key trackingEventDetails.key_value.value",
        ),
    ];
    for (kind, line, columns) in table {
        let (file, _) = encode(&Encoding::parquet(Codec::Snappy, &[kind]), &batch(kind, &[line]));
        let reader = SerializedFileReader::new(Bytes::from(file)).unwrap();
        let facts = reader.metadata().file_metadata();
        let schema = facts.schema_descr();
        let names: Vec<_> = schema.columns().iter().map(|column| column.path().string()).collect();
        assert_eq!(names, columns.split(' ').collect::<Vec<_>>());
        assert_eq!(schema.root_schema().name(), "parquet_go_root");
        for column in schema.columns() {
            let last = column.path().parts().last().unwrap().as_str();
            let expected = match last {
                "creationDate" => (PhysicalType::INT64, ConvertedType::NONE, None),
                "default" => (PhysicalType::BOOLEAN, ConvertedType::NONE, None),
                _ => (PhysicalType::BYTE_ARRAY, ConvertedType::UTF8, Some(LogicalType::String)),
            };
            assert_eq!((column.physical_type(), column.converted_type(), column.logical_type_ref().cloned()), expected, "{last}");
            assert!(!column.self_type().is_optional());
        }
        let mut keys: Vec<_> = facts.key_value_metadata().unwrap().iter().map(|fact| fact.key.as_str()).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["flagpost.batch", "flagpost.stream"]);
        assert!(reader.metadata().row_group(0).column(0).offset_index_offset().is_some());
        assert!(reader.metadata().row_group(0).column(0).statistics().is_some());
    }
}

#[test]
fn parquet_keeps_what_upstream_destroys() {
    let metadata = json!({ "n": 12, "f": 1.5, "t": "plain \"é\u{2028}<", "yes": true, "no": null, "o": { "b": [1, null] }, "": "" });
    let lines = [
        feature("a", Value::Null, metadata),
        feature("b", json!({ "x": "é<b>" }), json!({})),
        feature("c", json!("YO"), json!({ "z": "z" })),
    ];
    let (file, _) = encode(&Encoding::parquet(Codec::Gzip, &[EventKind::Feature]), &batch(EventKind::Feature, &lines));
    let rows = rows(&file);
    let values: Vec<_> = rows.iter().map(|row| text(cell(row, "value"))).collect();
    assert_eq!(values, ["null", "{\"x\":\"é\\u003cb\\u003e\"}", "\"YO\""]);
    let expected =
        [("", ""), ("f", "1.5"), ("n", "12"), ("no", "null"), ("o", "{\"b\":[1,null]}"), ("t", "plain \"é\u{2028}<"), ("yes", "true")];
    assert_eq!(map(&cell(&rows[0], "metadata")), expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    assert!(map(&cell(&rows[1], "metadata")).is_empty());
    assert_eq!(map(&cell(&rows[2], "metadata")), [("z".to_owned(), "z".to_owned())].into());
}

#[test]
fn a_file_of_many_row_groups_names_its_batch() {
    let pad = "x".repeat(900);
    let lines: Vec<_> = (0..20_000).map(|number| feature(&format!("u-{number}"), json!(pad), json!({}))).collect();
    let (file, encoded) = encode(&Encoding::parquet(Codec::Uncompressed, &[EventKind::Feature]), &batch(EventKind::Feature, &lines));
    assert_eq!(encoded.events, 20_000);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("x"), &file).unwrap();
    let open = || std::fs::File::open(dir.path().join("x")).unwrap();
    assert_eq!(SerializedFileReader::new(open()).unwrap().metadata().num_row_groups(), 3);
    assert_eq!(batch_of(open()).as_deref(), Some("store-default/feature-1-9"));
    std::fs::write(dir.path().join("x"), "no parquet").unwrap();
    assert_eq!(batch_of(open()), None);
}

#[test]
fn codecs_have_upstreams_names_and_unreadable_ones_are_refused() {
    for (name, codec) in Codec::ALL {
        assert_eq!((name.parse(), codec.to_string().as_str()), (Ok(codec), name));
        let (file, _) =
            encode(&Encoding::parquet(codec, &[EventKind::Feature]), &batch(EventKind::Feature, &[feature("u", json!(1), json!({}))]));
        assert_eq!(text(cell(&rows(&file)[0], "userKey")), "u");
    }
    assert!("LZ4".parse::<Codec>().unwrap_err().to_string().contains("LZ4_RAW"));
    assert!("LZO".parse::<Codec>().unwrap_err().to_string().contains("LZ4_RAW"));
    assert_eq!("snappy".parse::<Codec>().unwrap_err().to_string(), "not a valid CompressionCodec string");
}

/// Fails after some bytes, as a full disk does.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_cause_of_a_failed_write_is_kept() {
    let batch = batch(EventKind::Feature, &[feature("u", json!(1), json!({ "a": "b" }))]);
    let encodings = [
        Encoding::json_lines(),
        Encoding::csv(None, &[EventKind::Feature], &options(true)).unwrap(),
        Encoding::parquet(Codec::Snappy, &[EventKind::Feature]),
    ];
    for encoding in &encodings {
        let length = encode(encoding, &batch).0.len();
        for room in [0, 3, length / 2, length - 1] {
            let error = encoding.encode(&batch, &mut Full(room)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{encoding:?} {room}");
        }
        assert!(encoding.encode(&batch, &mut Full(length)).is_ok());
    }
}

#[test]
fn pieces_have_one_size_and_make_the_whole() {
    let mut pieces: Vec<Bytes> = Vec::new();
    let mut chunks = Chunks::new(4, |piece| {
        pieces.push(piece);
        Ok(())
    });
    for part in ["ab", "", "cdefghij", "k"] {
        chunks.write_all(part.as_bytes()).unwrap();
    }
    chunks.finish().unwrap();
    assert_eq!(pieces, ["abcd", "efgh", "ijk"]);
}

#[test]
fn exporters_that_want_the_same_bytes_share_them() {
    let pool = Arc::new(Encodings::default());
    let csv = |template: &str| pool.register(Encoding::csv(Some(template), &[EventKind::Feature], &options(false)).unwrap());
    let (first, other) = (csv("{{ .UserKey }}\n"), csv("{{ .Key }}\n"));
    let one = batch(EventKind::Feature, &[feature("a", json!(1), json!({}))]);
    let write = |encoding: &SharedEncoding, batch: &EventBatch| {
        let mut out = Vec::new();
        encoding.encode(batch, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    // Alone with its encoding: nothing is kept.
    assert_eq!((write(&first, &one), write(&other, &one), pool.kept_bytes()), ("a\n".to_owned(), "flag\n".to_owned(), 0));
    let second = csv("{{ .UserKey }}\n");
    assert_eq!(write(&first, &one), "a\n");
    assert!(pool.kept_bytes() > 0);
    // The same id, another set: after partial failures.
    let another = batch(EventKind::Feature, &[feature("b", json!(1), json!({}))]);
    assert_eq!(write(&second, &another), "b\n");
    assert_eq!((write(&second, &one), write(&first, &another)), ("a\n".to_owned(), "b\n".to_owned()));
    assert_eq!(pool.kept_bytes(), 0, "everybody has it");
    assert_eq!(write(&first, &one), "a\n");
    drop(second);
    assert_eq!(pool.kept_bytes(), 0, "nobody else will ask");
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map(any::<String>(), inner, 0..5).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn object() -> impl Strategy<Value = Value> {
    proptest::collection::btree_map(any::<String>(), value(), 0..5).prop_map(|members| Value::Object(members.into_iter().collect()))
}

/// What the map column holds of an object.
fn as_texts(object: &Value) -> BTreeMap<String, String> {
    let members = object.as_object().into_iter().flatten();
    members
        .map(|(name, value)| {
            let value = value.as_str().map_or_else(|| Json::from(value.clone()).as_str().to_owned(), str::to_owned);
            (name.clone(), value)
        })
        .collect()
}

proptest! {
    #[test]
    fn parquet_reads_back_as_it_was(events in proptest::collection::vec((any::<String>(), value(), object()), 1..20), codec in 0..6_usize) {
        let lines: Vec<_> = events.iter().map(|(user, value, metadata)| feature(user, value.clone(), metadata.clone())).collect();
        let (file, encoded) = encode(&Encoding::parquet(Codec::ALL[codec].1, &[EventKind::Feature]), &batch(EventKind::Feature, &lines));
        prop_assert_eq!(encoded, Encoded { events: events.len(), refused: Vec::new() });
        for (row, (user, value, metadata)) in rows(&file).iter().zip(&events) {
            prop_assert_eq!(&text(cell(row, "userKey")), user);
            let json = Json::from(value.clone());
            prop_assert_eq!(text(cell(row, "value")), json.as_str());
            prop_assert_eq!(map(&cell(row, "metadata")), as_texts(metadata));
        }
        let lines: Vec<_> = events.iter().map(|(user, _, details)| tracking(user, details.clone())).collect();
        let (file, _) = encode(&Encoding::parquet(Codec::ALL[codec].1, &[EventKind::Tracking]), &batch(EventKind::Tracking, &lines));
        for (row, (_, _, details)) in rows(&file).iter().zip(&events) {
            prop_assert_eq!(map(&cell(row, "trackingEventDetails")), as_texts(details));
        }
    }

    #[test]
    fn quoted_csv_reads_back_as_it_was(users in proptest::collection::vec(any::<String>(), 1..10), value in value()) {
        let lines: Vec<_> = users.iter().map(|user| feature(user, value.clone(), json!({}))).collect();
        let template = "{{ .UserKey }},{{ json .Value }}\r\n";
        let csv = Encoding::csv(Some(template), &[EventKind::Feature], &options(true)).unwrap();
        let (out, encoded) = encode(&csv, &batch(EventKind::Feature, &lines));
        prop_assert_eq!(encoded.events, users.len());
        let mut text = std::str::from_utf8(&out).unwrap();
        for user in &users {
            let quoted = format!("\"{}\",\"", user.replace('"', "\"\""));
            prop_assert!(text.starts_with(&quoted));
            text = &text[quoted.len()..];
            let end = text.find("\"\r\n").unwrap();
            let json: Value = serde_json::from_str(&text[..end].replace("\"\"", "\"")).unwrap();
            prop_assert!(json.is_object() == value.is_object() && json.is_null() == value.is_null());
            text = &text[end + 3..];
        }
        prop_assert!(text.is_empty());
    }
}
