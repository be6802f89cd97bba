//! YAML text to a [`Node`] tree.
//!
//! Built from the parser's events instead of its own tree, since that tree is built by recursion without a bound: here nesting, size and
//! the growth by aliases are bounded, merge keys (`<<`, which upstream's parser knows) are followed, and a repeated key names both lines.

use std::collections::HashMap;

use saphyr::Scalar as YamlScalar;
use saphyr_parser::{Event, Marker, Parser};

use flagpost_settings::{Data, Entry, Meaning, Node, Place, Problem, Scalar};

/// Deepest nesting; upstream's keys need six.
const MAX_DEPTH: usize = 64;
/// Most values in a file after aliases are followed.
const MAX_NODES: usize = 200_000;
/// Largest file in bytes.
pub(crate) const MAX_BYTES: usize = 4 << 20;

/// The file's first document as a tree; an empty file is `null`.
pub(crate) fn parse(text: &str) -> Result<Node, Problem> {
    if text.len() > MAX_BYTES {
        return Err(Problem::error("", 0, format!("the file has {} bytes, more than {MAX_BYTES}", text.len()), "split or shorten it"));
    }
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            // In `{ }` and `[ ]` braces are structure: the commonest mistake there is a variable without quotes.
            let line = text.lines().nth(error.marker().line().saturating_sub(1)).unwrap_or_default();
            let fix = if line.contains("${") { "put quotes around `${…}`" } else { "check quotes and indentation" };
            fail(error.marker(), format!("not valid YAML: {}", error.info()), fix)
        })?;
        if let Some(root) = builder.take(event, span.start)? {
            return Ok(root);
        }
    }
    Ok(Node::null())
}

/// Collections under construction.
#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

/// A collection whose end was not seen yet.
struct Open {
    anchor: usize,
    line: u32,
    nodes_before: usize,
    items: Vec<Node>,
    /// `None` for lists.
    map: Option<OpenMap>,
}

/// A map's finished entries, and the key (with its line) that waits for its value.
#[derive(Default)]
struct OpenMap {
    entries: Vec<Entry>,
    waiting: Option<(String, Place)>,
}

impl Builder {
    /// Takes one event; the finished tree when it was the last of the document.
    fn take(&mut self, event: Event<'_>, at: Marker) -> Result<Option<Node>, Problem> {
        let line = line_of(&at);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.count(1, &at)?;
                let scalar = YamlScalar::parse_from_cow_and_metadata(text.clone(), style, tag.as_ref())
                    .ok_or_else(|| fail(&at, format!("`{text}` does not fit its tag"), "remove the tag or correct the value"))?;
                let data = match scalar {
                    YamlScalar::Null => Data::Null,
                    YamlScalar::Boolean(value) => leaf(&text, Meaning::Bool(value)),
                    YamlScalar::Integer(value) => leaf(&text, Meaning::Integer(value)),
                    YamlScalar::FloatingPoint(value) => leaf(&text, Meaning::Float(value.into_inner())),
                    YamlScalar::String(_) => leaf(&text, Meaning::Text),
                };
                self.place(Node { place: Place::Line(line), data }, anchor, 1, &at)
            }
            Event::SequenceStart(anchor, _) => self.open(anchor, false, &at),
            Event::MappingStart(anchor, _) => self.open(anchor, true, &at),
            Event::SequenceEnd | Event::MappingEnd => self.close(&at),
            Event::Alias(anchor) => {
                let known = self.anchors.get(&anchor).cloned();
                let (node, size) = known.ok_or_else(|| fail(&at, "an alias inside its own anchor", "write the value out"))?;
                self.count(size, &at)?;
                self.place(node, 0, size, &at)
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => Ok(None),
        }
    }

    fn count(&mut self, more: usize, at: &Marker) -> Result<(), Problem> {
        self.nodes = self.nodes.saturating_add(more);
        if self.nodes > MAX_NODES {
            return Err(fail(at, format!("more than {MAX_NODES} values, aliases included"), "use fewer aliases"));
        }
        Ok(())
    }

    fn open(&mut self, anchor: usize, is_map: bool, at: &Marker) -> Result<Option<Node>, Problem> {
        if self.open.len() >= MAX_DEPTH {
            return Err(fail(at, format!("nested deeper than {MAX_DEPTH} levels"), "flatten it"));
        }
        self.count(1, at)?;
        let map = is_map.then(OpenMap::default);
        self.open.push(Open { anchor, line: line_of(at), nodes_before: self.nodes, items: Vec::new(), map });
        Ok(None)
    }

    fn close(&mut self, at: &Marker) -> Result<Option<Node>, Problem> {
        let Some(open) = self.open.pop() else { return Ok(None) };
        let size = self.nodes - open.nodes_before + 1;
        let data = match open.map {
            Some(map) => Data::Map(merged(map.entries)?),
            None => Data::List(open.items),
        };
        self.place(Node { place: Place::Line(open.line), data }, open.anchor, size, at)
    }

    /// Puts a finished value where it belongs; gives it back when it is the root.
    fn place(&mut self, node: Node, anchor: usize, size: usize, at: &Marker) -> Result<Option<Node>, Problem> {
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let Some(parent) = self.open.last_mut() else { return Ok(Some(node)) };
        match &mut parent.map {
            None => parent.items.push(node),
            Some(OpenMap { entries, waiting }) => match waiting.take() {
                Some((key, place)) => entries.push(Entry { key, place, value: node }),
                None => {
                    let key = key_text(&node, at)?;
                    if let Some(earlier) = entries.iter().find(|entry| entry.key == key && key != MERGE) {
                        let message = format!("the key `{key}` was given before, on {}", earlier.place);
                        return Err(fail(at, message, "keep one of the two"));
                    }
                    *waiting = Some((key, node.place));
                }
            },
        }
        Ok(None)
    }
}

const MERGE: &str = "<<";

fn leaf(text: &str, meaning: Meaning) -> Data {
    Data::Scalar(Scalar { text: text.to_owned(), written: None, meaning })
}

fn key_text(node: &Node, at: &Marker) -> Result<String, Problem> {
    match &node.data {
        Data::Scalar(scalar) => Ok(scalar.text.clone()),
        Data::Null => Ok(String::new()),
        Data::List(_) | Data::Map(_) => Err(fail(at, "a list or a map as a key", "keys are plain text")),
    }
}

/// Follows merge keys: entries of the merged maps that the map itself does not have; earlier maps win.
fn merged(entries: Vec<Entry>) -> Result<Vec<Entry>, Problem> {
    if !entries.iter().any(|entry| entry.key == MERGE) {
        return Ok(entries);
    }
    let (merges, mut own): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| entry.key == MERGE);
    for merge in merges {
        let sources = match merge.value.data {
            Data::List(items) => items,
            _ => vec![merge.value],
        };
        for source in sources {
            let Data::Map(more) = source.data else {
                return Err(Problem::error("<<", &merge.place, "a merge key takes a map or a list of maps", "point it at an anchored map"));
            };
            for entry in more {
                if !own.iter().any(|present| present.key == entry.key) {
                    own.push(entry);
                }
            }
        }
    }
    Ok(own)
}

fn line_of(at: &Marker) -> u32 {
    u32::try_from(at.line()).unwrap_or(u32::MAX)
}

fn fail(at: &Marker, message: impl Into<String>, fix: &'static str) -> Problem {
    Problem::error("", line_of(at), message, fix)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn values_keep_their_meaning_their_text_and_their_line() {
        let root = parse("a: 1\nb:\n  - yes\n  - '7'\n  - 1.50\nc: &x {d: true}\ne: *x\nf: {<<: *x, g: null}\n").unwrap();
        let json = serde_json::json!({"a": 1, "b": ["yes", "7", 1.5], "c": {"d": true}, "e": {"d": true}, "f": {"g": null, "d": true}});
        assert_eq!(root.to_json(), json);
        let b = root.get("B").unwrap();
        assert_eq!(b.place, Place::Line(2));
        let Data::List(items) = &b.value.data else { panic!("a list") };
        assert_eq!(items.iter().map(|item| item.place.line()).collect::<Vec<_>>(), [3, 4, 5]);
        assert_eq!(items[2].describe(), "`1.50`");
    }

    #[test]
    fn what_is_not_a_configuration_is_refused_with_its_line() {
        let bomb = format!(
            "a0: &a0 [x]\n{}",
            (1..12).map(|n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(","))).collect::<String>()
        );
        let cases = [
            ("a: 1\na: 2\n", 2, "was given before, on line 1"),
            ("a: [1\n", 2, "not valid YAML"),
            ("? [a]\n: 1\n", 1, "a list or a map as a key"),
            ("a: &x [*x]\n", 1, "alias"),
            (&"[".repeat(100), 1, "nested deeper than 64"),
            (&"- ".repeat(100_000), 1, "nested deeper than 64"),
            (&bomb, 7, "more than 200000 values"),
            ("a: !!int x\n", 1, "does not fit its tag"),
            ("<<: 3\n", 1, "a merge key takes a map"),
        ];
        for (text, line, message) in cases {
            let problem = parse(text).err().unwrap_or_else(|| panic!("{text:.40} was taken"));
            assert!(problem.message.contains(message), "{problem}");
            assert_eq!(problem.place.line(), line, "{problem}");
        }
    }

    #[test]
    fn an_empty_file_is_nothing() {
        for text in ["", "# a comment\n", "---\n", "\u{feff}"] {
            assert!(matches!(parse(text).unwrap().data, Data::Null), "{text:?}");
        }
    }
}
