//! The file's format, by its name as upstream decides it: `.toml`, `.json`, else YAML.

use std::path::Path;

use flagpost_settings::{Node, Problem};

use super::{json, toml, yaml};

/// How a configuration is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// YAML 1.2, with merge keys.
    Yaml,
    /// TOML 1.0.
    Toml,
    /// JSON.
    Json,
}

/// Largest file in bytes.
const MAX_BYTES: usize = 4 << 20;
/// Deepest nesting; upstream's keys need six.
pub(super) const MAX_DEPTH: usize = 64;

impl Format {
    /// The format of a file with this name.
    pub fn of(path: &Path) -> Format {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("toml") => Format::Toml,
            Some("json") => Format::Json,
            _ => Format::Yaml,
        }
    }

    /// The text as a tree; an empty file is `null`.
    pub(super) fn parse(self, text: &str) -> Result<Node, Problem> {
        if text.len() > MAX_BYTES {
            return Err(Problem::error("", 0, format!("the file has {} bytes, more than {MAX_BYTES}", text.len()), "split or shorten it"));
        }
        match self {
            Format::Yaml => yaml::parse(text),
            Format::Toml => toml::parse(text),
            Format::Json => json::parse(text),
        }
    }
}

/// Lines of byte offsets.
pub(super) struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    pub(super) fn of(text: &str) -> Lines {
        Lines { starts: std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect() }
    }

    /// The line, from 1, that the byte stands on.
    pub(super) fn at(&self, offset: usize) -> u32 {
        u32::try_from(self.starts.partition_point(|start| *start <= offset)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_decides_as_upstreams() {
        let table = [
            ("a.yaml", Format::Yaml),
            ("a.yml", Format::Yaml),
            ("a.toml", Format::Toml),
            ("b/a.json", Format::Json),
            ("a", Format::Yaml),
            ("a.conf", Format::Yaml),
            ("toml", Format::Yaml),
        ];
        for (name, format) in table {
            assert_eq!(Format::of(Path::new(name)), format, "{name}");
        }
    }

    #[test]
    fn offsets_have_lines() {
        let lines = Lines::of("ab\nc\n\nd");
        let found: Vec<u32> = (0..8).map(|offset| lines.at(offset)).collect();
        assert_eq!(found, [1, 1, 1, 2, 2, 3, 4, 4]);
    }
}
