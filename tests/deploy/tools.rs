//! The tools that look at what ships: installed once by scripts/deploy-tools.sh, pinned there.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use flagpost_tests::Finished;
use serde_json::Value;

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A file of the repository.
pub(crate) fn read(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A tool, installed now if it is missing.
pub(crate) fn tool(name: &str) -> PathBuf {
    static TOOLS: OnceLock<PathBuf> = OnceLock::new();
    let tools = TOOLS.get_or_init(|| {
        // This program is <target>/debug/deps/deploy-….
        let target = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned();
        let tools = target.join("tools");
        let installed = run(Command::new(root().join("scripts/deploy-tools.sh")).arg(&tools));
        assert!(installed.status.success(), "scripts/deploy-tools.sh:\n{}", installed.text);
        tools
    });
    tools.join(name)
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Finished {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    Finished { status: output.status, text }
}

/// Runs a command that must succeed; what it printed on standard output.
pub(crate) fn out(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} ({}):\n{}\n{error}", output.status, String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).unwrap()
}

/// The documents of a YAML text.
pub(crate) fn yaml(text: &str) -> Vec<Value> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("text.yaml");
    std::fs::write(&file, text).unwrap();
    let script = "import json, sys, yaml; print(json.dumps([d for d in yaml.safe_load_all(open(sys.argv[1])) if d is not None]))";
    let json = out(Command::new(tool("python/bin/python")).args(["-c", script]).arg(&file));
    serde_json::from_str(&json).unwrap()
}
