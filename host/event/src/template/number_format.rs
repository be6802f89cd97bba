//! Numbers in Go's forms: fmt's `fmtInteger` and `fmtFloat`, strconv's `AppendFloat`.

/// A directive's flags, width and precision.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spec {
    pub(super) sharp: bool,
    pub(super) zero: bool,
    pub(super) plus: bool,
    pub(super) minus: bool,
    pub(super) space: bool,
    /// `%#v`.
    pub(super) go_syntax: bool,
    /// In characters.
    pub(super) width: Option<i64>,
    pub(super) precision: Option<i64>,
}

impl Spec {
    fn wide(&self) -> usize {
        self.width.and_then(|width| usize::try_from(width).ok()).unwrap_or(0)
    }
}

/// Appends text, filled up to the width: with zeros or spaces before it, or spaces behind it.
pub(super) fn pad(text: &str, spec: &Spec, out: &mut String) {
    let missing = spec.wide().saturating_sub(text.chars().count());
    if spec.minus {
        out.push_str(text);
        out.extend(std::iter::repeat_n(' ', missing));
    } else {
        out.extend(std::iter::repeat_n(if spec.zero { '0' } else { ' ' }, missing));
        out.push_str(text);
    }
}

/// An integer to a base; the verb decides on capitals and on `0o`.
pub(super) fn integer(number: i64, base: u32, verb: char, spec: &Spec, out: &mut String) {
    let plain = Spec { zero: false, ..*spec };
    let magnitude = number.unsigned_abs();
    let signed = number < 0 || spec.plus || spec.space;
    let least = match spec.precision {
        // Nothing but the width.
        Some(0) if number == 0 => return pad("", &plain, out),
        Some(precision) => usize::try_from(precision).unwrap_or(0),
        None if spec.zero && !spec.minus => spec.wide().saturating_sub(usize::from(signed)),
        None => 0,
    };
    let digits = match (base, verb) {
        (2, _) => format!("{magnitude:b}"),
        (8, _) => format!("{magnitude:o}"),
        (16, 'X') => format!("{magnitude:X}"),
        (16, _) => format!("{magnitude:x}"),
        _ => magnitude.to_string(),
    };
    let mut digits = format!("{digits:0>least$}");
    if spec.sharp {
        match (base, verb) {
            (2, _) => digits.insert_str(0, "0b"),
            (8, _) if !digits.starts_with('0') => digits.insert(0, '0'),
            (16, 'X') => digits.insert_str(0, "0X"),
            (16, _) => digits.insert_str(0, "0x"),
            _ => {}
        }
    }
    if verb == 'O' {
        digits.insert_str(0, "0o");
    }
    let sign = if number < 0 {
        "-"
    } else if spec.plus {
        "+"
    } else if spec.space {
        " "
    } else {
        ""
    };
    pad(&format!("{sign}{digits}"), &plain, out);
}

/// A float by a verb; `precision` when the directive has none, `None` for as many digits as it takes.
pub(super) fn float(number: f64, verb: char, precision: Option<i64>, spec: &Spec, out: &mut String) {
    let precision = spec.precision.or(precision).and_then(|precision| usize::try_from(precision).ok());
    let unsigned = digits(number.abs(), verb, precision);
    let negative = number.is_sign_negative() && !number.is_nan();
    let sign = match (negative, spec.plus, spec.space) {
        (true, ..) => "-",
        (false, true, _) => "+",
        (false, false, true) => " ",
        _ => "",
    };
    if !number.is_finite() {
        return pad(&format!("{sign}{unsigned}"), &Spec { zero: false, ..*spec }, out);
    }
    if spec.zero && !spec.minus && spec.wide() > sign.len() + unsigned.len() {
        // The sign stands before the zeros.
        out.push_str(sign);
        let width = spec.width.map(|width| width - i64::from(!sign.is_empty()));
        return pad(&unsigned, &Spec { width, ..*spec }, out);
    }
    pad(&format!("{sign}{unsigned}"), spec, out);
}

/// strconv's `FormatFloat` of a number that is not negative.
fn digits(number: f64, verb: char, precision: Option<usize>) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return "Inf".to_owned();
    }
    match verb {
        'f' | 'F' => fixed(number, precision),
        'e' | 'E' => upper_if(verb == 'E', scientific(number, precision)),
        'g' | 'G' => upper_if(verb == 'G', general(number, precision)),
        'b' => {
            let (mantissa, exponent) = parts(number);
            format!("{mantissa}p{exponent:+}")
        }
        _ => upper_if(verb == 'X', hex(number, precision)),
    }
}

fn upper_if(upper: bool, text: String) -> String {
    if upper { text.to_uppercase() } else { text }
}

fn fixed(number: f64, precision: Option<usize>) -> String {
    match precision {
        Some(precision) => format!("{number:.precision$}"),
        None => format!("{number}"),
    }
}

/// With a signed exponent of two digits at least.
fn scientific(number: f64, precision: Option<usize>) -> String {
    let text = match precision {
        Some(precision) => format!("{number:.precision$e}"),
        None => format!("{number:e}"),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// Go's `%g`: the exponent form below 1e-4 and from as many digits on as are asked for (6 when none are).
fn general(number: f64, precision: Option<usize>) -> String {
    let text = match precision {
        Some(precision) => format!("{number:.*e}", precision.max(1) - 1),
        None => format!("{number:e}"),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let count = digits.trim_end_matches('0').len().max(1);
    let point = exponent.saturating_add(1);
    let count_i32 = i32::try_from(count).unwrap_or(i32::MAX);
    let limit = match precision {
        None => 6,
        Some(precision) => {
            let precision = i32::try_from(precision.max(1)).unwrap_or(i32::MAX);
            if precision > count_i32 && count_i32 >= point { count_i32 } else { precision }
        }
    };
    if number != 0.0 && (exponent < -4 || exponent >= limit) {
        return scientific(number, Some(count - 1));
    }
    if number == 0.0 {
        return "0".to_owned();
    }
    fixed(number, Some(usize::try_from(count_i32.saturating_sub(point)).unwrap_or(0)))
}

/// The integer and the power of two whose product the number is.
fn parts(number: f64) -> (u64, i64) {
    const MANTISSA: u32 = f64::MANTISSA_DIGITS - 1;
    let bits = number.to_bits();
    let exponent = i64::try_from((bits >> MANTISSA) & 0x7ff).unwrap_or(0);
    let fraction = bits & ((1 << MANTISSA) - 1);
    if exponent == 0 { (fraction, -1074) } else { (fraction | 1 << MANTISSA, exponent - 1075) }
}

/// `0x1.8p+01`.
fn hex(number: f64, precision: Option<usize>) -> String {
    let (mut mantissa, mut exponent) = parts(number);
    if mantissa == 0 {
        exponent = 0;
    } else {
        // One digit before the point, 60 bits behind it.
        let shift = mantissa.leading_zeros() - 3;
        mantissa <<= shift;
        exponent += 60 - i64::from(shift);
    }
    if let Some(precision) = precision.filter(|precision| *precision < 15) {
        let shift = (precision * 4) as u32;
        let extra = (mantissa << shift) & ((1 << 60) - 1);
        mantissa >>= 60 - shift;
        // Half to even.
        if extra | (mantissa & 1) > 1 << 59 {
            mantissa += 1;
        }
        mantissa <<= 60 - shift;
        if mantissa & (1 << 61) != 0 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let fraction = format!("{:015x}", mantissa & ((1 << 60) - 1));
    let fraction = match precision {
        None => fraction.trim_end_matches('0').to_owned(),
        Some(precision) => format!("{:0<precision$}", &fraction[..precision.min(15)]),
    };
    let point = if fraction.is_empty() { "" } else { "." };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("0x{}{point}{fraction}p{sign}{:02}", mantissa >> 60, exponent.abs())
}
