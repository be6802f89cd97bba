//! `html`, `js`, `urlquery`, and Go's quoted texts.

use std::fmt::Write as _;

/// Go's `template.HTMLEscapeString`.
pub(super) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\0' => out.push('\u{fffd}'),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            other => out.push(other),
        }
    }
    out
}

/// Go's `template.JSEscapeString`.
pub(super) fn js(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' | '>' | '&' | '=' | '\0'..' ' => hex(&mut out, 'u', character, 4, true),
            ' '..'\u{80}' => out.push(character),
            _ if is_print(character) => out.push(character),
            _ => hex(&mut out, 'u', character, 4, true),
        }
    }
    out
}

/// Go's `url.QueryEscape`.
pub(super) fn url_query(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'-' | b'_' | b'.' | b'~' => out.push(byte.into()),
            _ if byte.is_ascii_alphanumeric() => out.push(byte.into()),
            // Writing to a String cannot fail.
            _ => write!(out, "%{byte:02X}").unwrap_or_default(),
        }
    }
    out
}

/// Go's `strconv.Quote` with that quote; `ascii`: nothing beyond ASCII stays.
pub(super) fn quote(text: &str, quote: char, ascii: bool, out: &mut String) {
    out.push(quote);
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            _ if character == quote => {
                out.push('\\');
                out.push(quote);
            }
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            ' '..='~' => out.push(character),
            '\0'..' ' | '\u{7f}' => hex(out, 'x', character, 2, false),
            _ if !ascii && is_print(character) => out.push(character),
            '\u{10000}'.. => hex(out, 'U', character, 8, false),
            _ => hex(out, 'u', character, 4, false),
        }
    }
    out.push(quote);
}

/// Whether Go can write the text between back quotes.
pub(super) fn fits_back_quotes(text: &str) -> bool {
    text.chars().all(|character| !matches!(character, '`' | '\u{7f}' | '\u{feff}') && (character >= ' ' || character == '\t'))
}

fn hex(out: &mut String, letter: char, character: char, width: usize, upper: bool) {
    let code = u32::from(character);
    // Writing to a String cannot fail.
    let written = if upper { write!(out, "\\{letter}{code:0width$X}") } else { write!(out, "\\{letter}{code:0width$x}") };
    written.unwrap_or_default();
}

/// Go's `unicode.IsPrint`: letters, marks, numbers, punctuation, symbols and the ASCII space. The standard library knows it through what its
/// `Debug` escapes; behind a letter, because marks are escaped at the beginning of a text.
pub(super) fn is_print(character: char) -> bool {
    if character.is_ascii() {
        return (' '..='~').contains(&character);
    }
    String::from_iter(['a', character]).escape_debug().eq(['a', character])
}
