//! Sizes and durations with units.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde::de::{self, Deserialize, Deserializer, Visitor};

/// A number of bytes: `4GiB`, `512MiB`, `64KiB`, `10MB`, or bare bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A span of time: `500ms`, `30s`, `5m`, `24h`, `1m30s` (Go's form, without signs and below-millisecond units).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// A span of time where upstream has bare milliseconds (`flushInterval: 60000`); a unit may be given, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub Duration);

const SIZE_FIX: &str = "write bytes as a whole number or with a unit: 512KiB, 64MiB, 4GiB, 10MB";
const SPAN_FIX: &str = "write a number with a unit: 500ms, 30s, 5m, 24h";

impl Size {
    fn parse(text: &str) -> Option<Size> {
        let (number, unit) = split(text);
        let scale: u64 = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kib" | "ki" => 1 << 10,
            "mib" | "mi" => 1 << 20,
            "gib" | "gi" => 1 << 30,
            "tib" | "ti" => 1 << 40,
            "kb" | "k" => 1_000,
            "mb" | "m" => 1_000_000,
            "gb" | "g" => 1_000_000_000,
            "tb" | "t" => 1_000_000_000_000,
            _ => return None,
        };
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let bytes = whole.parse::<u64>().ok()?.checked_mul(scale)?;
        bytes.checked_add(fraction(part, scale)?).map(Size)
    }
}

impl Span {
    fn parse(text: &str) -> Option<Span> {
        if text == "0" {
            return Some(Span(Duration::ZERO));
        }
        let mut rest = text;
        let mut total = Duration::ZERO;
        while !rest.is_empty() {
            let (number, after) = split(rest);
            let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
            let millis: u64 = match &after[..end] {
                "ms" => 1,
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                _ => return None,
            };
            let (whole, part) = number.split_once('.').unwrap_or((number, ""));
            let whole = whole.parse::<u64>().ok()?.checked_mul(millis)?;
            total = total.checked_add(Duration::from_millis(whole.checked_add(fraction(part, millis)?)?))?;
            rest = &after[end..];
        }
        (!text.is_empty()).then_some(Span(total))
    }
}

/// The digits at the start, and what follows them without blanks between.
fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

/// `.digits` of `scale`, rounded down.
fn fraction(digits: &str, scale: u64) -> Option<u64> {
    if digits.is_empty() {
        return Some(0);
    }
    if digits.len() > 9 {
        return None;
    }
    let over = 10u128.pow(u32::try_from(digits.len()).ok()?);
    u64::try_from(digits.parse::<u128>().ok()? * u128::from(scale) / over).ok()
}

/// Decodes through one function from text, one from a bare number.
struct Unit<T> {
    what: &'static str,
    fix: &'static str,
    text: fn(&str) -> Option<T>,
    bare: fn(u64) -> Option<T>,
}

impl<T> Visitor<'_> for Unit<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<T, E> {
        (self.bare)(value).ok_or_else(|| E::custom(format_args!("expected {}, found `{value}` without a unit; {}", self.what, self.fix)))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<T, E> {
        match u64::try_from(value) {
            Ok(value) => self.visit_u64(value),
            Err(_) => Err(E::custom(format_args!("expected {}, found the negative number `{value}`; {}", self.what, self.fix))),
        }
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<T, E> {
        // Upstream cuts fractions off. Whole numbers in a double come from formats that know no others.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was checked")]
        if (0.0..9_007_199_254_740_992.0).contains(&value) {
            return self.visit_u64(value as u64);
        }
        Err(E::custom(format_args!("expected {}, found `{value}`; {}", self.what, self.fix)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        let text = text.trim();
        if let Some(value) = (self.text)(text) {
            return Ok(value);
        }
        match text.parse::<i64>() {
            Ok(value) => self.visit_i64(value),
            Err(_) => Err(E::custom(format_args!("expected {}; {}", self.what, self.fix))),
        }
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Unit { what: "a size", fix: SIZE_FIX, text: Size::parse, bare: |bytes| Some(Size(bytes)) })
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bare = |number| (number == 0).then_some(Span(Duration::ZERO));
        deserializer.deserialize_any(Unit { what: "a duration", fix: SPAN_FIX, text: Span::parse, bare })
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = |text: &str| Span::parse(text).map(|span| Millis(span.0));
        let bare = |millis| Some(Millis(Duration::from_millis(millis)));
        const FIX: &str = "write milliseconds as a whole number, or a number with a unit: 60000, 500ms, 60s";
        deserializer.deserialize_any(Unit { what: "a duration", fix: FIX, text, bare })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        match units.into_iter().find(|(scale, _)| self.0 > 0 && self.0.is_multiple_of(*scale)) {
            Some((scale, unit)) => write!(f, "{}{unit}", self.0 / scale),
            None => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let units = [(3_600_000, "h"), (60_000, "m"), (1_000, "s")];
        match units.into_iter().find(|(scale, _)| millis > 0 && millis.is_multiple_of(*scale)) {
            Some((scale, unit)) => write!(f, "{}{unit}", millis / scale),
            None if millis == 0 => f.write_str("0s"),
            None => write!(f, "{millis}ms"),
        }
    }
}

impl Serialize for Size {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Span {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Millis {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX))
    }
}

macro_rules! schemas {
    ($($type:ident $name:literal $bare:literal $pattern:literal)*) => {$(
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let text = json_schema!({ "type": "string", "pattern": $pattern });
                json_schema!({ "title": $name, "anyOf": [{ "type": "integer", "minimum": 0, "maximum": $bare }, text] })
            }
        }
    )*};
}

// Bare numbers are bytes, nothing but 0, and milliseconds.
schemas! {
    Size "size" 18_446_744_073_709_551_615u64 r"^\s*\d+(\.\d+)?\s*([kKmMgGtT]([iI]?[bB]?)?|[bB])?\s*$"
    Span "duration" 0 r"^\s*(0|(\d+(\.\d+)?(ms|s|m|h|d))+)\s*$"
    Millis "milliseconds" 9_223_372_036_854_775_807u64 r"^\s*(\d+|(\d+(\.\d+)?(ms|s|m|h|d))+)\s*$"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        let cases = [
            ("0", Some(0)),
            ("17", Some(17)),
            ("17 B", Some(17)),
            ("4GiB", Some(4 << 30)),
            ("512MiB", Some(512 << 20)),
            ("64 kib", Some(64 << 10)),
            ("1.5GiB", Some(3 << 29)),
            ("1Ti", Some(1 << 40)),
            ("10MB", Some(10_000_000)),
            ("2k", Some(2_000)),
            ("", None),
            ("GiB", None),
            ("-1", None),
            ("4 GiB x", None),
            ("4Gib.", None),
            ("1.2.3MiB", None),
            ("99999999999TiB", None),
            ("18446744073709551616", None),
        ];
        for (text, bytes) in cases {
            assert_eq!(Size::parse(text).map(|size| size.0), bytes, "{text}");
        }
    }

    #[test]
    fn units_are_written_as_they_are_read() {
        for text in ["0", "17", "512KiB", "64MiB", "4GiB", "1TiB", "1025"] {
            assert_eq!(Size::parse(text).map(|size| size.to_string()).as_deref(), Some(text));
        }
        for text in ["0s", "500ms", "30s", "5m", "90s", "24h"] {
            assert_eq!(Span::parse(text).map(|span| span.to_string()).as_deref(), Some(text));
        }
    }

    #[test]
    fn durations_are_read_with_their_units() {
        let cases = [
            ("0", Some(0)),
            ("0s", Some(0)),
            ("500ms", Some(500)),
            ("30s", Some(30_000)),
            ("1.5s", Some(1_500)),
            ("5m", Some(300_000)),
            ("1m30s", Some(90_000)),
            ("24h", Some(86_400_000)),
            ("2d", Some(172_800_000)),
            ("", None),
            ("30", None),
            ("s", None),
            ("-5s", None),
            ("5 parsecs", None),
            ("5us", None),
            ("99999999999999999999h", None),
        ];
        for (text, millis) in cases {
            assert_eq!(Span::parse(text).map(|span| span.0.as_millis()), millis, "{text}");
        }
    }
}
