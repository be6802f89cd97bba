//! Where the values of a plugin's configuration stand, so that a complaint about one leads to its line.

use std::collections::BTreeMap;

use serde::Serialize;

/// `endpoint`, `retry.max`, `hosts[2]` below `config:`, and where each stands: `line 12`.
///
/// Equal to any other: where a value stands is no part of what is configured, so a file that was only moved about configures the same.
#[derive(Clone, Debug, Default)]
pub struct Places(BTreeMap<String, String>);

impl PartialEq for Places {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Places {
    /// Notes where the value at `path` stands; the empty path is `config:` itself.
    pub fn note(&mut self, path: impl Into<String>, place: impl Into<String>) {
        self.0.insert(path.into(), place.into());
    }

    /// The place of `path`, or of the nearest thing above it that has one.
    pub fn find(&self, path: &str) -> Option<&str> {
        let mut path = path;
        loop {
            if let Some(place) = self.0.get(path) {
                return Some(place);
            }
            if path.is_empty() {
                return None;
            }
            path = path.rfind(['.', '[']).map_or("", |at| &path[..at]);
        }
    }
}

/// Something wrong with a plugin's `config:`, found by its schema or by the plugin itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginDiagnostic {
    /// `config.endpoint`, `config.hosts[2]`.
    pub path: String,
    /// Where it stands: `line 12`. `None`: nowhere that is known.
    pub place: Option<String>,
    /// What is wrong. Holds no value of the configuration.
    pub message: String,
}

impl std::fmt::Display for PluginDiagnostic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}: {}", self.path, self.message),
            None => write!(f, "{}: {}", self.path, self.message),
        }
    }
}

impl PluginDiagnostic {
    /// A complaint about the value at `path` below `config:`.
    pub(crate) fn at(path: &str, message: String, places: &Places) -> Self {
        let whole = match path {
            "" => "config".to_owned(),
            path if path.starts_with('[') => format!("config{path}"),
            path => format!("config.{path}"),
        };
        PluginDiagnostic { path: whole, place: places.find(path).map(str::to_owned), message }
    }
}

/// `/hosts/2/name` as `hosts[2].name`; anything else as it is, without a `config.` before it.
pub(crate) fn dotted(path: &str) -> String {
    let Some(pointer) = path.strip_prefix('/') else {
        return path.strip_prefix("config.").unwrap_or(path).to_owned();
    };
    let mut out = String::new();
    for part in pointer.split('/') {
        if !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) {
            out.push_str(&format!("[{part}]"));
        } else {
            if !out.is_empty() {
                out.push('.');
            }
            out.push_str(&part.replace("~1", "/").replace("~0", "~"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_leads_to_the_nearest_thing_that_stands_in_the_file() {
        let mut places = Places::default();
        for (path, place) in [("", "line 3"), ("hosts", "line 4"), ("hosts[1]", "line 6"), ("a.b", "line 9")] {
            places.note(path, place);
        }
        let table = [("hosts[1].name", "line 6"), ("hosts[7]", "line 4"), ("a.b", "line 9"), ("a.c", "line 3"), ("", "line 3")];
        for (path, place) in table {
            assert_eq!(places.find(path), Some(place), "{path}");
        }
        assert_eq!(Places::default().find("a"), None);
        assert_eq!(places, Places::default(), "where it stands is no difference");
        let shown = PluginDiagnostic::at("hosts[1]", "is wrong".to_owned(), &places).to_string();
        assert_eq!(shown, "line 6: config.hosts[1]: is wrong");
    }

    #[test]
    fn pointers_and_paths_are_read_alike() {
        for (path, expected) in [("/hosts/2/na~1me", "hosts[2].na/me"), ("config.a.b", "a.b"), ("a[1]", "a[1]"), ("", ""), ("/", "")] {
            assert_eq!(dotted(path), expected, "{path}");
        }
    }
}
