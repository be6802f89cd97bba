//! JSON text to a [`Node`] tree.
//!
//! Level by level: each value below is first taken as its raw text, whose place in the file gives its line.

use std::borrow::Cow;
use std::fmt;

use flagpost_settings::{Data, Entry, Meaning, Node, Place, Problem, Scalar};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::format::{Lines, MAX_DEPTH};

/// The file as a tree; an empty file is `null`.
pub(super) fn parse(text: &str) -> Result<Node, Problem> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim().is_empty() {
        return Ok(Node::null());
    }
    let reader = Reader { start: text.as_ptr() as usize, lines: Lines::of(text) };
    let root: &RawValue = serde_json::from_str(text).map_err(|error| broken(u32::try_from(error.line()).unwrap_or(0), &error))?;
    reader.node(root.get(), 0)
}

fn broken(line: u32, error: &serde_json::Error) -> Problem {
    // The error ends with its own line and column, which are those of a part of the file.
    let text = error.to_string();
    let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
    Problem::error("", line, format!("not valid JSON: {message}"), "check quotes, commas and brackets")
}

struct Reader {
    /// Address of the text's first byte; raw values are slices of the text.
    start: usize,
    lines: Lines,
}

impl Reader {
    fn line(&self, part: &str) -> u32 {
        self.lines.at((part.as_ptr() as usize).saturating_sub(self.start))
    }

    fn read<'de, T: Deserialize<'de>>(&self, part: &'de str) -> Result<T, Problem> {
        serde_json::from_str(part).map_err(|error| {
            let line = self.line(part) + u32::try_from(error.line().saturating_sub(1)).unwrap_or(0);
            broken(line, &error)
        })
    }

    fn node(&self, part: &str, depth: usize) -> Result<Node, Problem> {
        let line = self.line(part);
        if depth > MAX_DEPTH {
            return Err(Problem::error("", line, format!("nested deeper than {MAX_DEPTH} levels"), "flatten it"));
        }
        let scalar = |text: &str, meaning| Data::Scalar(Scalar { text: text.to_owned(), written: None, meaning });
        let data = match part.as_bytes().first() {
            Some(b'{') => {
                let Members(members) = self.read(part)?;
                let mut entries: Vec<Entry> = Vec::with_capacity(members.len());
                for (key, value) in members {
                    let place = Place::from(self.line(value.get()));
                    if let Some(earlier) = entries.iter().find(|entry| entry.key == key) {
                        let message = format!("the key `{key}` was given before, on {}", earlier.place);
                        return Err(Problem::error("", place, message, "keep one of the two"));
                    }
                    entries.push(Entry { key: key.into_owned(), place, value: self.node(value.get(), depth + 1)? });
                }
                Data::Map(entries)
            }
            Some(b'[') => {
                let items: Vec<&RawValue> = self.read(part)?;
                Data::List(items.into_iter().map(|item| self.node(item.get(), depth + 1)).collect::<Result<_, _>>()?)
            }
            Some(b'"') => scalar(&self.read::<String>(part)?, Meaning::Text),
            Some(b'n') => Data::Null,
            Some(b't') => scalar(part, Meaning::Bool(true)),
            Some(b'f') => scalar(part, Meaning::Bool(false)),
            _ => match part.parse() {
                Ok(value) => scalar(part, Meaning::Integer(value)),
                Err(_) => scalar(part, Meaning::Float(part.parse().unwrap_or(f64::NAN))),
            },
        };
        Ok(Node { place: Place::Line(line), data })
    }
}

/// An object's members in the file's order, repeated keys included.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, _>()? {
                    members.push((Cow::Owned(key), value));
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Collect).map(Members)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn values_keep_their_meaning_their_text_and_their_line() {
        let root = parse("{\n\t\"a\": [1,\n\t 1.50, \"x\\u00e9\\ud83d\\ude00\"],\n \"b\": {\"c\": null, \"d\": true}}").unwrap();
        assert_eq!(root.to_json(), serde_json::json!({"a": [1, 1.5, "x\u{e9}\u{1f600}"], "b": {"c": null, "d": true}}));
        assert_eq!(root.place_at("a[1]"), Some(&Place::Line(3)));
        assert_eq!(root.place_at("b.d"), Some(&Place::Line(4)));
        let Data::List(items) = &root.get("a").unwrap().value.data else { panic!("a list") };
        assert_eq!(items[1].describe(), "`1.50`");
    }

    #[test]
    fn what_is_not_json_is_refused_with_its_line() {
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        let cases = [
            ("{\n\"a\": 1,\n}", 3, "not valid JSON: key must be a string"),
            ("{\"a\": 1\n", 2, "not valid JSON: EOF"),
            ("{}\n{}", 2, "not valid JSON: trailing characters"),
            ("{\"a\":\n1,\n\"a\": 2}", 3, "was given before, on line 2"),
            ("{\"a\":\n\"\\ud800\"}", 2, "not valid JSON"),
            (deep.as_str(), 1, "nested deeper than 64"),
        ];
        for (text, line, message) in cases {
            let problem = parse(text).err().unwrap_or_else(|| panic!("{text:.40} was taken"));
            assert!(problem.message.contains(message), "{problem}");
            assert_eq!(problem.place.line(), line, "{problem}");
        }
        assert!(matches!(parse(" \n").unwrap().data, Data::Null));
    }
}
