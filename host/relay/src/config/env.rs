//! `${NAME}` in values: replaced by the environment variable, in parsed text only, so that a variable can never change the structure.

use flagpost_settings::{Data, Node, Problems, Scalar, is_private};

/// Reads an environment variable; a parameter so that tests have their own.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Replaces `${NAME}` in every text below `node`; `$${` stands for a literal `${`. A variable that is not set is a problem.
pub(crate) fn substitute(node: &mut Node, path: &str, lookup: Lookup<'_>, problems: &mut Problems) {
    let place = node.place.clone();
    match &mut node.data {
        Data::Null => {}
        Data::Scalar(scalar) => {
            let mut failed = false;
            let text = expand(&scalar.text, lookup, |message, fix| {
                failed = true;
                problems.error(path, &place, message, fix);
            });
            if failed {
                // Nothing is left that a second complaint could be about.
                node.data = Data::Null;
            } else if let Some(text) = text {
                *scalar = Scalar { written: Some(std::mem::take(&mut scalar.text)), text, meaning: scalar.meaning };
            }
        }
        Data::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                substitute(item, &format!("{path}[{index}]"), lookup, problems);
            }
        }
        Data::Map(entries) => {
            for entry in entries.iter_mut().filter(|entry| !is_private(&entry.key)) {
                let key = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
                substitute(&mut entry.value, &key, lookup, problems);
            }
        }
    }
}

/// The text with its variables; `None` when it has none.
fn expand(text: &str, lookup: Lookup<'_>, mut fail: impl FnMut(String, &'static str)) -> Option<String> {
    if !text.contains("${") {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        if rest[..start].ends_with('$') {
            out.push_str(&rest[..start]);
            out.push('{');
            rest = &rest[start + 2..];
            continue;
        }
        out.push_str(&rest[..start]);
        let Some(end) = rest[start..].find('}') else {
            fail("`${` without its `}`".to_owned(), "close it, or write `$${` for the two characters themselves");
            return None;
        };
        let name = &rest[start + 2..start + end];
        let well_formed =
            name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !well_formed {
            fail(format!("`${{{name}}}` does not name an environment variable"), "write `$${` for the two characters themselves");
        } else if let Some(value) = lookup(name) {
            out.push_str(&value);
        } else {
            fail(format!("the environment variable `{name}` is not set"), "set it, or write the value here");
        }
        rest = &rest[start + end + 1..];
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_in_text_only() {
        let lookup = |name: &str| (name == "A").then(|| "x: y".to_owned());
        let cases = [
            ("plain", None, 0),
            ("${A}", Some("x: y"), 0),
            ("a ${A}-${A}", Some("a x: y-x: y"), 0),
            ("$${A}", Some("${A}"), 0),
            ("${B}", Some(""), 1),
            ("${A", None, 1),
            ("${}", Some(""), 1),
            ("${a b}", Some(""), 1),
            ("$A {A}", None, 0),
        ];
        for (text, expected, failures) in cases {
            let mut failed = 0;
            let found = expand(text, &lookup, |_, _| failed += 1);
            assert_eq!((found.as_deref(), failed), (expected, failures), "{text}");
        }
    }
}
