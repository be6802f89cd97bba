//! What the functions do. `and` and `or` are lazy and stand in `exec.rs`.

use std::cmp::Ordering;

use super::escape;
use super::format::{sprint, sprintf, sprintln};
use super::functions::CSV;
use super::value::{IntType, Value, write_json};

type Called = Result<Value, String>;

/// Calls a function with evaluated arguments, whose number was checked.
pub(super) fn call(name: &str, arguments: &[Value]) -> Called {
    let first = arguments.first().unwrap_or(&Value::Missing);
    let rest = arguments.get(1..).unwrap_or_default();
    let text = |text: String| Ok(Value::Text(text.into()));
    match name {
        "not" => Ok(Value::Bool(!first.is_true())),
        "print" => text(sprint(arguments)),
        "println" => text(sprintln(arguments)),
        "printf" => match first {
            Value::Text(format) => text(sprintf(format, rest)),
            other => Err(format!("wrong type for value; expected string; got {}", other.type_name())),
        },
        "html" => text(escape::html(&plain(arguments))),
        "js" => text(escape::js(&plain(arguments))),
        "urlquery" => text(escape::url_query(&plain(arguments))),
        "len" => match first {
            Value::Text(text) => Ok(Value::int(text.len())),
            Value::List(items) => Ok(Value::int(items.len())),
            Value::Map(members) => Ok(Value::int(members.len())),
            Value::NoMap => Ok(Value::int(0)),
            Value::Missing | Value::Nil => Err("len of nil pointer".to_owned()),
            other => Err(format!("len of type {}", other.type_name())),
        },
        "index" => index(first, rest),
        "slice" => slice(first, rest),
        "eq" => rest.iter().try_fold(false, |found, other| Ok(found || equal(first, other)?)).map(Value::Bool),
        "ne" => equal(first, rest.first().unwrap_or(&Value::Missing)).map(|equal| Value::Bool(!equal)),
        "lt" | "le" | "gt" | "ge" => {
            let order = order(first, rest.first().unwrap_or(&Value::Missing))?;
            // Go derives the others from `<` and `==`, which a NaN would tell; JSON has none.
            Ok(Value::Bool(match name {
                "lt" => order == Ordering::Less,
                "le" => order != Ordering::Greater,
                "gt" => order == Ordering::Greater,
                _ => order != Ordering::Less,
            }))
        }
        "json" => {
            let mut out = Vec::new();
            write_json(first, &mut out);
            text(String::from_utf8_lossy(&out).into_owned())
        }
        CSV => text(format!("\"{}\"", plain(arguments).replace('"', "\"\""))),
        other => Err(format!("function {other:?} not defined")),
    }
}

/// The arguments as they would be printed.
fn plain(arguments: &[Value]) -> String {
    let nothing = |value: &Value| matches!(value, Value::Missing | Value::Nil);
    if arguments.iter().any(nothing) {
        let named: Vec<_> = arguments.iter().map(|value| if nothing(value) { Value::text("<no value>") } else { value.clone() }).collect();
        return sprint(&named);
    }
    sprint(arguments)
}

/// An index into something of that length; the length itself is allowed when slicing.
fn position(index: &Value, length: usize) -> Result<usize, String> {
    match index {
        Value::Int(value, _) => {
            usize::try_from(*value).ok().filter(|at| *at <= length).ok_or_else(|| format!("index out of range: {value}"))
        }
        Value::Missing | Value::Nil => Err("cannot index slice/array with nil".to_owned()),
        other => Err(format!("cannot index slice/array with type {}", other.type_name())),
    }
}

fn index(item: &Value, indexes: &[Value]) -> Called {
    if matches!(item, Value::Missing | Value::Nil) {
        return Err("index of untyped nil".to_owned());
    }
    indexes.iter().try_fold(item.clone(), |item, index| match &item {
        Value::Text(text) => {
            let at = position(index, text.len())?;
            let byte = text.as_bytes().get(at).ok_or_else(|| format!("index out of range: {at}"))?;
            Ok(Value::Int((*byte).into(), IntType::Uint8))
        }
        Value::List(items) => {
            let at = position(index, items.len())?;
            items.get(at).cloned().ok_or_else(|| format!("index out of range: {at}"))
        }
        Value::Map(_) | Value::NoMap => match index {
            Value::Text(name) => Ok(item.member(name).cloned().unwrap_or(Value::Nil)),
            Value::Missing | Value::Nil => Err("value is nil; should be of type string".to_owned()),
            other => Err(format!("value has type {}; should be string", other.type_name())),
        },
        Value::Missing | Value::Nil => Err("index of nil pointer".to_owned()),
        other => Err(format!("can't index item of type {}", other.type_name())),
    })
}

fn slice(item: &Value, indexes: &[Value]) -> Called {
    let length = match item {
        Value::Text(_) if indexes.len() == 3 => return Err("cannot 3-index slice a string".to_owned()),
        Value::Text(text) => text.len(),
        Value::List(items) => items.len(),
        Value::Missing | Value::Nil => return Err("slice of untyped nil".to_owned()),
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    let mut bounds = [0, length, length];
    for (bound, index) in bounds.iter_mut().zip(indexes) {
        *bound = position(index, length)?;
    }
    let [from, to, cap] = bounds;
    if from > to || to > cap {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    Ok(match item {
        // A character that is cut is U+FFFD, as it is when Go's bytes are read as text.
        Value::Text(text) => Value::text(&lossy(&text.as_bytes()[from..to])),
        Value::List(items) => Value::List(items[from..to].into()),
        other => other.clone(),
    })
}

/// Each byte that is no text is a U+FFFD of its own.
fn lossy(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}

fn equal(a: &Value, b: &Value) -> Result<bool, String> {
    let nothing = |value: &Value| matches!(value, Value::Missing | Value::Nil);
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::Int(a, _), Value::Int(b, _)) => Ok(a == b),
        (Value::Float(a), Value::Float(b)) => Ok(a == b),
        (Value::Text(a), Value::Text(b)) => Ok(a == b),
        (a, b) if nothing(a) && nothing(b) => Ok(true),
        (Value::NoMap, Value::NoMap) => Ok(true),
        (Value::NoMap, other) | (other, Value::NoMap) if nothing(other) => Ok(true),
        (Value::NoMap, Value::Map(_)) | (Value::Map(_), Value::NoMap) => Ok(false),
        (a, b) if nothing(a) || nothing(b) => Ok(false),
        (Value::List(_), Value::List(_)) | (Value::Map(_), Value::Map(_)) => Err(format!("non-comparable type {}", a.type_name())),
        _ => Err(format!("incompatible types for comparison: {} and {}", a.type_name(), b.type_name())),
    }
}

fn order(a: &Value, b: &Value) -> Result<Ordering, String> {
    match (a, b) {
        (Value::Int(a, _), Value::Int(b, _)) => Ok(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => Ok(a.total_cmp(b)).map(|order| if a == b { Ordering::Equal } else { order }),
        (Value::Text(a), Value::Text(b)) => Ok(a.cmp(b)),
        (Value::Int(..) | Value::Float(_) | Value::Text(_), Value::Int(..) | Value::Float(_) | Value::Text(_)) => {
            Err(format!("incompatible types for comparison: {} and {}", a.type_name(), b.type_name()))
        }
        _ => Err("invalid type for comparison".to_owned()),
    }
}
