//! Canonical JSON text.

mod canonical;
mod error;
mod number;
mod scan;
mod string;
#[cfg(test)]
mod tests;

pub(crate) use canonical::{Bounds, Canonical};
pub(crate) use error::{Fault, Soft, SyntaxError};
pub(crate) use number::write_float;
pub(crate) use scan::{RawNumber, Scanner, Word};
pub(crate) use string::{RawStr, write_string};

use std::borrow::Cow;

/// Canonical JSON text: what upstream's encoder (Go's encoding/json) would print for the same value.
///
/// Compact; object keys sorted by their bytes, the last of equal keys wins; `< > &`, U+2028 and U+2029 escaped; floats in Go's form, `-0`
/// kept. Integers that fit 64 bits are kept exactly, where upstream rounds them to a float above 2^53. Lone surrogates and bytes that
/// are not UTF-8 are U+FFFD, as in Go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Json<'a>(Cow<'a, str>);

impl<'a> Json<'a> {
    /// `null`.
    pub const NULL: Json<'static> = Json(Cow::Borrowed("null"));

    /// Text that is known to be canonical.
    pub(crate) fn trusted(text: &'a str) -> Self {
        Json(Cow::Borrowed(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text itself.
    pub fn into_text(self) -> Cow<'a, str> {
        self.0
    }

    /// The same text, owned.
    pub fn into_owned(self) -> Json<'static> {
        Json(Cow::Owned(self.0.into_owned()))
    }
}

impl Json<'static> {
    /// Deepest nesting that [`canonical`](Self::canonical) takes, whatever its caller allows: it recurses.
    pub const MAX_DEPTH: usize = 500;

    /// Brings raw JSON text into canonical form. Arrays and objects may be nested `max_depth` deep, at most [`MAX_DEPTH`](Self::MAX_DEPTH).
    ///
    /// # Errors
    /// Text that is not exactly one JSON value, is nested deeper, or has a number beyond a 64-bit float's range.
    pub fn canonical(raw: &[u8], max_depth: usize) -> Result<Self, JsonError> {
        let max_depth = max_depth.min(Self::MAX_DEPTH);
        let mut scanner = Scanner::new(raw);
        let mut out = Vec::with_capacity(raw.len());
        let bounds = Bounds { depth: max_depth, bytes: usize::MAX };
        Canonical::default().write(&mut scanner, 0, bounds, &mut out).map_err(|fault| match fault {
            Fault::Syntax(error) => JsonError::syntax(error, raw.len()),
            Fault::Soft(Soft::TooDeep) => JsonError { offset: 0, reason: format!("nested deeper than {max_depth} arrays and objects") },
            Fault::Soft(Soft::TooLong) => JsonError { offset: 0, reason: "too long".to_owned() },
            Fault::Soft(Soft::NumberRange { start, end }) => {
                let number = String::from_utf8_lossy(&raw[start..end]).into_owned();
                JsonError { offset: end, reason: format!("the number {number} is beyond the range of a 64-bit float") }
            }
        })?;
        if scanner.peek().is_some() {
            let offset = scanner.position() + 1;
            return Err(JsonError { offset, reason: "more text after the JSON value: expected its end".to_owned() });
        }
        // Every string was decoded to UTF-8 before it was written, all else is ASCII.
        let text = String::from_utf8(out).map_err(|_| JsonError { offset: raw.len(), reason: "not UTF-8".to_owned() })?;
        Ok(Json(Cow::Owned(text)))
    }
}

impl From<serde_json::Value> for Json<'static> {
    fn from(value: serde_json::Value) -> Self {
        let mut out = Vec::new();
        write_value(&value, &mut out);
        Json(Cow::Owned(String::from_utf8_lossy(&out).into_owned()))
    }
}

/// As deep as the value itself is nested, which its own `Drop` is too.
fn write_value(value: &serde_json::Value, out: &mut Vec<u8>) {
    use serde_json::Value;
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => {
            let text = number.to_string();
            let integer = !number.is_f64();
            RawNumber { raw: text.as_bytes(), integer }.write(out);
        }
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_value(item, out);
            }
            out.push(b']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            out.push(b'{');
            for (index, (name, value)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_string(name, out);
                out.push(b':');
                write_value(value, out);
            }
            out.push(b'}');
        }
    }
}

/// Text that is not JSON, or not JSON that can be kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset}: {reason}")]
pub struct JsonError {
    /// Bytes up to and including the offending one, as Go counts them.
    pub offset: usize,
    /// What is wrong there; for syntax errors in Go's words.
    pub reason: String,
}

impl JsonError {
    fn syntax(error: SyntaxError, end: usize) -> Self {
        let offset = match error {
            SyntaxError::End => end,
            SyntaxError::Byte { offset, .. } => offset,
        };
        JsonError { offset, reason: error.to_string() }
    }
}
