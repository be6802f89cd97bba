//! Events from and to canonical lines.
//!
//! Reading trusts what the collector wrote as far as JSON texts go: they are taken over without another look at their order. It does not
//! trust the order of the fields, so that lines edited by hand or written by another version are read too.

use std::borrow::Cow;

use crate::json::{RawStr, Scanner, SyntaxError, Word, write_string};
use crate::{EventKind, FeatureEvent, Json, LineError, TrackingEvent};

impl<'a> FeatureEvent<'a> {
    /// Reads a canonical line, with or without its newline. Strings without escapes and all JSON texts borrow from it. Unknown fields are
    /// passed over, missing ones are empty.
    ///
    /// # Errors
    /// A line that is not UTF-8, not one JSON object, or has a field of another type.
    pub fn from_line(line: &'a [u8]) -> Result<Self, LineError> {
        let mut event = FeatureEvent {
            kind: Cow::Borrowed(""),
            context_kind: Cow::Borrowed(""),
            user_key: Cow::Borrowed(""),
            creation_date: 0,
            key: Cow::Borrowed(""),
            variation: Cow::Borrowed(""),
            value: Json::NULL,
            default: false,
            version: Cow::Borrowed(""),
            source: Cow::Borrowed(""),
            metadata: None,
        };
        read(EventKind::Feature, line, |name, line| {
            match name {
                b"kind" => event.kind = line.text()?,
                b"contextKind" => event.context_kind = line.text()?,
                b"userKey" => event.user_key = line.text()?,
                b"creationDate" => event.creation_date = line.integer()?,
                b"key" => event.key = line.text()?,
                b"variation" => event.variation = line.text()?,
                b"value" => event.value = line.json()?,
                b"default" => event.default = line.boolean()?,
                b"version" => event.version = line.text()?,
                b"source" => event.source = line.text()?,
                b"metadata" => event.metadata = Some(line.object()?).filter(|text| !is_nothing(text)),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(event)
    }

    /// Appends the canonical line, newline included. `metadata` that is `null` or an empty object is left out, as upstream does.
    pub fn write_line(&self, out: &mut Vec<u8>) {
        write_identity(&self.kind, &self.context_kind, &self.user_key, self.creation_date, &self.key, out);
        out.extend_from_slice(b",\"variation\":");
        write_string(&self.variation, out);
        out.extend_from_slice(b",\"value\":");
        out.extend_from_slice(self.value.as_str().as_bytes());
        out.extend_from_slice(if self.default { b",\"default\":true" } else { b",\"default\":false" });
        out.extend_from_slice(b",\"version\":");
        write_string(&self.version, out);
        out.extend_from_slice(b",\"source\":");
        write_string(&self.source, out);
        if let Some(metadata) = self.metadata.as_ref().filter(|text| !is_nothing(text)) {
            out.extend_from_slice(b",\"metadata\":");
            out.extend_from_slice(metadata.as_str().as_bytes());
        }
        out.extend_from_slice(b"}\n");
    }
}

impl<'a> TrackingEvent<'a> {
    /// Reads a canonical line, with or without its newline. Strings without escapes and all JSON texts borrow from it. Unknown fields are
    /// passed over, missing ones are empty.
    ///
    /// # Errors
    /// A line that is not UTF-8, not one JSON object, or has a field of another type.
    pub fn from_line(line: &'a [u8]) -> Result<Self, LineError> {
        let mut event = TrackingEvent {
            kind: Cow::Borrowed(""),
            context_kind: Cow::Borrowed(""),
            user_key: Cow::Borrowed(""),
            creation_date: 0,
            key: Cow::Borrowed(""),
            evaluation_context: Json::NULL,
            tracking_event_details: Json::NULL,
        };
        read(EventKind::Tracking, line, |name, line| {
            match name {
                b"kind" => event.kind = line.text()?,
                b"contextKind" => event.context_kind = line.text()?,
                b"userKey" => event.user_key = line.text()?,
                b"creationDate" => event.creation_date = line.integer()?,
                b"key" => event.key = line.text()?,
                b"evaluationContext" => event.evaluation_context = line.object()?,
                b"trackingEventDetails" => event.tracking_event_details = line.object()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(event)
    }

    /// Appends the canonical line, newline included.
    pub fn write_line(&self, out: &mut Vec<u8>) {
        write_identity(&self.kind, &self.context_kind, &self.user_key, self.creation_date, &self.key, out);
        out.extend_from_slice(b",\"evaluationContext\":");
        out.extend_from_slice(self.evaluation_context.as_str().as_bytes());
        out.extend_from_slice(b",\"trackingEventDetails\":");
        out.extend_from_slice(self.tracking_event_details.as_str().as_bytes());
        out.extend_from_slice(b"}\n");
    }
}

/// What upstream's `omitempty` leaves out of an object field.
fn is_nothing(text: &Json<'_>) -> bool {
    matches!(text.as_str(), "{}" | "null")
}

/// The fields that both kinds begin with.
fn write_identity(kind: &str, context_kind: &str, user_key: &str, creation_date: i64, key: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"kind\":");
    write_string(kind, out);
    if !context_kind.is_empty() {
        out.extend_from_slice(b",\"contextKind\":");
        write_string(context_kind, out);
    }
    out.extend_from_slice(b",\"userKey\":");
    write_string(user_key, out);
    out.extend_from_slice(b",\"creationDate\":");
    out.extend_from_slice(itoa::Buffer::new().format(creation_date).as_bytes());
    out.extend_from_slice(b",\"key\":");
    write_string(key, out);
}

/// Why a line cannot be read.
enum Bad {
    Syntax(SyntaxError),
    Expected(&'static str),
}

impl From<SyntaxError> for Bad {
    fn from(error: SyntaxError) -> Self {
        Bad::Syntax(error)
    }
}

/// A line while it is read.
struct Line<'a> {
    text: &'a str,
    scanner: Scanner<'a>,
}

/// Walks over a line's members; `field` takes the value of a name it knows.
fn read<'a>(kind: EventKind, line: &'a [u8], mut field: impl FnMut(&[u8], &mut Line<'a>) -> Result<bool, Bad>) -> Result<(), LineError> {
    let Ok(text) = std::str::from_utf8(line) else {
        return Err(LineError { kind, reason: "not UTF-8".to_owned() });
    };
    let mut line = Line { text, scanner: Scanner::new(line) };
    line.members(&mut field).map_err(|bad| {
        let at = line.scanner.position();
        let reason = match bad {
            Bad::Syntax(error) => format!("byte {at}: {error}"),
            Bad::Expected(what) => format!("before byte {at}: expected {what}"),
        };
        LineError { kind, reason }
    })
}

impl<'a> Line<'a> {
    fn members(&mut self, field: &mut impl FnMut(&[u8], &mut Line<'a>) -> Result<bool, Bad>) -> Result<(), Bad> {
        if self.scanner.value()? != b'{' {
            return Err(Bad::Expected("an object"));
        }
        self.scanner.open();
        let mut first = true;
        while let Some(name) = self.scanner.member(first)? {
            first = false;
            let known = match name.plain() {
                Some(name) => field(name, self)?,
                None => false,
            };
            if !known {
                self.scanner.skip(1)?;
            }
        }
        if self.scanner.peek().is_some() { Err(Bad::Expected("the line's end")) } else { Ok(()) }
    }

    fn text(&mut self) -> Result<Cow<'a, str>, Bad> {
        if self.scanner.value()? != b'"' {
            return Err(Bad::Expected("a string"));
        }
        let start = self.scanner.position() + 1;
        let string: RawStr<'a> = self.scanner.string()?;
        if string.has_escapes() {
            return Ok(string.decode());
        }
        // Between quotes of a text that is UTF-8 as a whole: no second check.
        Ok(self.text.get(start..self.scanner.position() - 1).map_or_else(|| string.decode(), Cow::Borrowed))
    }

    fn boolean(&mut self) -> Result<bool, Bad> {
        match self.scanner.value()? {
            b't' | b'f' => Ok(self.scanner.word()? == Word::True),
            _ => Err(Bad::Expected("true or false")),
        }
    }

    fn integer(&mut self) -> Result<i64, Bad> {
        match self.scanner.value()? {
            b'-' | b'0'..=b'9' => self.scanner.number()?.to_i64().ok_or(Bad::Expected("an integer of 64 bits")),
            _ => Err(Bad::Expected("an integer")),
        }
    }

    /// An object or `null`.
    fn object(&mut self) -> Result<Json<'a>, Bad> {
        match self.scanner.value()? {
            b'{' | b'n' => self.json(),
            _ => Err(Bad::Expected("an object or null")),
        }
    }

    fn json(&mut self) -> Result<Json<'a>, Bad> {
        self.scanner.value()?;
        let start = self.scanner.position();
        self.scanner.skip(1)?;
        self.text.get(start..self.scanner.position()).map(Json::trusted).ok_or(Bad::Expected("a JSON value"))
    }
}
