//! An event as a template sees it: upstream's Go values.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::json::{Scanner, SyntaxError, Word, write_float, write_string};
use crate::zone::rfc3339;
use crate::{Event, Json, Zone};

/// A value of a template.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Nothing at all: a member that is not there. Prints `<no value>`.
    Missing,
    /// `null` where it stands: Go's nil interface. As the result of a pipeline it is [`Missing`](Self::Missing).
    Nil,
    Bool(bool),
    Int(i64, IntType),
    Float(f64),
    Text(Arc<str>),
    List(Arc<[Value]>),
    Map(Members),
    /// Go's nil map: an empty one that equals nil.
    NoMap,
    /// The event itself; its members are the fields that the template reads.
    Event(Members),
}

/// Sorted by the names' bytes, as Go prints and walks them.
pub(super) type Members = Arc<BTreeMap<Arc<str>, Value>>;

/// Go's integers that templates meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IntType {
    /// Literals and lengths.
    Int,
    /// Dates.
    Int64,
    /// A byte of a text.
    Uint8,
}

impl Value {
    /// Text.
    pub(super) fn text(text: &str) -> Self {
        Value::Text(text.into())
    }

    /// A literal or a length.
    pub(super) fn int(value: usize) -> Self {
        Value::Int(i64::try_from(value).unwrap_or(i64::MAX), IntType::Int)
    }

    /// An object's member.
    pub(super) fn member(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Map(members) | Value::Event(members) => members.get(name),
            _ => None,
        }
    }

    /// Go's truth: neither zero nor empty.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Value::Missing | Value::Nil | Value::NoMap => false,
            Value::Bool(value) => *value,
            Value::Int(value, _) => *value != 0,
            Value::Float(value) => *value != 0.0,
            Value::Text(text) => !text.is_empty(),
            Value::List(items) => !items.is_empty(),
            Value::Map(members) => !members.is_empty(),
            Value::Event(_) => true,
        }
    }

    /// Go's name of the type; `<nil>` for nothing.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Value::Missing | Value::Nil => "<nil>",
            Value::Bool(_) => "bool",
            Value::Int(_, IntType::Int) => "int",
            Value::Int(_, IntType::Int64) => "int64",
            Value::Int(_, IntType::Uint8) => "uint8",
            Value::Float(_) => "float64",
            Value::Text(_) => "string",
            Value::List(_) => "[]interface {}",
            Value::Map(_) | Value::NoMap => "map[string]interface {}",
            Value::Event(_) => "event",
        }
    }
}

/// The members of the dot: those of `used` that the event has.
pub(super) fn dot(event: &Event<'_>, used: &[Arc<str>], zone: &Zone) -> Value {
    let members: BTreeMap<Arc<str>, Value> = used.iter().filter_map(|name| Some((Arc::clone(name), member(event, name, zone)?))).collect();
    Value::Event(Arc::new(members))
}

fn member(event: &Event<'_>, name: &str, zone: &Zone) -> Option<Value> {
    let (kind, context_kind, user_key, creation_date, key) = match event {
        Event::Feature(event) => (&event.kind, &event.context_kind, &event.user_key, event.creation_date, &event.key),
        Event::Tracking(event) => (&event.kind, &event.context_kind, &event.user_key, event.creation_date, &event.key),
    };
    Some(match (name, event) {
        ("Kind", _) => Value::text(kind),
        ("ContextKind", _) => Value::text(context_kind),
        ("UserKey" | "GetUserKey", _) => Value::text(user_key),
        ("CreationDate" | "GetCreationDate", _) => Value::Int(creation_date, IntType::Int64),
        ("FormattedDate", _) => Value::text(&rfc3339(creation_date, zone)),
        ("Key" | "GetKey", _) => Value::text(key),
        ("Variation", Event::Feature(event)) => Value::text(&event.variation),
        ("Value", Event::Feature(event)) => value(&event.value),
        ("Default", Event::Feature(event)) => Value::Bool(event.default),
        ("Version", Event::Feature(event)) => Value::text(&event.version),
        ("Source", Event::Feature(event)) => Value::text(&event.source),
        ("Metadata", Event::Feature(event)) => event.metadata.as_ref().map_or(Value::NoMap, map),
        ("ConvertValueForParquet", Event::Feature(event)) => Value::text(event.value.as_str()),
        ("EvaluationContext", Event::Tracking(event)) => map(&event.evaluation_context),
        ("TrackingDetails", Event::Tracking(event)) => map(&event.tracking_event_details),
        _ => return None,
    })
}

/// A nil map is a map to Go.
fn map(json: &Json<'_>) -> Value {
    match value(json) {
        Value::Nil => Value::NoMap,
        other => other,
    }
}

/// Canonical JSON as Go decodes it into `any`: every number is a float.
pub(super) fn value(json: &Json<'_>) -> Value {
    // Canonical text is sound; its nesting was bounded when it was made.
    read(&mut Scanner::new(json.as_str().as_bytes()), Json::MAX_DEPTH).unwrap_or(Value::Nil)
}

/// Recurses at most `depth` deep; what is nested deeper is passed over.
fn read(scanner: &mut Scanner<'_>, depth: usize) -> Result<Value, SyntaxError> {
    Ok(match scanner.value()? {
        b'"' => Value::text(&scanner.string()?.decode()),
        b'{' | b'[' if depth == 0 => {
            scanner.skip(Json::MAX_DEPTH)?;
            Value::Nil
        }
        b'{' => {
            let mut members = BTreeMap::new();
            scanner.open();
            while let Some(name) = scanner.member(members.is_empty())? {
                members.insert(Arc::from(&*name.decode()), read(scanner, depth - 1)?);
            }
            Value::Map(Arc::new(members))
        }
        b'[' => {
            let mut items = Vec::new();
            scanner.open();
            while scanner.element(items.is_empty())? {
                items.push(read(scanner, depth - 1)?);
            }
            Value::List(items.into())
        }
        b'-' | b'0'..=b'9' => Value::Float(scanner.number()?.to_f64()),
        _ => match scanner.word()? {
            Word::Null => Value::Nil,
            Word::True => Value::Bool(true),
            Word::False => Value::Bool(false),
        },
    })
}

/// A value as canonical JSON text.
pub(super) fn write_json(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Value::Int(value, _) => out.extend_from_slice(itoa::Buffer::new().format(*value).as_bytes()),
        Value::Float(value) if value.is_finite() => write_float(*value, out),
        Value::Text(text) => write_string(text, out),
        Value::List(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_json(item, out);
            }
            out.push(b']');
        }
        Value::Map(members) | Value::Event(members) => {
            out.push(b'{');
            for (index, (name, value)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_string(name, out);
                out.push(b':');
                write_json(value, out);
            }
            out.push(b'}');
        }
        _ => out.extend_from_slice(b"null"),
    }
}
