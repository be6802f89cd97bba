//! Real servers as the destinations of end-to-end tests.
//!
//! `scripts/servers.sh` installs them, pinned, below cargo's target directory. A test asks for one by a function (`kafka::shared()`); it is
//! started when it is first asked for, on free ports of the loopback interface, and serves all tests of the run: topics, buckets and the
//! like have names of their own ([`unique`]). A test that kills or stops a server has one of its own. Servers end with the test program,
//! however that ends (`process.rs`).
//!
//! A server that somebody runs already is used instead when `FLAGPOST_TEST_<NAME>_URL` names it. One that is not installed skips
//! the test, aloud; with `CI=true` it fails it, unless `tests/ALLOWED_SKIPS` has a line `<name>: <reason>`.

pub mod azurite;
pub mod bigquery;
pub mod boto;
pub mod bucket;
pub mod clickhouse;
pub mod elasticmq;
pub mod gcs;
pub mod jaeger;
pub mod kafka;
pub mod kafka_tool;
pub mod moto;
pub mod opensearch;
mod process;
pub mod pubsub;
pub mod redis;
pub mod registry;
pub mod seaweedfs;
mod toxiproxy;
pub mod victorialogs;

pub use process::{Process, Running};
pub use toxiproxy::{Fault, Toxiproxy, line_faults};

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Where `scripts/servers.sh` installs: `tools` in cargo's target directory, where this test program is, too.
pub fn tools() -> &'static Path {
    static TOOLS: OnceLock<PathBuf> = OnceLock::new();
    TOOLS.get_or_init(|| {
        let program = std::env::current_exe().unwrap();
        // target/debug/deps/e2e-0123
        program.ancestors().nth(3).unwrap().join("tools")
    })
}

/// The directory of an installed server. `None`: it is not installed, and the test may be skipped.
pub fn installed(name: &str) -> Option<PathBuf> {
    let directory = tools().join(name);
    if directory.join(".installed").exists() {
        return Some(directory);
    }
    skipped(name, &format!("{} is missing: run scripts/servers.sh", directory.display()));
    None
}

/// A server that stands ready elsewhere: `FLAGPOST_TEST_<NAME>_URL`.
pub fn given(name: &str) -> Option<String> {
    std::env::var(format!("FLAGPOST_TEST_{}_URL", name.to_uppercase())).ok().filter(|url| !url.is_empty())
}

/// Says that a test is skipped, or fails it where nothing may be skipped.
fn skipped(name: &str, why: &str) {
    let allowed = include_str!("../../ALLOWED_SKIPS");
    let allowed =
        allowed.lines().any(|line| line.split_once(':').is_some_and(|(known, reason)| known == name && !reason.trim().is_empty()));
    let strict = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(allowed || !strict, "{name} is needed and not there: {why}");
    #[expect(clippy::print_stderr, reason = "a skip is never silent")]
    {
        eprintln!("SKIPPED for want of {name}: {why}");
    }
}

/// A name that nothing else has, on servers that outlive the run, too.
pub fn unique(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let seconds = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    format!("{what}-{seconds:x}-{:x}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}
