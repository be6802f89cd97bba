//! The program and the plugins under test, built once per run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The program: `FLAGPOST_BIN`, or what cargo builds now.
pub fn program_path() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| match std::env::var_os("FLAGPOST_BIN") {
        Some(path) => path.into(),
        None => {
            artifacts(Command::new(env!("CARGO")).current_dir(root()).args(["build", "-p", "flagpost", "--bin", "flagpost"]), "flagpost")
        }
    })
}

/// The example exporter in Rust.
pub fn example_plugin() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| plugin("examples/exporters/rust"))
}

/// A first-party plugin, by the name of its directory in `plugins/`. The first call builds all of them.
pub fn first_party(name: &str) -> &'static Path {
    static PATHS: OnceLock<BTreeMap<String, PathBuf>> = OnceLock::new();
    let paths = PATHS.get_or_init(|| {
        let files = all_artifacts(&mut guest("plugins"), ".wasm").into_iter();
        files.map(|file| (file.file_stem().unwrap().to_str().unwrap().to_owned(), file)).collect()
    });
    paths.get(name).unwrap_or_else(|| panic!("no plugin {name} in plugins/Cargo.toml, but {:?}", paths.keys()))
}

/// A plugin that does what the `do` of its configuration says, see `tests/guests/evil`.
pub fn evil_plugin() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| plugin("tests/guests/evil"))
}

/// A plugin that tries what the `do` of its configuration says and refuses its events with what came of it: the host's own probe.
pub fn probe_plugin() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| plugin("host/plugin/tests/guests/probe"))
}

/// A plugin that says its version, which is below 1,000, with each request (`x-version`): other bytes for each.
pub fn versioned_plugin(version: u64) -> Vec<u8> {
    const MARK: &[u8] = b"flagpost-test-version-000";
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    let bytes = BYTES.get_or_init(|| std::fs::read(plugin("tests/guests/versioned")).unwrap());
    let at = bytes.windows(MARK.len()).position(|window| window == MARK).expect("the mark is in the component");
    let mut bytes = bytes.clone();
    bytes[at + MARK.len() - 3..at + MARK.len()].copy_from_slice(format!("{version:03}").as_bytes());
    bytes
}

/// A plugin in Rust, built where `scripts/setup.sh` builds them: what they depend on is compiled once for all of them.
fn plugin(source: &str) -> PathBuf {
    artifacts(&mut guest(source), ".wasm")
}

/// The call that builds the guests of a directory.
fn guest(source: &str) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root().join(source)).args(["build", "--release", "--locked", "--target", "wasm32-wasip2", "--target-dir"]);
    cargo.arg(crate::servers::tools().with_file_name("guests"));
    cargo
}

/// Runs cargo and gives the artifact whose file name ends in `suffix`.
fn artifacts(cargo: &mut Command, suffix: &str) -> PathBuf {
    all_artifacts(cargo, suffix).pop().unwrap_or_else(|| panic!("cargo built nothing that ends in {suffix}"))
}

/// Runs cargo and gives all artifacts whose file names end in `suffix`.
fn all_artifacts(cargo: &mut Command, suffix: &str) -> Vec<PathBuf> {
    // What the outer cargo says of this test's package is no business of the inner one: ring's build script asks for it, and would be run again,
    // and everything that knows TLS be compiled again, by each of the two in turn.
    for (name, _) in std::env::vars_os() {
        let inherited = name.to_str().is_some_and(|name| {
            name == "OUT_DIR" || ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CFG_"].iter().any(|prefix| name.starts_with(prefix))
        });
        if inherited {
            cargo.env_remove(&name);
        }
    }
    let output = cargo.arg("--message-format=json-render-diagnostics").output().expect("cargo runs");
    assert!(output.status.success(), "cargo could not build it:\n{}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8(output.stdout).unwrap();
    let found = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let files = [&message["executable"], &message["filenames"][0]];
        files.iter().filter_map(|file| file.as_str()).find(|file| file.ends_with(suffix)).map(PathBuf::from)
    });
    found.collect()
}
