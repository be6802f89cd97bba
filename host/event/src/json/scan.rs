//! A scanner of JSON text with the behaviour of Go's encoding/json, which upstream's collector is built on.
//!
//! Why not serde_json: clients see the difference. Go accepts lone surrogates (JavaScript clients produce them by cutting strings) and
//! invalid UTF-8, and turns both into U+FFFD; a number beyond a float's range is no syntax error; and upstream's 400 carries Go's words
//! and offset. A parser that refuses any of these refuses a whole request, which clients then send again for ever.
//!
//! The scanner pulls: the caller asks for what may come next. Nothing recurses here; nesting is bounded by [`MAX_NESTING`].

use super::error::{Place, SyntaxError};
use super::string::{Class, RawStr, class_of};

/// Deepest nesting of arrays and objects in any text; Go's own limit.
pub(crate) const MAX_NESTING: usize = 10_000;

/// A position in JSON text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scanner<'a> {
    text: &'a [u8],
    pos: usize,
}

/// A number as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawNumber<'a> {
    /// ASCII digits, sign, point and exponent.
    pub(crate) raw: &'a [u8],
    /// Whether there is no point and no exponent.
    pub(crate) integer: bool,
}

/// A value that is no array, object, string or number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Null,
    True,
    False,
}

impl<'a> Scanner<'a> {
    /// Starts at the beginning of `text`.
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Scanner { text, pos: 0 }
    }

    /// Bytes consumed so far.
    pub(crate) fn position(&self) -> usize {
        self.pos
    }

    /// The consumed text since `start`, an earlier [`position`](Self::position).
    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        &self.text[start..self.pos]
    }

    /// The whole text.
    pub(crate) fn text(&self) -> &'a [u8] {
        self.text
    }

    /// The next byte that is no white space, not consumed; `None` at the end.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.text.get(self.pos) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.pos += 1,
                other => return other.copied(),
            }
        }
    }

    /// The first byte of the next value, not consumed.
    #[inline]
    pub(crate) fn value(&mut self) -> Result<u8, SyntaxError> {
        match self.peek() {
            Some(first @ (b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n')) => Ok(first),
            Some(_) => Err(self.unexpected(Place::Value)),
            None => Err(SyntaxError::End),
        }
    }

    /// After `{` (`first`) or a member's value: the next member's name, its colon consumed; `None` at `}`.
    #[inline]
    pub(crate) fn member(&mut self, first: bool) -> Result<Option<RawStr<'a>>, SyntaxError> {
        match self.peek() {
            Some(b'}') => {
                self.pos += 1;
                return Ok(None);
            }
            Some(b',') if !first => {
                self.pos += 1;
                self.peek();
            }
            Some(_) if first => {}
            Some(_) => return Err(self.unexpected(Place::AfterMember)),
            None => return Err(SyntaxError::End),
        }
        if self.text.get(self.pos) != Some(&b'"') {
            return Err(self.unexpected(Place::Name));
        }
        let name = self.string()?;
        if self.peek() != Some(b':') {
            return Err(self.unexpected(Place::AfterName));
        }
        self.pos += 1;
        Ok(Some(name))
    }

    /// After `[` (`first`) or an element: whether another element comes.
    #[inline]
    pub(crate) fn element(&mut self, first: bool) -> Result<bool, SyntaxError> {
        match self.peek() {
            Some(b']') => {
                self.pos += 1;
                Ok(false)
            }
            Some(b',') if !first => {
                self.pos += 1;
                Ok(true)
            }
            Some(_) if first => Ok(true),
            Some(_) => Err(self.unexpected(Place::AfterElement)),
            None => Err(SyntaxError::End),
        }
    }

    /// Consumes the opening `{` or `[`.
    #[inline]
    pub(crate) fn open(&mut self) {
        self.pos += 1;
    }

    /// Consumes a string; the next byte is its opening quote.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<RawStr<'a>, SyntaxError> {
        let start = self.pos + 1;
        let mut at = start;
        let mut seen = Class::PLAIN;
        loop {
            let Some(&byte) = self.text.get(at) else { return Err(SyntaxError::End) };
            let class = class_of(byte);
            at += 1;
            if class == Class::PLAIN {
                continue;
            }
            seen = seen | class;
            match byte {
                b'"' => break,
                b'\\' => {
                    self.pos = at;
                    at = self.escape()?;
                }
                0..0x20 => {
                    self.pos = at - 1;
                    return Err(self.unexpected(Place::Text));
                }
                _ => {}
            }
        }
        self.pos = at;
        Ok(RawStr::new(&self.text[start..at - 1], seen))
    }

    /// Checks one escape sequence after its backslash; the position after it.
    fn escape(&mut self) -> Result<usize, SyntaxError> {
        match self.text.get(self.pos) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(self.pos + 1),
            Some(b'u') => {
                for _ in 0..4 {
                    self.pos += 1;
                    match self.text.get(self.pos) {
                        Some(digit) if digit.is_ascii_hexdigit() => {}
                        _ => return Err(self.unexpected(Place::HexEscape)),
                    }
                }
                Ok(self.pos + 1)
            }
            _ => Err(self.unexpected(Place::Escape)),
        }
    }

    /// Consumes a number; the next byte is its first.
    #[inline]
    pub(crate) fn number(&mut self) -> Result<RawNumber<'a>, SyntaxError> {
        let start = self.pos;
        let mut integer = true;
        if self.text.get(self.pos) == Some(&b'-') {
            self.pos += 1;
        }
        match self.text.get(self.pos) {
            Some(b'0') => self.pos += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.unexpected(Place::Number)),
        }
        if self.text.get(self.pos) == Some(&b'.') {
            integer = false;
            self.pos += 1;
            self.at_least_one_digit(Place::Fraction)?;
        }
        if let Some(b'e' | b'E') = self.text.get(self.pos) {
            integer = false;
            self.pos += 1;
            if let Some(b'+' | b'-') = self.text.get(self.pos) {
                self.pos += 1;
            }
            self.at_least_one_digit(Place::Exponent)?;
        }
        Ok(RawNumber { raw: self.since(start), integer })
    }

    fn at_least_one_digit(&mut self, place: Place) -> Result<(), SyntaxError> {
        if !self.text.get(self.pos).is_some_and(u8::is_ascii_digit) {
            return Err(self.unexpected(place));
        }
        self.digits();
        Ok(())
    }

    #[inline]
    fn digits(&mut self) {
        while self.text.get(self.pos).is_some_and(u8::is_ascii_digit) {
            self.pos += 1;
        }
    }

    /// Consumes `null`, `true` or `false`; the next byte is its first.
    #[inline]
    pub(crate) fn word(&mut self) -> Result<Word, SyntaxError> {
        let (text, word) = match self.text.get(self.pos) {
            Some(b'n') => ("null", Word::Null),
            Some(b't') => ("true", Word::True),
            _ => ("false", Word::False),
        };
        if self.text[self.pos..].starts_with(text.as_bytes()) {
            self.pos += text.len();
            return Ok(word);
        }
        for (index, &expected) in text.as_bytes().iter().enumerate() {
            if self.text.get(self.pos) != Some(&expected) {
                return Err(self.unexpected(Place::Word { word: text, expected: text.as_bytes()[index] }));
            }
            self.pos += 1;
        }
        Ok(word)
    }

    /// Consumes the next value, whatever it is, inside `open` containers. Checks its syntax.
    pub(crate) fn skip(&mut self, open: usize) -> Result<(), SyntaxError> {
        // One byte per container that was opened here, b'{' or b'['.
        let mut nest: Vec<u8> = Vec::new();
        'value: loop {
            let first = self.value()?;
            match first {
                b'"' => {
                    self.string()?;
                }
                b'-' | b'0'..=b'9' => {
                    self.number()?;
                }
                b'{' | b'[' => {
                    if open + nest.len() >= MAX_NESTING {
                        return Err(self.unexpected(Place::Depth));
                    }
                    self.open();
                    nest.push(first);
                    if self.enter(first, true)? {
                        continue 'value;
                    }
                    nest.pop();
                }
                _ => {
                    self.word()?;
                }
            }
            while let Some(&container) = nest.last() {
                if self.enter(container, false)? {
                    continue 'value;
                }
                nest.pop();
            }
            return Ok(());
        }
    }

    /// Whether the container goes on; then the next thing is a value.
    #[inline]
    fn enter(&mut self, container: u8, first: bool) -> Result<bool, SyntaxError> {
        if container == b'{' { Ok(self.member(first)?.is_some()) } else { self.element(first) }
    }

    /// The error about the byte at the position, or about the text's end.
    #[cold]
    fn unexpected(&self, place: Place) -> SyntaxError {
        match self.text.get(self.pos) {
            Some(&byte) => SyntaxError::Byte { offset: self.pos + 1, byte, place },
            None => SyntaxError::End,
        }
    }
}
