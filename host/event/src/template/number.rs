//! Number literals of Go: `12`, `-1_000`, `0x1F`, `0b101`, `0o17`, `017`, `1.5`, `1e3`, `0x1p4`.

use super::lex::Token;

/// A literal's value; the error says what is wrong with it.
pub(super) fn parse(text: &str) -> Result<Token, &'static str> {
    const BAD: &str = "bad number syntax";
    let (negative, unsigned) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    if unsigned.ends_with('i') && !unsigned.starts_with("0x") {
        return Err("complex numbers are not supported");
    }
    let lower = unsigned.to_ascii_lowercase();
    let (radix, digits) = match lower.get(..2) {
        Some("0x") => (16, &lower[2..]),
        Some("0b") => (2, &lower[2..]),
        Some("0o") => (8, &lower[2..]),
        _ => (10, &lower[..]),
    };
    if !underscores_fit(digits, radix != 10) {
        return Err(BAD);
    }
    let digits = digits.replace('_', "");
    if radix == 16 && (digits.contains('.') || digits.contains('p')) {
        let value = hex_float(&digits).ok_or(BAD)?;
        return Ok(Token::Float(if negative { -value } else { value }));
    }
    if radix == 10 && digits.contains(['.', 'e']) {
        let decimal = digits.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'+' | b'-'));
        let value: f64 = digits.parse().ok().filter(|_| decimal).ok_or(BAD)?;
        if value.is_infinite() {
            return Err("number out of range");
        }
        return Ok(Token::Float(if negative { -value } else { value }));
    }
    // A leading 0 is octal, as in C.
    let radix = if radix == 10 && digits.len() > 1 && digits.starts_with('0') { 8 } else { radix };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return Err(BAD);
    }
    let value = u64::from_str_radix(&digits, radix).map_err(|_| "integer overflow")?;
    let value = if negative { 0_i64.checked_sub_unsigned(value) } else { i64::try_from(value).ok() };
    value.map(Token::Int).ok_or("integer overflow")
}

/// Underscores stand between digits, or behind a prefix.
fn underscores_fit(digits: &str, prefixed: bool) -> bool {
    let bytes = digits.as_bytes();
    let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_hexdigit);
    bytes
        .iter()
        .enumerate()
        .all(|(at, byte)| *byte != b'_' || (digit(at.checked_add(1)) && (digit(at.checked_sub(1)) || (at == 0 && prefixed))))
}

/// `1.8p4`, without its prefix: digits of base 16, a power of two.
fn hex_float(digits: &str) -> Option<f64> {
    let (mantissa, exponent) = digits.split_once('p')?;
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value = 0.0;
    for digit in whole.chars().chain(fraction.chars()) {
        value = value * 16.0 + f64::from(digit.to_digit(16)?);
    }
    let places = i32::try_from(fraction.len()).ok()?;
    Some(value * f64::from(exponent.checked_sub(4 * places)?).exp2()).filter(|value| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_what_they_are_in_go() {
        let table = [
            ("0", Token::Int(0)),
            ("-12", Token::Int(-12)),
            ("+1_000", Token::Int(1000)),
            ("0x_1F", Token::Int(31)),
            ("0b101", Token::Int(5)),
            ("0o17", Token::Int(15)),
            ("017", Token::Int(15)),
            ("-9223372036854775808", Token::Int(i64::MIN)),
            ("1.5", Token::Float(1.5)),
            (".5", Token::Float(0.5)),
            ("1.", Token::Float(1.0)),
            ("-1e3", Token::Float(-1000.0)),
            ("0x1.8p1", Token::Float(3.0)),
            ("0x1p-2", Token::Float(0.25)),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
        for text in ["", "-", "1.2.3", "0x", "08", "1__0", "1_", "_1", "9223372036854775808", "1i", "1e", "abc", "1e999", "0x1.8", "."] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
