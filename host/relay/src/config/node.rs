//! A configuration as a tree that remembers where each value stands.
//!
//! All formats and sources become this tree first; what follows (substitution, decoding, complaints) knows no YAML. The tree has no
//! `Debug`: it holds secrets.

use serde_json::{Map, Number, Value};

/// One value and the line it stands on.
#[derive(Clone)]
pub(crate) struct Node {
    /// Line in the file, from 1; 0 when the value stands in no file.
    pub(crate) line: u32,
    /// The value.
    pub(crate) data: Data,
}

/// A value.
#[derive(Clone)]
pub(crate) enum Data {
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
pub(crate) struct Scalar {
    /// Its text: what a key that expects text gets, also for `12` and `true`.
    pub(crate) text: String,
    /// As it stands in the file, where substitution changed it: messages show this, never a variable's content.
    pub(crate) written: Option<String>,
    /// What the text means.
    pub(crate) meaning: Meaning,
}

/// What a leaf's text means by YAML's core schema. Quoted text is always `Text`.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Meaning {
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
pub(crate) struct Entry {
    /// The key as it is written.
    pub(crate) key: String,
    /// The key's line.
    pub(crate) line: u32,
    /// Its value.
    pub(crate) value: Node,
}

impl Node {
    /// A value that stands in no file.
    pub(crate) fn null() -> Node {
        Node { line: 0, data: Data::Null }
    }

    /// The entries of a map; none for anything else.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.data {
            Data::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The entry of that key: the exact spelling, else any case variant.
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        let entries = self.entries();
        entries.iter().find(|entry| entry.key == key).or_else(|| entries.iter().find(|entry| same_key(&entry.key, key)))
    }

    /// The line of `a.b[2].c` below this node, or of the nearest thing above it that is there.
    pub(crate) fn line_at(&self, path: &str) -> Option<u32> {
        let (head, rest) = path.split_once('.').unwrap_or((path, ""));
        let (key, index) =
            head.split_once('[').map_or((head, None), |(key, index)| (key, index.trim_end_matches(']').parse::<usize>().ok()));
        let entry = self.get(key)?;
        let (mut line, mut node) = (entry.line, &entry.value);
        if let (Some(index), Data::List(items)) = (index, &node.data)
            && let Some(item) = items.get(index)
        {
            (line, node) = (item.line, item);
        }
        if rest.is_empty() { Some(line) } else { Some(node.line_at(rest).unwrap_or(line)) }
    }

    /// `a list`, `the text "x"`: for messages. Shows what is written, never what a variable held.
    pub(crate) fn describe(&self) -> String {
        match &self.data {
            Data::Null => "nothing".to_owned(),
            Data::List(_) => "a list".to_owned(),
            Data::Map(_) => "a map".to_owned(),
            Data::Scalar(scalar) => format!("`{}`", shorten(scalar.written.as_deref().unwrap_or(&scalar.text))),
        }
    }

    /// The message with what variables held put back to `${NAME}`: it may be a secret.
    pub(crate) fn hide(&self, message: String) -> String {
        match &self.data {
            Data::Null => message,
            Data::Scalar(Scalar { text, written: Some(written), .. }) if !text.is_empty() => message.replace(text.as_str(), written),
            Data::Scalar(_) => message,
            Data::List(items) => items.iter().fold(message, |message, item| item.hide(message)),
            Data::Map(entries) => entries.iter().fold(message, |message, entry| entry.value.hide(message)),
        }
    }

    /// The value without its lines, as a plugin or a kind's own decoder gets it.
    pub(crate) fn to_json(&self) -> Value {
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

/// Whether two spellings name the same key. Upstream's keys are case-insensitive.
pub(crate) fn same_key(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

/// At most 60 characters of a text, for messages.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
