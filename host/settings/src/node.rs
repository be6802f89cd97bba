//! A configuration as a tree that remembers where each value stands.
//!
//! All formats and sources become this tree first; what follows (substitution, decoding, complaints) knows no YAML. The tree's `Debug`
//! shows no values: it holds secrets.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Number, Value};

/// Where a value comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// From the program itself.
    #[default]
    Nowhere,
    /// This line of the file, from 1.
    Line(u32),
    /// The environment variable of this name.
    Variable(Arc<str>),
}

impl Place {
    /// The line in the file, from 1; 0 when it stands in no file.
    pub fn line(&self) -> u32 {
        match self {
            Place::Line(line) => *line,
            Place::Nowhere | Place::Variable(_) => 0,
        }
    }
}

impl From<u32> for Place {
    /// 0: nowhere.
    fn from(line: u32) -> Self {
        if line == 0 { Place::Nowhere } else { Place::Line(line) }
    }
}

impl From<&Place> for Place {
    fn from(place: &Place) -> Self {
        place.clone()
    }
}

impl fmt::Display for Place {
    /// `line 12`, `the environment variable NAME`, `the defaults`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Nowhere => f.write_str("the defaults"),
            Place::Line(line) => write!(f, "line {line}"),
            Place::Variable(name) => write!(f, "the environment variable {name}"),
        }
    }
}

/// One value and where it stands.
#[derive(Clone)]
pub struct Node {
    /// Where it stands.
    pub place: Place,
    /// The value.
    pub data: Data,
}

/// A value.
#[derive(Clone)]
pub enum Data {
    /// `null`, `~` or nothing.
    Null,
    /// Anything that is neither a list nor a map.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// A map, in the file's order. Keys are unique.
    Map(Vec<Entry>),
}

/// A leaf.
#[derive(Clone)]
pub struct Scalar {
    /// Its text: what a key that expects text gets, also for `12` and `true`.
    pub text: String,
    /// As it stands in the file, where substitution changed it: messages show this, never a variable's content.
    pub written: Option<String>,
    /// What the text means.
    pub meaning: Meaning,
}

/// What a leaf's text means by YAML's core schema. Quoted text is always `Text`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Meaning {
    /// Text.
    Text,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Another number.
    Float(f64),
}

/// One key of a map.
#[derive(Clone)]
pub struct Entry {
    /// The key as it is written.
    pub key: String,
    /// Where the key stands.
    pub place: Place,
    /// Its value.
    pub value: Node,
}

impl Node {
    /// A value that stands in no file.
    pub fn null() -> Node {
        Node { place: Place::Nowhere, data: Data::Null }
    }

    /// The entries of a map; none for anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.data {
            Data::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The entry of that key: the exact spelling, else any case variant.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        let entries = self.entries();
        entries.iter().find(|entry| entry.key == key).or_else(|| entries.iter().find(|entry| same_key(&entry.key, key)))
    }

    /// The place of `a.b[2].c` below this node, or of the nearest thing above it that is there.
    pub fn place_at(&self, path: &str) -> Option<&Place> {
        let (head, rest) = path.split_once('.').unwrap_or((path, ""));
        let (key, index) =
            head.split_once('[').map_or((head, None), |(key, index)| (key, index.trim_end_matches(']').parse::<usize>().ok()));
        let entry = self.get(key)?;
        let (mut place, mut node) = (&entry.place, &entry.value);
        if let (Some(index), Data::List(items)) = (index, &node.data)
            && let Some(item) = items.get(index)
        {
            (place, node) = (&item.place, item);
        }
        if rest.is_empty() { Some(place) } else { Some(node.place_at(rest).unwrap_or(place)) }
    }

    /// `a list`, `the text "x"`: for messages. Shows what is written, never what a variable held.
    pub fn describe(&self) -> String {
        match &self.data {
            Data::Null => "nothing".to_owned(),
            Data::List(_) => "a list".to_owned(),
            Data::Map(_) => "a map".to_owned(),
            Data::Scalar(scalar) => format!("`{}`", shorten(scalar.written.as_deref().unwrap_or(&scalar.text))),
        }
    }

    /// The message with what variables held put back to `${NAME}`: it may be a secret.
    pub fn hide(&self, message: String) -> String {
        match &self.data {
            Data::Null => message,
            Data::Scalar(Scalar { text, written: Some(written), .. }) if !text.is_empty() => message.replace(text.as_str(), written),
            Data::Scalar(_) => message,
            Data::List(items) => items.iter().fold(message, |message, item| item.hide(message)),
            Data::Map(entries) => entries.iter().fold(message, |message, entry| entry.value.hide(message)),
        }
    }

    /// The value without its lines, as a plugin or a kind's own decoder gets it.
    pub fn to_json(&self) -> Value {
        match &self.data {
            Data::Null => Value::Null,
            Data::Scalar(scalar) => match scalar.meaning {
                Meaning::Text => Value::String(scalar.text.clone()),
                Meaning::Bool(value) => Value::Bool(value),
                Meaning::Integer(value) => Value::Number(value.into()),
                Meaning::Float(value) => Number::from_f64(value).map_or_else(|| Value::String(scalar.text.clone()), Value::Number),
            },
            Data::List(items) => Value::Array(items.iter().map(Node::to_json).collect()),
            Data::Map(entries) => {
                Value::Object(entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect::<Map<_, _>>())
            }
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.data {
            Data::Null => "null",
            Data::Scalar(_) => "scalar",
            Data::List(_) => "list",
            Data::Map(_) => "map",
        };
        write!(f, "Node({what}, {})", self.place)
    }
}

impl From<Value> for Node {
    /// A value that stands nowhere.
    fn from(value: Value) -> Self {
        let scalar = |text: String, meaning| Data::Scalar(Scalar { text, written: None, meaning });
        let data = match value {
            Value::Null => Data::Null,
            Value::Bool(value) => scalar(value.to_string(), Meaning::Bool(value)),
            Value::Number(number) => match number.as_i64() {
                Some(value) => scalar(number.to_string(), Meaning::Integer(value)),
                None => scalar(number.to_string(), Meaning::Float(number.as_f64().unwrap_or(f64::NAN))),
            },
            Value::String(text) => scalar(text, Meaning::Text),
            Value::Array(items) => Data::List(items.into_iter().map(Node::from).collect()),
            Value::Object(members) => {
                Data::Map(members.into_iter().map(|(key, value)| Entry { key, place: Place::Nowhere, value: Node::from(value) }).collect())
            }
        };
        Node { place: Place::Nowhere, data }
    }
}

/// Whether two spellings name the same key. Upstream's keys are case-insensitive.
pub fn same_key(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

/// At most 60 characters of a text, for messages.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
