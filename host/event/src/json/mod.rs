//! Canonical JSON text.

use std::borrow::Cow;

/// Canonical JSON text: what upstream's encoder (Go's encoding/json) would print for the same value.
///
/// Compact; object keys sorted by their bytes, the last of equal keys wins; `< > &`, U+2028 and U+2029 escaped; floats in Go's form.
/// Integers that fit 64 bits are kept exactly, where upstream rounds them to a float above 2^53.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Json<'a>(Cow<'a, str>);

impl<'a> Json<'a> {
    /// `null`.
    pub const NULL: Json<'static> = Json(Cow::Borrowed("null"));

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same text, owned.
    pub fn into_owned(self) -> Json<'static> {
        Json(Cow::Owned(self.0.into_owned()))
    }
}

impl Json<'static> {
    /// Brings raw JSON text into canonical form. Arrays and objects may be nested `max_depth` deep.
    pub fn canonical(raw: &[u8], max_depth: usize) -> Result<Self, JsonError> {
        let _ = (raw, max_depth);
        todo!()
    }
}

impl From<serde_json::Value> for Json<'static> {
    fn from(value: serde_json::Value) -> Self {
        let _ = value;
        todo!()
    }
}

/// Text that is not JSON, or not JSON that can be kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset}: {reason}")]
pub struct JsonError {
    /// Bytes up to and including the offending one, as Go counts them.
    pub offset: usize,
    /// Go's words.
    pub reason: String,
}
