//! The members of an object, as a map of texts.

use std::borrow::Cow;

use crate::Json;
use crate::json::{Scanner, SyntaxError};

/// Hands each member of an object to `take`: its name, and its value as it is when it is a text, else as JSON text. `null` has no members.
pub(super) fn members<'a>(json: &'a Json<'_>, take: &mut dyn FnMut(Cow<'a, str>, Cow<'a, str>)) -> Result<(), SyntaxError> {
    let text: &'a str = json.as_str();
    let mut scanner = Scanner::new(text.as_bytes());
    if scanner.value()? != b'{' {
        return Ok(());
    }
    scanner.open();
    let mut first = true;
    while let Some(name) = scanner.member(first)? {
        first = false;
        let value = if scanner.value()? == b'"' {
            scanner.string()?.decode()
        } else {
            let start = scanner.position();
            scanner.skip(1)?;
            Cow::Borrowed(text.get(start..scanner.position()).unwrap_or("null"))
        };
        take(name.decode(), value);
    }
    Ok(())
}
