//! Names of keys: which one is meant, and what is said about one that nobody knows.

use crate::node::{Place, same_key};
use crate::problem::Problem;

/// Keys under `x-` are the operator's own, for anchors and notes.
pub fn is_private(key: &str) -> bool {
    key.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("x-"))
}

/// The known name that `key` spells, in any case; the exact one first.
pub fn find<'k>(known: &[&'k str], key: &str) -> Option<&'k str> {
    known.iter().find(|name| **name == key).or_else(|| known.iter().find(|name| same_key(name, key))).copied()
}

/// The complaint about a key that nobody knows. In the file it is an error; an environment is shared with others.
pub fn unknown(path: &str, key: &str, place: &Place, known: &[&str]) -> Problem {
    let fix = match did_you_mean(key, known) {
        fix if fix.is_empty() => format!("known here: {}", list(known)),
        fix => fix,
    };
    match place {
        Place::Variable(_) => Problem::warning(path, place, "unknown key: the variable is not used", fix),
        Place::Nowhere | Place::Line(_) => Problem::error(path, place, "unknown key", fix),
    }
}

/// `did you mean …?` when a known name is near; else nothing.
pub fn did_you_mean(text: &str, known: &[&str]) -> String {
    let lower = text.to_ascii_lowercase();
    let near = known.iter().map(|name| (strsim::damerau_levenshtein(&name.to_ascii_lowercase(), &lower), *name)).min();
    match near {
        Some((distance, name)) if distance <= 1 + name.len().max(text.len()) / 4 => format!("did you mean `{name}`?"),
        _ => String::new(),
    }
}

/// `` `a`, `b`, `c` ``.
pub fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_known_key_is_named_only_when_it_is_near() {
        let known = ["flushInterval", "maxEventInMemory", "name"];
        let cases = [
            ("flushInterva", "did you mean `flushInterval`?"),
            ("flush_interval", "did you mean `flushInterval`?"),
            ("maxEventsInMemory", "did you mean `maxEventInMemory`?"),
            ("nmae", "did you mean `name`?"),
            ("bucket", ""),
        ];
        for (key, expected) in cases {
            assert_eq!(did_you_mean(key, &known), expected, "{key}");
        }
    }
}
