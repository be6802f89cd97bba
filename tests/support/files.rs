//! What the `file` exporter wrote.

use std::fs;
use std::path::{Path, PathBuf};

/// The finished files of a directory in the order of their names, which is the order of their batches. Other files (under way) are not
/// named `*.json`.
pub fn json_files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    let finished = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.ends_with(".json") && !name.starts_with('.')
    };
    let mut files: Vec<_> = paths.filter(finished).collect();
    files.sort();
    files
}

/// All lines of the finished files.
pub fn lines_in(directory: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for file in json_files(directory) {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "{} ends in the middle of a line", file.display());
        lines.extend(text.lines().map(str::to_owned));
    }
    lines
}

/// Fails with the first line that differs.
pub fn assert_lines<S: AsRef<str>>(found: &[String], expected: &[S]) {
    let mut pairs = found.iter().zip(expected).enumerate();
    if let Some((at, (found, expected))) = pairs.find(|(_, (found, expected))| found.as_str() != expected.as_ref()) {
        panic!("line {} differs:\n   found {found}\nexpected {}", at + 1, expected.as_ref());
    }
    assert_eq!(found.len(), expected.len(), "lines");
}
