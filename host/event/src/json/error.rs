//! What is wrong with JSON text, in Go's words.

use std::fmt;

/// Text that is not JSON. `Display` is what Go's encoding/json says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SyntaxError {
    /// The text ends inside a value.
    End,
    /// A byte that cannot stand there.
    Byte {
        /// Bytes up to and including it.
        offset: usize,
        /// The byte.
        byte: u8,
        /// Where it stands.
        place: Place,
    },
}

/// Where an unexpected byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Value,
    Name,
    AfterName,
    AfterMember,
    AfterElement,
    Text,
    Escape,
    HexEscape,
    Number,
    Fraction,
    Exponent,
    Word { word: &'static str, expected: u8 },
    Depth,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SyntaxError::Byte { byte, place, .. } = self else { return f.write_str("unexpected EOF") };
        f.write_str("invalid character ")?;
        quote(*byte, f)?;
        f.write_str(match place {
            Place::Value => " looking for beginning of value",
            Place::Name => " looking for beginning of object key string",
            Place::AfterName => " after object key",
            Place::AfterMember => " after object key:value pair",
            Place::AfterElement => " after array element",
            Place::Text => " in string literal",
            Place::Escape => " in string escape code",
            Place::HexEscape => " in \\u hexadecimal character escape",
            Place::Number => " in numeric literal",
            Place::Fraction => " after decimal point in numeric literal",
            Place::Exponent => " in exponent of numeric literal",
            Place::Word { word, expected } => return write!(f, " in literal {word} (expecting '{}')", char::from(*expected)),
            Place::Depth => " exceeded max depth",
        })
    }
}

/// Go's `quoteChar`: a byte as the character with its number.
fn quote(byte: u8, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match byte {
        b'\'' => f.write_str(r"'\''"),
        b'"' => f.write_str("'\"'"),
        b'\\' => f.write_str(r"'\\'"),
        0x07 => f.write_str(r"'\a'"),
        0x08 => f.write_str(r"'\b'"),
        0x0b => f.write_str(r"'\v'"),
        0x0c => f.write_str(r"'\f'"),
        b'\n' => f.write_str(r"'\n'"),
        b'\r' => f.write_str(r"'\r'"),
        b'\t' => f.write_str(r"'\t'"),
        0..0x20 | 0x7f => write!(f, r"'\x{byte:02x}'"),
        0x80..=0xa0 | 0xad => write!(f, r"'\u{byte:04x}'"),
        _ => write!(f, "'{}'", char::from(byte)),
    }
}

/// Why a value cannot be brought into canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Not JSON: nothing after it can be read either.
    Syntax(SyntaxError),
    /// Sound JSON that cannot be kept. The scanner stands behind the value.
    Soft(Soft),
}

/// Why sound JSON cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Soft {
    /// Nested deeper than allowed.
    TooDeep,
    /// More canonical text than allowed.
    TooLong,
    /// A number beyond the range of a 64-bit float; its place in the text.
    NumberRange { start: usize, end: usize },
}

impl From<SyntaxError> for Fault {
    fn from(error: SyntaxError) -> Self {
        Fault::Syntax(error)
    }
}
