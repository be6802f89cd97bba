//! TOML text to a [`Node`] tree.

use flagpost_settings::{Data, Entry, Meaning, Node, Place, Problem, Scalar};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::format::{Lines, MAX_DEPTH};

/// The file as a tree.
pub(super) fn parse(text: &str) -> Result<Node, Problem> {
    let lines = Lines::of(text);
    let table = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(0, |span| lines.at(span.start));
        Problem::error("", line, format!("not valid TOML: {}", error.message().replace('\n', ", ")), "check quotes and brackets")
    })?;
    map(table.get_ref(), 1, &lines, 0)
}

fn map(table: &DeTable<'_>, line: u32, lines: &Lines, depth: usize) -> Result<Node, Problem> {
    if depth > MAX_DEPTH {
        return Err(Problem::error("", line, format!("nested deeper than {MAX_DEPTH} levels"), "flatten it"));
    }
    let mut entries = Vec::with_capacity(table.len());
    for (key, value) in table {
        // A table's own span is where its header is first seen; the key's is where the operator wrote it.
        let place = Place::from(lines.at(key.span().start));
        entries.push(Entry { key: key.get_ref().to_string(), place, value: node(value, lines, depth + 1)? });
    }
    // The parser sorts keys; the file's order is the reader's.
    entries.sort_by_key(|entry| entry.place.line());
    Ok(Node { place: Place::from(line), data: Data::Map(entries) })
}

fn node(value: &Spanned<DeValue<'_>>, lines: &Lines, depth: usize) -> Result<Node, Problem> {
    let line = lines.at(value.span().start);
    let scalar = |text: String, meaning| Data::Scalar(Scalar { text, written: None, meaning });
    let data = match value.get_ref() {
        DeValue::String(text) => scalar(text.to_string(), Meaning::Text),
        DeValue::Boolean(value) => scalar(value.to_string(), Meaning::Bool(*value)),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(value) => scalar(value.to_string(), Meaning::Integer(value)),
            Err(_) => return Err(Problem::error("", line, "a whole number beyond 64 bits", "write it as text")),
        },
        DeValue::Float(number) => scalar(number.as_str().to_owned(), Meaning::Float(number.as_str().parse().unwrap_or(f64::NAN))),
        DeValue::Datetime(value) => scalar(value.to_string(), Meaning::Text),
        DeValue::Array(items) => {
            if depth > MAX_DEPTH {
                return Err(Problem::error("", line, format!("nested deeper than {MAX_DEPTH} levels"), "flatten it"));
            }
            Data::List(items.iter().map(|item| node(item, lines, depth + 1)).collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => return map(table, line, lines, depth),
    };
    Ok(Node { place: Place::Line(line), data })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn values_keep_their_meaning_and_their_line() {
        let text = "a = 1\nb = [1.5,\n 'x']\nd = 0x1F\n[server]\nport = 1_031\n[[exporters]]\nkind = \"log\"\n[[exporters]]\nkind = \"file\"\nat = 2020-01-01\n[exporters.meta]\nx = true\n";
        let root = parse(text).unwrap();
        let json = serde_json::json!({
            "a": 1, "b": [1.5, "x"], "d": 31, "server": {"port": 1031},
            "exporters": [{"kind": "log"}, {"kind": "file", "at": "2020-01-01", "meta": {"x": true}}],
        });
        assert_eq!(root.to_json(), json);
        for (path, line) in [("b[1]", 3), ("server.port", 6), ("exporters[0].kind", 8), ("exporters[1]", 9), ("exporters[1].meta.x", 13)] {
            assert_eq!(root.place_at(path), Some(&Place::Line(line)), "{path}");
        }
    }

    #[test]
    fn what_is_not_toml_is_refused_with_its_line() {
        let deep = format!("a = {}{}", "[".repeat(70), "]".repeat(70));
        let cases = [
            ("a = 1\nb =\n", 2, "not valid TOML"),
            ("a = 1\na = 2\n", 2, "not valid TOML"),
            ("[server\nport = 1\n", 1, "not valid TOML"),
            ("a = 99999999999999999999\n", 1, "beyond 64 bits"),
            (deep.as_str(), 1, "nested deeper than 64"),
        ];
        for (text, line, message) in cases {
            let problem = parse(text).err().unwrap_or_else(|| panic!("{text:.40} was taken"));
            assert!(problem.message.contains(message), "{problem}");
            assert_eq!(problem.place.line(), line, "{problem}");
        }
        assert!(parse("").unwrap().entries().is_empty());
    }
}
