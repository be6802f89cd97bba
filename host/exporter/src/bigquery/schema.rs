//! The columns of a table: upstream's, by name and type, and what stands in them for an event.

use std::borrow::Cow;

use flagpost_event::{Event, EventKind, LineError};
use prost_types::field_descriptor_proto::{Label, Type as ProtoType};
use prost_types::{DescriptorProto, FieldDescriptorProto};

/// A column's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    String,
    Integer,
    Boolean,
    /// Gets JSON text.
    Json,
}

use Type::{Boolean, Integer, Json, String as Text};

impl Type {
    /// What it is called when a table is made.
    pub(super) fn name(self) -> &'static str {
        match self {
            Text => "STRING",
            Integer => "INTEGER",
            Boolean => "BOOLEAN",
            Json => "JSON",
        }
    }

    /// Types of existing columns that take the same values.
    fn fits(self, found: &str) -> bool {
        let taken: &[&str] = match self {
            Text => &["STRING"],
            Integer => &["INTEGER", "INT64", "NUMERIC", "BIGNUMERIC"],
            Boolean => &["BOOLEAN", "BOOL"],
            Json => &["JSON", "STRING"],
        };
        taken.iter().any(|taken| taken.eq_ignore_ascii_case(found))
    }

    fn proto(self) -> ProtoType {
        match self {
            Text | Json => ProtoType::String,
            Integer => ProtoType::Int64,
            Boolean => ProtoType::Bool,
        }
    }
}

/// A column that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) of: Type,
}

const fn column(name: &'static str, of: Type) -> Column {
    Column { name, of }
}

const FEATURE: &[Column] = &[
    column("kind", Text),
    column("context_kind", Text),
    column("user_key", Text),
    column("creation_date", Integer),
    column("key", Text),
    column("variation", Text),
    column("value", Json),
    column("default", Boolean),
    column("version", Text),
    column("source", Text),
    column("metadata", Json),
];

const TRACKING: &[Column] = &[
    column("kind", Text),
    column("context_kind", Text),
    column("user_key", Text),
    column("creation_date", Integer),
    column("key", Text),
    column("tracking_details", Json),
    column("evaluation_context", Json),
];

/// The columns of a kind of events, in upstream's order.
pub(super) fn columns(kind: EventKind) -> &'static [Column] {
    match kind {
        EventKind::Feature => FEATURE,
        EventKind::Tracking => TRACKING,
    }
}

/// What stands in one column.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    /// Text, or JSON as text.
    Text(Cow<'a, str>),
    Integer(i64),
    Boolean(bool),
}

impl<'a> From<flagpost_event::Json<'a>> for Value<'a> {
    fn from(json: flagpost_event::Json<'a>) -> Self {
        Value::Text(json.into_text())
    }
}

/// The values of an event, one for each of its [columns]. None is left out: what an event does not have is empty, or JSON's `null`.
///
/// # Errors
/// A line that is no event of the kind.
pub(super) fn values(kind: EventKind, line: &[u8]) -> Result<Vec<Value<'_>>, LineError> {
    Ok(match Event::from_line(kind, line)? {
        Event::Feature(event) => vec![
            Value::Text(event.kind),
            Value::Text(event.context_kind),
            Value::Text(event.user_key),
            Value::Integer(event.creation_date),
            Value::Text(event.key),
            Value::Text(event.variation),
            event.value.into(),
            Value::Boolean(event.default),
            Value::Text(event.version),
            Value::Text(event.source),
            event.metadata.unwrap_or(flagpost_event::Json::NULL).into(),
        ],
        Event::Tracking(event) => vec![
            Value::Text(event.kind),
            Value::Text(event.context_kind),
            Value::Text(event.user_key),
            Value::Integer(event.creation_date),
            Value::Text(event.key),
            event.tracking_event_details.into(),
            event.evaluation_context.into(),
        ],
    })
}

/// The columns as a Protobuf message: field numbers count from 1. Every field tells "empty" from "missing", as BigQuery does.
pub(super) fn descriptor(kind: EventKind) -> DescriptorProto {
    let field = |(number, column): (i32, &Column)| FieldDescriptorProto {
        name: Some(column.name.to_owned()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(column.of.proto().into()),
        ..FieldDescriptorProto::default()
    };
    DescriptorProto { name: Some("Event".to_owned()), field: (1..).zip(columns(kind)).map(field).collect(), ..DescriptorProto::default() }
}

/// A column that a table has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) name: String,
    /// Its type's name; empty when it is not known.
    pub(super) of: String,
    pub(super) required: bool,
}

/// What a table lacks, and what of it can never be written to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) missing: Vec<Column>,
    /// In words.
    pub(super) wrong: Vec<String>,
}

/// Compares the columns of a kind with a table's.
pub(super) fn difference(kind: EventKind, found: &[Found]) -> Difference {
    let columns = columns(kind);
    let mut difference = Difference::default();
    for column in columns {
        match found.iter().find(|found| found.name.eq_ignore_ascii_case(column.name)) {
            None => difference.missing.push(*column),
            Some(found) if !found.of.is_empty() && !column.of.fits(&found.of) => {
                difference.wrong.push(format!("its column `{}` is {} where {} is expected", column.name, found.of, column.of.name()));
            }
            Some(_) => {}
        }
    }
    for found in found.iter().filter(|found| found.required) {
        if !columns.iter().any(|column| found.name.eq_ignore_ascii_case(column.name)) {
            difference.wrong.push(format!("its column `{}` is REQUIRED, and events have nothing for it", found.name));
        }
    }
    difference
}

impl Difference {
    /// What is to be told of it; `None`: the table can be written to.
    pub(super) fn words(&self) -> Option<String> {
        let missing = self.missing.iter().map(|column| format!("it has no column `{}` ({})", column.name, column.of.name()));
        let all: Vec<String> = missing.chain(self.wrong.iter().cloned()).collect();
        if all.is_empty() { None } else { Some(all.join("; ")) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn found(name: &str, of: &str, required: bool) -> Found {
        Found { name: name.to_owned(), of: of.to_owned(), required }
    }

    #[test]
    fn each_event_has_a_value_for_each_column() {
        let feature = br#"{"kind":"feature","contextKind":"user","userKey":"Zo\u00eb","creationDate":1700000000,"key":"k","variation":"on","value":{"a":[1,"<"]},"default":true,"version":"2","source":"SERVER","metadata":{"m":1}}"#;
        let bare = br#"{"kind":"feature","userKey":"u","creationDate":-1,"key":"k","variation":"","value":null,"default":false,"version":"","source":"SERVER"}"#;
        let tracking = br#"{"kind":"tracking","contextKind":"user","userKey":"u","creationDate":1,"key":"k","evaluationContext":{"c":1},"trackingEventDetails":{"d":2}}"#;
        let text = |text: &str| Value::Text(Cow::Owned(text.to_owned()));
        let expected = vec![
            text("feature"),
            text("user"),
            text("Zoë"),
            Value::Integer(1_700_000_000),
            text("k"),
            text("on"),
            text(r#"{"a":[1,"<"]}"#),
            Value::Boolean(true),
            text("2"),
            text("SERVER"),
            text(r#"{"m":1}"#),
        ];
        assert_eq!(values(EventKind::Feature, feature).unwrap(), expected);
        let expected = vec![
            text("feature"),
            text(""),
            text("u"),
            Value::Integer(-1),
            text("k"),
            text(""),
            text("null"),
            Value::Boolean(false),
            text(""),
            text("SERVER"),
            text("null"),
        ];
        assert_eq!(values(EventKind::Feature, bare).unwrap(), expected);
        let expected =
            vec![text("tracking"), text("user"), text("u"), Value::Integer(1), text("k"), text(r#"{"d":2}"#), text(r#"{"c":1}"#)];
        assert_eq!(values(EventKind::Tracking, tracking).unwrap(), expected);
        for kind in EventKind::ALL {
            assert_eq!(values(kind, b"{}").unwrap().len(), columns(kind).len());
            assert!(values(kind, b"nonsense").is_err());
        }
    }

    #[test]
    fn a_table_is_compared_by_name_and_type() {
        let of = |kind| columns(kind).iter().map(|column| found(column.name, column.of.name(), false)).collect::<Vec<_>>();
        for kind in EventKind::ALL {
            assert_eq!(difference(kind, &of(kind)), Difference::default());
        }
        let mut table = of(EventKind::Tracking);
        table[0].name = "KIND".to_owned();
        table[3].of = "INT64".to_owned();
        table[5].of = "STRING".to_owned();
        table.push(found("inserted_at", "TIMESTAMP", false));
        assert_eq!(difference(EventKind::Tracking, &table).words(), None);
        table[3].of = "DATE".to_owned();
        table.push(found("tenant", "STRING", true));
        table.remove(6);
        let words = difference(EventKind::Tracking, &table).words().unwrap();
        let expected = "it has no column `evaluation_context` (JSON); its column `creation_date` is DATE where INTEGER is expected; its column `tenant` is REQUIRED, and events have nothing for it";
        assert_eq!(words, expected);
        assert_eq!(difference(EventKind::Feature, &of(EventKind::Tracking)).missing.len(), 6);
    }

    #[test]
    fn the_descriptor_has_every_column() {
        let descriptor = descriptor(EventKind::Feature);
        let fields: Vec<_> = descriptor.field.iter().map(|field| (field.name.as_deref().unwrap(), field.number.unwrap())).collect();
        assert_eq!((fields[0], fields[10], fields.len()), (("kind", 1), ("metadata", 11), 11));
        assert_eq!(descriptor.field[7].r#type(), ProtoType::Bool);
        assert_eq!(descriptor.field[6].r#type(), ProtoType::String);
    }
}
