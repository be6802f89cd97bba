//! A request's outer shape: `meta` and `events`, in any order and any case.
//!
//! Each event is encoded as it is read. When `meta` comes first, it is written with each line; when it comes after the events (some
//! clients do that), the lines are completed in one copy. The limits hold while encoding, since `meta` multiplies.

use crate::json::{Bounds, Fault, RawStr, Scanner, Soft, Word};

use super::encode::{Encoder, finish};
use super::error::ShapeError;
use super::field::{Fields, Work};
use super::{CollectError, CollectLimits, Collected, DropCause, Lines, Rules};

/// Go's names of the types that upstream decodes into.
const BODY_TYPE: &str = "model.CollectEvalDataRequest";
const EVENTS_TYPE: &str = "[]map[string]interface {}";
const OBJECT_TYPE: &str = "map[string]interface {}";

/// Containers around an element of `events`: the body and the array.
const OPEN_AT_EVENT: usize = 2;

/// A request while it is read.
pub(super) struct Request<'a, 'l> {
    limits: &'l CollectLimits,
    rules: Rules,
    scanner: Scanner<'a>,
    work: Work,
    /// The canonical text of `meta`, when there is one that is not null.
    meta: Option<Vec<u8>>,
    /// Where the array of `events` begins, when there is one.
    events: Option<Scanner<'a>>,
    /// Where `meta` stood when the events were encoded: was there any, has it changed since?
    encoded_with: Encoded,
    collected: Collected,
    /// The feature lines, in order.
    written: Vec<FeatureLine>,
}

struct FeatureLine {
    /// Its event's place in the request.
    index: usize,
    /// Where in the bytes its metadata begins, or would.
    metadata_at: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoded {
    /// The lines say what they should.
    Final,
    /// The lines were written without a `meta` and one came later.
    Meta,
    /// The lines were written with a `meta` that another one replaced.
    Stale,
}

impl<'a, 'l> Request<'a, 'l> {
    pub(super) fn new(body: &'a [u8], limits: &'l CollectLimits, rules: Rules) -> Self {
        Request {
            limits,
            rules,
            scanner: Scanner::new(body),
            work: Work::default(),
            meta: None,
            events: None,
            encoded_with: Encoded::Final,
            collected: Collected::default(),
            written: Vec::new(),
        }
    }

    /// Reads the body's one value; what follows it is ignored, as upstream does.
    pub(super) fn read(mut self) -> Result<Collected, CollectError> {
        match self.scanner.peek() {
            None => return Err(CollectError::blank()),
            Some(b'{') => self.body()?,
            Some(_) => self.no_object("", BODY_TYPE)?,
        }
        match (self.events, self.encoded_with) {
            (None, _) => return Err(CollectError::NoEvents),
            (Some(_), Encoded::Final) => {}
            (Some(_), Encoded::Meta) => self.complete()?,
            (Some(at), Encoded::Stale) => {
                self.scanner = at;
                self.read_events()?;
            }
        }
        Ok(self.collected)
    }

    fn body(&mut self) -> Result<(), CollectError> {
        self.scanner.open();
        let mut first = true;
        while let Some(name) = self.scanner.member(first)? {
            first = false;
            if is_named(&name, "meta") && self.rules == Rules::Clients {
                self.read_meta()?;
            } else if is_named(&name, "events") {
                match self.scanner.value()? {
                    b'[' => {
                        self.events = Some(self.scanner);
                        self.read_events()?;
                    }
                    _ => {
                        self.no_object("events", EVENTS_TYPE)?;
                        self.events = None;
                    }
                }
            } else {
                self.scanner.skip(1)?;
            }
        }
        Ok(())
    }

    fn read_meta(&mut self) -> Result<(), CollectError> {
        let before = self.meta.take();
        if self.scanner.value()? == b'{' {
            let bounds = Bounds { depth: self.limits.max_depth, bytes: self.limits.max_meta_bytes };
            let mut text = Vec::new();
            match self.work.canonical.write(&mut self.scanner, 1, bounds, &mut text) {
                Ok(()) => self.meta = Some(text),
                Err(Fault::Syntax(error)) => return Err(error.into()),
                Err(Fault::Soft(Soft::TooDeep)) => return Err(CollectError::meta_too_deep(self.limits.max_depth)),
                Err(Fault::Soft(Soft::TooLong)) => {
                    let limit = self.limits.max_meta_bytes;
                    return Err(CollectError::TooLarge(format!(
                        "meta is over {limit} bytes: it is copied onto each event, send less of it"
                    )));
                }
                Err(Fault::Soft(Soft::NumberRange { start, end })) => {
                    let number = String::from_utf8_lossy(&self.scanner.text()[start..end]);
                    let got = &format!("number {number}");
                    return Err(ShapeError { field: "meta", expected: "float64", got, offset: end + 1 }.into());
                }
            }
        } else {
            self.no_object("meta", OBJECT_TYPE)?;
        }
        if self.events.is_some() && self.meta != before {
            self.encoded_with = if before.is_none() && self.encoded_with == Encoded::Final { Encoded::Meta } else { Encoded::Stale };
        }
        Ok(())
    }

    /// Encodes the array of events; the scanner stands at its `[`. Replaces what another array left.
    fn read_events(&mut self) -> Result<(), CollectError> {
        self.begin_events();
        self.scanner.open();
        let mut index = 0;
        while self.scanner.element(index == 0)? {
            if index == self.limits.max_events {
                return Err(CollectError::TooLarge(format!("more than {index} events in one request: send fewer at a time")));
            }
            let bounds = Bounds { depth: self.limits.max_depth, bytes: self.limits.max_event_bytes };
            let fields = match self.scanner.value()? {
                b'{' => Fields::read(&mut self.scanner, OPEN_AT_EVENT, bounds, &mut self.work)?,
                _ => {
                    self.no_object("events", OBJECT_TYPE)?;
                    Fields::none()
                }
            };
            self.encode(index, &fields)?;
            index += 1;
        }
        self.collected.ingested = index as u64;
        Ok(())
    }

    /// Forgets what another array left, but keeps its memory: a body may be full of arrays.
    fn begin_events(&mut self) {
        let mut bytes = std::mem::take(&mut self.collected.feature.bytes);
        bytes.clear();
        bytes.reserve(self.scanner.text().len().min(self.limits.max_encoded_bytes));
        self.collected = Collected::default();
        self.collected.feature.bytes = bytes;
        self.written.clear();
        self.encoded_with = Encoded::Final;
    }

    fn encode(&mut self, index: usize, fields: &Fields<'a>) -> Result<(), CollectError> {
        let encoder = Encoder { fields, containers: &self.work.containers, rules: self.rules };
        let is_tracking = encoder.is_tracking();
        let Collected { feature, tracking, dropped, normalised_dates, .. } = &mut self.collected;
        let lines = if is_tracking { &mut *tracking } else { &mut *feature };
        let start = lines.bytes.len();
        let result = if is_tracking { encoder.tracking(&mut lines.bytes) } else { encoder.feature(self.meta.as_deref(), &mut lines.bytes) };
        match result {
            Ok(_) if lines.bytes.len() - start > self.limits.max_event_bytes => {
                lines.bytes.truncate(start);
                dropped.add(index, DropCause::TooLarge, || too_large(self.limits));
            }
            Ok(encoded) => {
                lines.count += 1;
                *normalised_dates += u64::from(encoded.date_cut);
                if !is_tracking {
                    self.written.push(FeatureLine { index, metadata_at: encoded.metadata_at });
                }
            }
            Err(refusal) => {
                lines.bytes.truncate(start);
                dropped.add(index, refusal.cause, || refusal.detail);
            }
        }
        self.check_size()
    }

    /// Writes `meta` onto feature lines that were encoded without it.
    fn complete(&mut self) -> Result<(), CollectError> {
        let meta = self.meta.take().unwrap_or_default();
        let lines = std::mem::take(&mut self.collected.feature);
        // Room for what will be there, unless the limit will be met first.
        let room = lines.bytes.len() + (meta.len() + 12) * self.written.len();
        self.collected.feature.bytes.reserve(room.min(self.limits.max_encoded_bytes));
        let mut start = 0;
        for &FeatureLine { index, metadata_at } in &self.written {
            let Lines { bytes, count } = &mut self.collected.feature;
            let line_start = bytes.len();
            bytes.extend_from_slice(&lines.bytes[start..metadata_at]);
            finish(&meta, bytes);
            if bytes.len() - line_start > self.limits.max_event_bytes {
                bytes.truncate(line_start);
                self.collected.dropped.add(index, DropCause::TooLarge, || too_large(self.limits));
            } else {
                *count += 1;
            }
            self.check_size()?;
            start = memchr::memchr(b'\n', &lines.bytes[metadata_at..]).map_or(lines.bytes.len(), |end| metadata_at + end + 1);
        }
        Ok(())
    }

    fn check_size(&self) -> Result<(), CollectError> {
        let limit = self.limits.max_encoded_bytes;
        if self.collected.feature.bytes.len() + self.collected.tracking.bytes.len() <= limit {
            return Ok(());
        }
        Err(CollectError::TooLarge(format!("the events take more than {limit} bytes with meta copied onto each: send fewer at a time")))
    }

    /// The next value is no object (or no array, for `events`): fine if it is `null`, else the error that Go reports, provided that the
    /// rest of the body is sound.
    fn no_object(&mut self, field: &'static str, expected: &'static str) -> Result<(), CollectError> {
        let (got, offset) = match self.scanner.value()? {
            b'{' => ("object", self.scanner.position() + 1),
            b'[' => ("array", self.scanner.position() + 1),
            first => {
                let got = match first {
                    b'"' => self.scanner.string().map(|_| "string")?,
                    b'-' | b'0'..=b'9' => self.scanner.number().map(|_| "number")?,
                    _ if self.scanner.word()? == Word::Null => return Ok(()),
                    _ => "bool",
                };
                (got, self.scanner.position())
            }
        };
        // Go checks the syntax of the whole value before it looks at types.
        Scanner::new(self.scanner.text()).skip(0)?;
        Err(ShapeError { field, expected, got, offset }.into())
    }
}

fn too_large(limits: &CollectLimits) -> String {
    format!("the event takes more than {} bytes", limits.max_event_bytes)
}

#[inline]
fn is_named(name: &RawStr<'_>, expected: &str) -> bool {
    name.plain() == Some(expected.as_bytes()) || name.decode().eq_ignore_ascii_case(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_that_replaces_another_takes_its_memory() {
        let limits = CollectLimits::default();
        let mut request = Request::new(b"{}", &limits, Rules::Clients);
        request.begin_events();
        request.collected.feature.bytes.extend_from_slice(&[b'x'; 1_000]);
        let capacity = request.collected.feature.bytes.capacity();
        request.begin_events();
        assert_eq!((request.collected.feature.bytes.len(), request.collected.feature.bytes.capacity()), (0, capacity));
    }
}
