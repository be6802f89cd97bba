//! Numbers in Go's form.

use std::io::Write as _;

use super::scan::RawNumber;

/// Integers with up to this many digits fit 64 bits whatever they are.
const SAFE_DIGITS: usize = 18;

impl RawNumber<'_> {
    /// The nearest 64-bit float; infinite beyond its range.
    pub(crate) fn to_f64(self) -> f64 {
        // The scanner let only ASCII through, and Rust's grammar of floats includes JSON's.
        std::str::from_utf8(self.raw).ok().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
    }

    /// The number as a 64-bit signed integer, if it was written as one and fits.
    pub(crate) fn to_i64(self) -> Option<i64> {
        if !self.integer {
            return None;
        }
        let (negative, digits) = match self.raw {
            [b'-', digits @ ..] => (true, digits),
            digits => (false, digits),
        };
        if digits.len() > SAFE_DIGITS {
            return std::str::from_utf8(self.raw).ok()?.parse().ok();
        }
        let magnitude = digits.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        Some(if negative { -magnitude } else { magnitude })
    }

    /// Whether it is written as an integer that fits 64 bits, signed or unsigned.
    #[inline]
    fn is_exact(self) -> bool {
        self.integer
            && (self.raw.len() <= SAFE_DIGITS
                || std::str::from_utf8(self.raw).is_ok_and(|text| text.parse::<u64>().is_ok() || text.parse::<i64>().is_ok()))
    }

    /// Appends the canonical form; `false`, and nothing appended, when the number is beyond a 64-bit float's range.
    ///
    /// Integers of 64 bits stay exact; everything else goes through a float, as all numbers do upstream.
    #[inline]
    pub(crate) fn write(self, out: &mut Vec<u8>) -> bool {
        if self.is_exact() {
            out.extend_from_slice(self.raw);
            return true;
        }
        let float = self.to_f64();
        if float.is_finite() {
            write_float(float, out);
        }
        float.is_finite()
    }
}

/// Appends a finite float as Go's encoding/json prints it: shortest digits; plain unless below 1e-6 or from 1e21 on; `-0` keeps its sign.
pub(crate) fn write_float(float: f64, out: &mut Vec<u8>) {
    let magnitude = float.abs();
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        let start = out.len();
        write_to(out, format_args!("{float:e}"));
        // Go writes the sign of a positive exponent; both write no leading zeros there.
        if let Some(at) = memchr::memchr(b'e', &out[start..])
            && out.get(start + at + 1) != Some(&b'-')
        {
            out.insert(start + at + 1, b'+');
        }
    } else {
        write_to(out, format_args!("{float}"));
    }
}

fn write_to(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a Vec cannot fail.
    out.write_fmt(text).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_print_as_go_prints_them() {
        let table: [(f64, &str); 19] = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (1e-6, "0.000001"),
            (9.9e-7, "9.9e-7"),
            (1e-7, "1e-7"),
            (1.5e-10, "1.5e-10"),
            (1e20, "100000000000000000000"),
            (123_456_789_012_345_680_000.0, "123456789012345680000"),
            (1e21, "1e+21"),
            (-1e21, "-1e+21"),
            (1.234e25, "1.234e+25"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (2.5e-3, "0.0025"),
            (12.5, "12.5"),
            (1_680_246_000.9, "1680246000.9"),
        ];
        for (float, expected) in table {
            let mut out = Vec::new();
            write_float(float, &mut out);
            assert_eq!(std::str::from_utf8(&out), Ok(expected));
        }
    }
}
