//! The configuration's reader: any text in any format, with any variables, is a configuration or a list of problems.
//!
//! The first byte chooses the format. What stands before a line of `---env---` is the file, what follows is an environment: `NAME=value`
//! lines.
#![no_main]

use std::path::Path;

use flagpost::config::{Environment, Format, Severity, Sources, from_text};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
    let mut characters = input.chars();
    let format = match characters.next() {
        Some('t') => Format::Toml,
        Some('j') => Format::Json,
        _ => Format::Yaml,
    };
    let (text, variables) = characters.as_str().split_once("\n---env---\n").unwrap_or((characters.as_str(), "A=value"));
    let env: Environment = variables.lines().filter_map(|line| line.split_once('=')).collect();
    if let Err(problems) = from_text(text, format, Path::new("."), &Sources { env, ..Sources::system() }) {
        assert!(problems.iter().any(|problem| problem.severity == Severity::Error));
    }
});
