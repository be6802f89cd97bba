//! Go's package fmt, as far as templates reach it: `print`, `println`, `printf`, and the printing of a value.
//!
//! A verb is applied to the values *in* a list or object, not to the whole: `printf "%d"` of `[1 x]` is `[%!d(float64=1) %!d(string=x)]`, with
//! the width for each. What a verb cannot print is printed with `%!`, never an error. The rules are those of Go's fmt/print.go.

use super::number_format::{self, Spec};
use super::value::Value;
use super::verbs::print_verb;

/// Largest width and precision; Go's own bound.
const MAX_WIDTH: i64 = 1_000_000;

/// As a template prints the result of a pipeline.
pub(super) fn print_value(value: &Value, out: &mut String) {
    match value {
        Value::Missing | Value::Nil => out.push_str("<no value>"),
        Value::Text(text) => out.push_str(text),
        other => print_verb(other, 'v', &Spec::default(), out),
    }
}

/// `fmt.Sprint`: spaces between operands of which neither is a text.
pub(super) fn sprint(values: &[Value]) -> String {
    let mut out = String::new();
    let mut after_text = true;
    for (index, value) in values.iter().enumerate() {
        let is_text = matches!(value, Value::Text(_));
        if index > 0 && !is_text && !after_text {
            out.push(' ');
        }
        print_verb(value, 'v', &Spec::default(), &mut out);
        after_text = is_text;
    }
    out
}

/// `fmt.Sprintln`: spaces between all operands, a newline at the end.
pub(super) fn sprintln(values: &[Value]) -> String {
    let mut out = String::new();
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(' ');
        }
        print_verb(value, 'v', &Spec::default(), &mut out);
    }
    out.push('\n');
    out
}

/// `fmt.Sprintf`.
pub(super) fn sprintf(format: &str, values: &[Value]) -> String {
    let mut printer = Printer { format, at: 0, values, next: 0, reordered: false, good: true, out: String::new() };
    printer.run();
    printer.out
}

struct Printer<'a> {
    format: &'a str,
    at: usize,
    values: &'a [Value],
    /// The operand that comes next.
    next: usize,
    /// Whether an operand was named by its index.
    reordered: bool,
    /// Whether the index of this directive was sound.
    good: bool,
    out: String,
}

impl Printer<'_> {
    fn peek(&self) -> Option<u8> {
        self.format.as_bytes().get(self.at).copied()
    }

    fn run(&mut self) {
        while let Some(length) = self.format[self.at..].find('%') {
            self.out.push_str(&self.format[self.at..self.at + length]);
            self.at += length + 1;
            self.directive();
        }
        self.out.push_str(&self.format[self.at..]);
        if !self.reordered && self.next < self.values.len() {
            self.out.push_str("%!(EXTRA ");
            for (index, value) in self.values[self.next..].iter().enumerate() {
                if index > 0 {
                    self.out.push_str(", ");
                }
                self.out.push_str(value.type_name());
                if !matches!(value, Value::Missing | Value::Nil) {
                    self.out.push('=');
                    print_verb(value, 'v', &Spec::default(), &mut self.out);
                }
            }
            self.out.push(')');
        }
    }

    fn directive(&mut self) {
        let mut spec = Spec::default();
        self.good = true;
        while let Some(flag) = self.peek() {
            match flag {
                b'#' => spec.sharp = true,
                b'0' => spec.zero = true,
                b'+' => spec.plus = true,
                b'-' => spec.minus = true,
                b' ' => spec.space = true,
                _ => break,
            }
            self.at += 1;
        }
        let mut after_index = self.index();
        if self.peek() == Some(b'*') {
            self.at += 1;
            spec.width = self.operand_as_width();
            if spec.width.is_none() {
                self.out.push_str("%!(BADWIDTH)");
            }
            if let Some(width) = spec.width.filter(|width| *width < 0) {
                spec.width = Some(-width);
                (spec.minus, spec.zero) = (true, false);
            }
            after_index = false;
        } else {
            spec.width = self.number();
            if after_index && spec.width.is_some() {
                self.good = false;
            }
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if after_index {
                self.good = false;
            }
            after_index = self.index();
            if self.peek() == Some(b'*') {
                self.at += 1;
                spec.precision = self.operand_as_width().filter(|precision| *precision >= 0);
                if spec.precision.is_none() {
                    self.out.push_str("%!(BADPREC)");
                }
                after_index = false;
            } else {
                spec.precision = Some(self.number().unwrap_or(0));
            }
        }
        if !after_index {
            self.index();
        }
        let Some(verb) = self.format[self.at..].chars().next() else {
            self.out.push_str("%!(NOVERB)");
            return;
        };
        self.at += verb.len_utf8();
        if verb == '%' {
            self.out.push('%');
        } else if !self.good {
            self.out.extend(["%!", verb.encode_utf8(&mut [0; 4]), "(BADINDEX)"]);
        } else if let Some(value) = self.values.get(self.next) {
            self.next += 1;
            if verb == 'v' {
                // `%#v` and `%+v` are forms of their own.
                spec.go_syntax = std::mem::take(&mut spec.sharp);
                spec.plus = false;
            }
            print_verb(value, verb, &spec, &mut self.out);
        } else {
            self.out.extend(["%!", verb.encode_utf8(&mut [0; 4]), "(MISSING)"]);
        }
    }

    /// `[n]`: the operand that comes next, counted from 1. Whether there was one.
    fn index(&mut self) -> bool {
        if self.peek() != Some(b'[') {
            return false;
        }
        self.reordered = true;
        let rest = &self.format[self.at..];
        let Some(end) = rest.find(']').filter(|_| rest.len() >= 3) else {
            self.good = false;
            self.at += 1;
            return false;
        };
        let index = rest[1..end].parse::<usize>().ok().filter(|_| rest.as_bytes()[1].is_ascii_digit());
        self.at += end + 1;
        match index.and_then(|index| index.checked_sub(1)).filter(|index| *index < self.values.len()) {
            Some(index) => {
                self.next = index;
                true
            }
            None => {
                self.good = false;
                index.is_some()
            }
        }
    }

    /// Digits, if there are any; a number out of bounds is none.
    fn number(&mut self) -> Option<i64> {
        let rest = &self.format[self.at..];
        let length = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
        if length == 0 {
            return None;
        }
        self.at += length;
        rest[..length].parse().ok().filter(|number| *number <= MAX_WIDTH)
    }

    /// The next operand as a width, if it is one.
    fn operand_as_width(&mut self) -> Option<i64> {
        let value = self.values.get(self.next)?;
        self.next += 1;
        match value {
            Value::Int(width, _) if (-MAX_WIDTH..=MAX_WIDTH).contains(width) => Some(*width),
            _ => None,
        }
    }
}

/// A value where nothing more can be said of it: `%!d(string=hi)`.
pub(super) fn bad_verb(value: &Value, verb: char, spec: &Spec, out: &mut String) {
    out.push_str("%!");
    out.push(verb);
    out.push('(');
    if matches!(value, Value::Missing | Value::Nil) {
        out.push_str("<nil>");
    } else {
        out.push_str(value.type_name());
        out.push('=');
        print_verb(value, 'v', spec, out);
    }
    out.push(')');
}

/// Appends text with the width of a directive, counted in characters.
pub(super) fn pad(text: &str, spec: &Spec, out: &mut String) {
    number_format::pad(text, spec, out);
}
