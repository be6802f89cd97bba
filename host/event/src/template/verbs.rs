//! A value and a verb: fmt's `printArg` and `printValue`.

use super::escape::{fits_back_quotes, is_print, quote};
use super::format::{bad_verb, pad};
use super::number_format::{self, Spec};
use super::value::{IntType, Value};

/// Prints an operand.
pub(super) fn print_verb(value: &Value, verb: char, spec: &Spec, out: &mut String) {
    match value {
        _ if verb == 'T' => pad(value.type_name(), spec, out),
        Value::Missing | Value::Nil if verb == 'v' => pad("<nil>", spec, out),
        Value::Missing | Value::Nil => bad_verb(value, verb, spec, out),
        Value::Bool(truth) => match verb {
            't' | 'v' => pad(if *truth { "true" } else { "false" }, spec, out),
            _ => bad_verb(value, verb, spec, out),
        },
        Value::Int(number, ty) => integer(value, *number, *ty, verb, spec, out),
        Value::Float(number) => float(value, *number, verb, spec, out),
        Value::Text(text) => string(value, text, verb, spec, out),
        Value::List(items) => {
            out.push_str(if spec.go_syntax { "[]interface {}{" } else { "[" });
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(if spec.go_syntax { ", " } else { " " });
                }
                element(item, verb, spec, out);
            }
            out.push(if spec.go_syntax { '}' } else { ']' });
        }
        Value::NoMap => out.push_str(if spec.go_syntax { "map[string]interface {}(nil)" } else { "map[]" }),
        Value::Map(members) | Value::Event(members) => {
            out.push_str(if spec.go_syntax { "map[string]interface {}{" } else { "map[" });
            for (index, (name, member)) in members.iter().enumerate() {
                if index > 0 {
                    out.push_str(if spec.go_syntax { ", " } else { " " });
                }
                string(&Value::Text(name.clone()), name, verb, spec, out);
                out.push(':');
                element(member, verb, spec, out);
            }
            out.push(if spec.go_syntax { '}' } else { ']' });
        }
    }
}

/// A value inside another: `null` has no verb.
fn element(value: &Value, verb: char, spec: &Spec, out: &mut String) {
    match value {
        Value::Missing | Value::Nil => out.push_str(if spec.go_syntax { "interface {}(nil)" } else { "<nil>" }),
        other => print_verb(other, verb, spec, out),
    }
}

fn integer(value: &Value, number: i64, ty: IntType, verb: char, spec: &Spec, out: &mut String) {
    let character = u32::try_from(number).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
    match verb {
        'v' if spec.go_syntax && ty == IntType::Uint8 => number_format::integer(number, 16, 'x', &Spec { sharp: true, ..*spec }, out),
        'v' | 'd' => number_format::integer(number, 10, verb, spec, out),
        'b' => number_format::integer(number, 2, verb, spec, out),
        'o' | 'O' => number_format::integer(number, 8, verb, spec, out),
        'x' | 'X' => number_format::integer(number, 16, verb, spec, out),
        'c' => pad(character.encode_utf8(&mut [0; 4]), spec, out),
        'q' => {
            let mut text = String::new();
            quote(character.encode_utf8(&mut [0; 4]), '\'', spec.plus, &mut text);
            pad(&text, spec, out);
        }
        'U' => {
            let digits = usize::try_from(spec.precision.unwrap_or(4)).unwrap_or(4).max(4);
            // A negative number is its two's complement.
            let mut text = format!("U+{number:0digits$X}");
            if spec.sharp && char::from_u32(u32::try_from(number).unwrap_or(u32::MAX)).is_some_and(is_print) {
                text.extend([" '", character.encode_utf8(&mut [0; 4]), "'"]);
            }
            pad(&text, &Spec { zero: false, ..*spec }, out);
        }
        _ => bad_verb(value, verb, spec, out),
    }
}

fn float(value: &Value, number: f64, verb: char, spec: &Spec, out: &mut String) {
    match verb {
        'v' => number_format::float(number, 'g', None, spec, out),
        'b' | 'g' | 'G' | 'x' | 'X' => number_format::float(number, verb, None, spec, out),
        'f' | 'F' | 'e' | 'E' => number_format::float(number, verb, Some(6), spec, out),
        _ => bad_verb(value, verb, spec, out),
    }
}

fn string(value: &Value, text: &str, verb: char, spec: &Spec, out: &mut String) {
    let cut = match spec.precision.and_then(|precision| usize::try_from(precision).ok()) {
        Some(precision) => &text[..text.char_indices().nth(precision).map_or(text.len(), |(at, _)| at)],
        None => text,
    };
    match verb {
        'v' if spec.go_syntax => quoted(cut, spec, out),
        'v' | 's' => pad(cut, spec, out),
        'q' => quoted(cut, spec, out),
        'x' | 'X' => {
            let bytes = text.as_bytes();
            let most = spec.precision.and_then(|precision| usize::try_from(precision).ok()).unwrap_or(usize::MAX);
            let mut hex = String::new();
            let prefix = if verb == 'x' { "0x" } else { "0X" };
            for (index, byte) in bytes.iter().take(most).enumerate() {
                if spec.space && index > 0 {
                    hex.push(' ');
                }
                if spec.sharp && (index == 0 || spec.space) {
                    hex.push_str(prefix);
                }
                hex.push_str(&if verb == 'x' { format!("{byte:02x}") } else { format!("{byte:02X}") });
            }
            pad(&hex, spec, out);
        }
        _ => bad_verb(value, verb, spec, out),
    }
}

fn quoted(text: &str, spec: &Spec, out: &mut String) {
    let mut between = String::new();
    if spec.sharp && fits_back_quotes(text) {
        between.extend(["`", text, "`"]);
    } else {
        quote(text, '"', spec.plus, &mut between);
    }
    pad(&between, spec, out);
}
