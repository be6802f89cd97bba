//! Rust: cargo makes the component by itself.

use std::path::PathBuf;
use std::process::Command;

use super::tool::Tool;
use super::{BuildError, Job, read};
use crate::Language;

const TARGET: &str = "wasm32-wasip2";

const CARGO: Tool = Tool { what: "cargo", language: Language::Rust, install: "https://rustup.rs, then `rustup target add wasm32-wasip2`" };

pub(super) fn build(job: &Job<'_>) -> Result<Vec<u8>, BuildError> {
    let rustc = CARGO.run(job, Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]))?;
    if !PathBuf::from(String::from_utf8_lossy(&rustc.stdout).trim()).is_dir() {
        let install = "`rustup target add wasm32-wasip2`";
        return Err(BuildError::Missing { what: "Rust's target wasm32-wasip2", language: Language::Rust, install });
    }
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--target", TARGET, "--message-format", "json-render-diagnostics"]);
    let output = CARGO.run(job, &mut cargo)?;
    let messages = String::from_utf8_lossy(&output.stdout);
    let artefact = |line: &str| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let files = message["filenames"].as_array()?.iter().filter_map(|file| file.as_str()).map(str::to_owned);
        files.into_iter().find(|file| file.ends_with(".wasm"))
    };
    let path = messages.lines().filter_map(artefact).next_back().ok_or(BuildError::NoOutput {
        command: format!("cargo build --release --target {TARGET}"),
        what: "component",
        fix: "set `crate-type = [\"cdylib\"]` below `[lib]` in Cargo.toml",
    })?;
    read(path.as_ref())
}
