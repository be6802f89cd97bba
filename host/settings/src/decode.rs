//! From the tree to typed structs, with all complaints at once.
//!
//! serde stops at the first error. To find all of them, a failing value is noted, left out, and the section decoded again, until it
//! succeeds: every field of every section has a default, so in the end it does. Names of fields come from the derived code itself
//! (`deserialize_struct` is told them), so matching in any case, unknown keys and suggestions need no second list.
//!
//! Types are as forgiving as upstream's ("weak typing on"): text that is a number will do for a number, a number for `true` or `false`, a
//! fraction is cut off, a single value will do for a list. A key with no value or with an empty text is as good as missing.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, Visitor};

use crate::keys;
use crate::node::{Data, Entry, Meaning, Node, Scalar};
use crate::problem::{Problem, Problems};

/// Decodes `node`, standing at `path`. What is wrong goes to `problems` and gets its default instead.
pub fn decode<T: DeserializeOwned + Default>(node: &Node, path: &str, problems: &mut Problems) -> T {
    decode_with(node, path, &|_, _| None, problems)
}

/// What is said of an entry (its path first) that no struct knows: `None` for what is said of every unknown key.
pub type Unknown<'a> = &'a dyn Fn(&str, &Entry) -> Option<Problem>;

/// Decodes like [`decode`], with an own word about some unknown keys.
pub fn decode_with<T: DeserializeOwned + Default>(node: &Node, path: &str, unknown: Unknown<'_>, problems: &mut Problems) -> T {
    if !matches!(node.data, Data::Map(_) | Data::Null) {
        problems.error(path, &node.place, format!("expected a map of keys, found {}", node.describe()), "indent its keys below it");
        return T::default();
    }
    let state = State { unknown, skip: RefCell::default(), errors: RefCell::default(), notes: RefCell::default() };
    // Each round leaves out one more value, so there are at most as many rounds as values.
    loop {
        state.notes.borrow_mut().clear();
        let before = state.skip.borrow().len();
        let result = T::deserialize(Decoder { node, path: path.to_owned(), state: &state });
        let stuck = state.skip.borrow().len() == before;
        if let (Err(error), true) = (&result, stuck) {
            state.errors.borrow_mut().push(Problem::error(path, &node.place, error.message.clone(), error.fix.clone()));
        }
        if result.is_ok() || stuck {
            for problem in state.errors.into_inner().into_iter().chain(state.notes.into_inner()) {
                problems.push(problem);
            }
            return result.unwrap_or_default();
        }
    }
}

/// What is known across rounds.
struct State<'u> {
    /// Speaks of unknown keys first.
    unknown: Unknown<'u>,
    /// Paths of values that failed before.
    skip: RefCell<HashSet<String>>,
    /// Why they failed.
    errors: RefCell<Vec<Problem>>,
    /// What this round noticed without failing.
    notes: RefCell<Vec<Problem>>,
}

/// One value at its place.
struct Decoder<'a> {
    node: &'a Node,
    path: String,
    state: &'a State<'a>,
}

/// A value that does not fit.
#[derive(Debug)]
struct Error {
    message: String,
    fix: String,
    /// It stands in `errors` already.
    noted: bool,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        // `message; fix` is how the scalar types of this crate say both.
        let text = message.to_string();
        let (message, fix) = text.split_once("; ").unwrap_or((&text, ""));
        Error { message: message.to_owned(), fix: fix.to_owned(), noted: false }
    }
}

impl<'a> Decoder<'a> {
    /// A value below this one. On failure it is noted here, where its place is known, and left out from now on.
    fn below<'de, S: DeserializeSeed<'de>>(&self, seed: S, node: &'a Node, path: String) -> Result<S::Value, Error> {
        seed.deserialize(Decoder { node, path: path.clone(), state: self.state }).map_err(|mut error| {
            if !error.noted {
                self.state.errors.borrow_mut().push(Problem::error(
                    &path,
                    &node.place,
                    node.hide(error.message.clone()),
                    error.fix.clone(),
                ));
                self.state.skip.borrow_mut().insert(path);
                error.noted = true;
            }
            error
        })
    }

    fn expected(&self, what: &str, fix: &str) -> Error {
        Error { message: format!("expected {what}, found {}", self.node.describe()), fix: fix.to_owned(), noted: false }
    }

    fn scalar(&self, what: &str) -> Result<&'a Scalar, Error> {
        match &self.node.data {
            Data::Scalar(scalar) => Ok(scalar),
            _ => Err(self.expected(what, "")),
        }
    }

    fn integer(&self) -> Result<i64, Error> {
        const WHAT: &str = "a whole number";
        let scalar = self.scalar(WHAT)?;
        match scalar.meaning {
            Meaning::Integer(value) => Ok(value),
            Meaning::Text => whole_number(scalar.text.trim()).ok_or_else(|| self.expected(WHAT, "")),
            Meaning::Bool(value) => Ok(i64::from(value)),
            // Beyond what a double holds exactly, cutting off would invent digits.
            #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
            Meaning::Float(value) if value.abs() < EXACT => Ok(value as i64),
            Meaning::Float(_) => Err(self.expected(WHAT, "")),
        }
    }

    fn note(&self, problem: Problem) {
        self.state.notes.borrow_mut().push(problem);
    }

    /// The entries to decode: known names in their declared spelling.
    fn fields(&self, known: &'static [&'static str]) -> Vec<(&'static str, &'a Entry)> {
        let mut found: Vec<(&'static str, &'a Entry)> = Vec::new();
        for entry in self.node.entries() {
            let path = join(&self.path, &entry.key);
            let Some(name) = keys::find(known, &entry.key) else {
                if !keys::is_private(&entry.key) {
                    let own = (self.state.unknown)(&path, entry);
                    self.note(own.unwrap_or_else(|| keys::unknown(&path, &entry.key, &entry.place, known)));
                }
                continue;
            };
            match found.iter_mut().find(|(taken, _)| *taken == name) {
                None => found.push((name, entry)),
                Some((_, other)) => {
                    let message = format!("`{}` and `{}` ({}) are the same key", entry.key, other.key, other.place);
                    self.note(Problem::error(join(&self.path, name), &entry.place, message, "keep one of the two"));
                    if entry.key == name {
                        *other = entry;
                    }
                }
            }
        }
        found.retain(|(name, entry)| !is_empty(&entry.value) && !self.state.skip.borrow().contains(&join(&self.path, name)));
        found
    }
}

/// Doubles below this hold every whole number.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Go's `strconv.ParseInt` with base 0, which upstream reads text with: `0x1F`, `0b1`, `0o17`, `017`, `1_000`.
fn whole_number(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) => (if text.starts_with('-') { "-" } else { "" }, digits),
        None => ("", text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.get(..2) {
        Some("0x") => (16, &lower[2..]),
        Some("0o") => (8, &lower[2..]),
        Some("0b") => (2, &lower[2..]),
        Some(_) if lower.starts_with('0') => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    let underscores = radix != 10 || digits.starts_with(|c: char| c.is_ascii_digit());
    if digits.starts_with(['-', '+']) || digits.ends_with('_') || digits.contains("__") || !underscores {
        return None;
    }
    i64::from_str_radix(&format!("{sign}{}", digits.replace('_', "")), radix).ok()
}

/// What upstream takes for a missing value: nothing, and the empty text.
fn is_empty(node: &Node) -> bool {
    match &node.data {
        Data::Null => true,
        Data::Scalar(scalar) => scalar.text.is_empty(),
        Data::List(_) | Data::Map(_) => false,
    }
}

/// `a` and `b` as a path.
pub fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

macro_rules! integers {
    ($($method:ident $visit:ident $type:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            let value = self.integer()?;
            match $type::try_from(value) {
                Ok(value) => visitor.$visit(value),
                Err(_) => Err(self.expected(&format!("a whole number from {} to {}", $type::MIN, $type::MAX), "")),
            }
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Decoder<'_> {
    type Error = Error;

    integers! {
        deserialize_i8 visit_i8 i8
        deserialize_i16 visit_i16 i16
        deserialize_i32 visit_i32 i32
        deserialize_i64 visit_i64 i64
        deserialize_u8 visit_u8 u8
        deserialize_u16 visit_u16 u16
        deserialize_u32 visit_u32 u32
        deserialize_u64 visit_u64 u64
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.data {
            Data::Null => visitor.visit_unit(),
            Data::Scalar(scalar) => match scalar.meaning {
                Meaning::Text => visitor.visit_str(&scalar.text),
                Meaning::Bool(value) => visitor.visit_bool(value),
                Meaning::Integer(value) => visitor.visit_i64(value),
                Meaning::Float(value) => visitor.visit_f64(value),
            },
            Data::List(_) => self.deserialize_seq(visitor),
            Data::Map(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        const WHAT: &str = "`true` or `false`";
        let scalar = self.scalar(WHAT)?;
        match (scalar.meaning, scalar.text.as_str()) {
            (Meaning::Bool(value), _) => visitor.visit_bool(value),
            (Meaning::Integer(value), _) => visitor.visit_bool(value != 0),
            // Go's strconv.ParseBool.
            (Meaning::Text, "1" | "t" | "T" | "true" | "True" | "TRUE") => visitor.visit_bool(true),
            (Meaning::Text, "0" | "f" | "F" | "false" | "False" | "FALSE") => visitor.visit_bool(false),
            _ => Err(self.expected(WHAT, "")),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let scalar = self.scalar("a number")?;
        match scalar.text.trim().parse() {
            Ok(value) => visitor.visit_f64(value),
            Err(_) => Err(self.expected("a number", "")),
        }
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(&self.scalar("text")?.text)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node.data {
            Data::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let items = match &self.node.data {
            Data::List(items) => items.as_slice(),
            Data::Null => &[],
            Data::Map(entries) if entries.is_empty() => &[],
            Data::Scalar(_) | Data::Map(_) => std::slice::from_ref(self.node),
        };
        visitor.visit_seq(Items { decoder: &self, items, next: 0 })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, _: &'static str, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if !matches!(self.node.data, Data::Map(_) | Data::Null) {
            return Err(self.expected("a map of keys", "indent its keys below it"));
        }
        let skip = |entry: &&Entry| !self.state.skip.borrow().contains(&join(&self.path, &entry.key));
        let fields = self.node.entries().iter().filter(skip).map(|entry| (entry.key.as_str(), entry)).collect();
        visitor.visit_map(Fields { decoder: &self, fields, next: 0 })
    }

    fn deserialize_struct<V: Visitor<'de>>(self, _: &'static str, known: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        if !matches!(self.node.data, Data::Map(_) | Data::Null) {
            return Err(self.expected("a map of keys", "indent its keys below it"));
        }
        visitor.visit_map(Fields { fields: self.fields(known), decoder: &self, next: 0 })
    }

    fn deserialize_enum<V: Visitor<'de>>(self, _: &'static str, known: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        let what = format!("one of {}", keys::list(known));
        let text = &self.scalar(&what)?.text;
        match known.iter().find(|name| *name == text) {
            Some(name) => {
                let name: StrDeserializer<'_, Error> = name.into_deserializer();
                visitor.visit_enum(name)
            }
            None => Err(self.expected(&what, &keys::did_you_mean(text, known))),
        }
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }
}

/// A list under way.
struct Items<'d, 'a> {
    decoder: &'d Decoder<'a>,
    items: &'a [Node],
    next: usize,
}

impl<'de> de::SeqAccess<'de> for Items<'_, '_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        while let Some(item) = self.items.get(self.next) {
            let path = format!("{}[{}]", self.decoder.path, self.next);
            self.next += 1;
            if !self.decoder.state.skip.borrow().contains(&path) {
                return self.decoder.below(seed, item, path).map(Some);
            }
        }
        Ok(None)
    }
}

/// A map or struct under way.
struct Fields<'d, 'a> {
    decoder: &'d Decoder<'a>,
    fields: Vec<(&'a str, &'a Entry)>,
    next: usize,
}

impl<'de> de::MapAccess<'de> for Fields<'_, '_> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some((name, _)) = self.fields.get(self.next) else { return Ok(None) };
        let name: StrDeserializer<'_, Error> = (*name).into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let (name, entry) = self.fields[self.next];
        self.next += 1;
        self.decoder.below(seed, &entry.value, join(&self.decoder.path, name))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde::Deserialize;
    use serde_json::{Value, json};

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Section {
        number: i64,
        small: u8,
        flag: bool,
        text: String,
        list: Vec<String>,
        inner: Vec<Inner>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Inner {
        name: String,
    }

    fn read(value: Value) -> (Section, Vec<String>) {
        let mut problems = Problems::default();
        let section = decode(&Node::from(value), "", &mut problems);
        (section, problems.finish().0.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn types_are_as_forgiving_as_upstreams() {
        let numbers = [
            (json!("12"), Some(12)),
            (json!(" -3 "), Some(-3)),
            (json!("0x1F"), Some(31)),
            (json!("0b101"), Some(5)),
            (json!("0o17"), Some(15)),
            (json!("017"), Some(15)),
            (json!("1_000"), Some(1000)),
            (json!("0"), Some(0)),
            (json!(1.9), Some(1)),
            (json!(-1.9), Some(-1)),
            (json!(true), Some(1)),
            (json!(""), Some(0)),
            (json!(null), Some(0)),
            (json!("08"), None),
            (json!("+-1"), None),
            (json!("_1"), None),
            (json!("1.5"), None),
            (json!("x"), None),
            (json!(1e300), None),
            (json!([1]), None),
        ];
        for (value, expected) in numbers {
            let (section, problems) = read(json!({ "number": value.clone() }));
            assert_eq!((section.number, problems.is_empty()), (expected.unwrap_or(0), expected.is_some()), "{value}: {problems:?}");
        }
        let flags = [
            (json!(true), Some(true)),
            (json!(2), Some(true)),
            (json!(0), Some(false)),
            (json!("T"), Some(true)),
            (json!("1"), Some(true)),
            (json!("FALSE"), Some(false)),
            (json!(""), Some(false)),
            (json!("yes"), None),
            (json!(1.5), None),
        ];
        for (value, expected) in flags {
            let (section, problems) = read(json!({ "flag": value.clone() }));
            assert_eq!((section.flag, problems.is_empty()), (expected.unwrap_or(false), expected.is_some()), "{value}: {problems:?}");
        }
        let lists = [(json!("a"), vec!["a"]), (json!(["a", 2]), vec!["a", "2"]), (json!({}), vec![]), (json!(7), vec!["7"])];
        for (value, expected) in lists {
            assert_eq!(read(json!({ "list": value.clone() })).0.list, expected, "{value}");
        }
        assert_eq!(read(json!({"inner": {"name": "a"}})).0.inner, [Inner { name: "a".to_owned() }], "a map for a list of one");
        assert_eq!(read(json!({"text": 1.5})).0.text, "1.5");
    }

    #[test]
    fn every_mistake_is_told_and_the_rest_is_read() {
        let (section, problems) = read(json!({
            "number": "many", "small": 256, "flag": [], "TEXT": "a", "inner": [{"nmae": 1}, 7, {"name": {}}, {"name": "b"}], "x-own": 1, "els": 1
        }));
        assert_eq!(
            problems,
            [
                "flag: expected `true` or `false`, found a list",
                "inner[1]: expected a map of keys, found `7`; indent its keys below it",
                "inner[2].name: expected text, found a map",
                "number: expected a whole number, found `many`",
                "small: expected a whole number from 0 to 255, found `256`",
                "els: unknown key; known here: `number`, `small`, `flag`, `text`, `list`, `inner`",
                "inner[0].nmae: unknown key; did you mean `name`?",
            ]
        );
        assert_eq!(section.text, "a");
        let names: Vec<&str> = section.inner.iter().map(|inner| inner.name.as_str()).collect();
        assert_eq!(names, ["", "", "b"]);
    }
}
