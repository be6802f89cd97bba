//! JSON strings: reading Go's way, writing Go's way.

use std::borrow::Cow;
use std::ops::BitOr;

/// What kinds of bytes a string holds, as bits: [`Class::PLAIN`] when it is its own canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Class(u8);

impl Class {
    /// Nothing to decode and nothing to escape.
    pub(crate) const PLAIN: Class = Class(0);
    /// The end of the string, or a control byte, which ends it with an error.
    const STOP: Class = Class(1);
    /// A backslash.
    const ESCAPE: Class = Class(2);
    /// `<`, `>` or `&`: read as they are, written escaped.
    const MARKUP: Class = Class(4);
    /// Beyond ASCII: to be checked, and two characters of it are written escaped.
    const HIGH: Class = Class(8);

    fn has(self, bit: Class) -> bool {
        self.0 & bit.0 != 0
    }
}

impl BitOr for Class {
    type Output = Class;

    fn bitor(self, other: Class) -> Class {
        Class(self.0 | other.0)
    }
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::PLAIN; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            0..0x20 | b'"' => Class::STOP,
            b'\\' => Class::ESCAPE,
            b'<' | b'>' | b'&' => Class::MARKUP,
            0x80.. => Class::HIGH,
            _ => Class::PLAIN,
        };
        byte += 1;
    }
    classes
};

#[inline]
pub(crate) fn class_of(byte: u8) -> Class {
    CLASSES[byte as usize]
}

/// A string as it was written, without its quotes; its escapes are known to be sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawStr<'a> {
    raw: &'a [u8],
    class: Class,
}

impl<'a> RawStr<'a> {
    pub(crate) fn new(raw: &'a [u8], seen: Class) -> Self {
        RawStr { raw, class: Class(seen.0 & !Class::STOP.0) }
    }

    /// The written text, if it is also the meant text and its own canonical form.
    #[inline]
    pub(crate) fn plain(&self) -> Option<&'a [u8]> {
        (self.class == Class::PLAIN).then_some(self.raw)
    }

    /// Whether the string is empty.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// Whether there is anything to decode, given that the text is sound UTF-8.
    pub(crate) fn has_escapes(&self) -> bool {
        self.class.has(Class::ESCAPE)
    }

    /// The meant text. As in Go, each byte that is not UTF-8 and each lone surrogate is a U+FFFD.
    pub(crate) fn decode(&self) -> Cow<'a, str> {
        if !self.has_escapes()
            && let Ok(text) = std::str::from_utf8(self.raw)
        {
            return Cow::Borrowed(text);
        }
        let mut text = String::with_capacity(self.raw.len());
        let mut rest = self.raw;
        while let Some(at) = memchr::memchr(b'\\', rest) {
            push_lossy(&mut text, &rest[..at]);
            rest = &rest[at + 1..];
            rest = &rest[unescape(rest, &mut text)..];
        }
        push_lossy(&mut text, rest);
        Cow::Owned(text)
    }

    /// Appends the canonical form, quotes included.
    #[inline]
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        if self.class == Class::PLAIN {
            out.push(b'"');
            out.extend_from_slice(self.raw);
            out.push(b'"');
        } else {
            write_string(&self.decode(), out);
        }
    }
}

/// Appends the character that is escaped at the beginning of `rest` (after the backslash); how many bytes that took.
fn unescape(rest: &[u8], text: &mut String) -> usize {
    let plain = match rest.first() {
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => {
            let first = hex4(&rest[1..]);
            let second = if rest.get(5..7) == Some(b"\\u") { hex4(&rest[7..]) } else { None };
            return match (first, second) {
                (Some(high @ 0xd800..0xdc00), Some(low @ 0xdc00..0xe000)) => {
                    let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                    text.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                    11
                }
                (code, _) => {
                    text.push(code.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER));
                    5
                }
            };
        }
        Some(&other) => char::from(other),
        None => return 0,
    };
    text.push(plain);
    1
}

fn hex4(digits: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(digits.get(..4)?).ok()?;
    u32::from_str_radix(digits, 16).ok()
}

/// Go replaces each bad byte, where Rust's own lossy conversion replaces each bad sequence.
fn push_lossy(text: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for _ in chunk.invalid() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

/// Appends `text` as a JSON string, escaped as Go does it.
pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    out.push(b'"');
    let mut done = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let class = class_of(byte);
        if class == Class::PLAIN || (class == Class::HIGH && byte != 0xe2) {
            continue;
        }
        let mut taken = 1;
        let mut unicode = [b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            0x08 => b"\\b",
            0x0c => b"\\f",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0xe2 => match bytes.get(at + 1..at + 3) {
                Some(&[0x80, last @ (0xa8 | 0xa9)]) => {
                    taken = 3;
                    unicode[2..].copy_from_slice(&[b'2', b'0', b'2', HEX[usize::from(last & 15)]]);
                    &unicode
                }
                _ => continue,
            },
            _ => &unicode,
        };
        out.extend_from_slice(&bytes[done..at]);
        out.extend_from_slice(escape);
        done = at + taken;
    }
    out.extend_from_slice(&bytes[done..]);
    out.push(b'"');
}
