//! Which clients there are, how they are started, and what each of them reports.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

/// A client, and how it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Python 1.3.0: evaluates with GO Feature Flag's own engine.
    Python,
    /// The same through OFREP: whoever evaluates records the events.
    PythonRemote,
    /// Python 0.5.0: keeps what the relay evaluated, until a WebSocket says that something changed.
    PythonOld,
    /// JavaScript on a server, 0.7.0: keeps what the relay evaluated.
    JavaScript,
    /// The same, 0.5.14.
    JavaScriptOld,
    /// JavaScript on a page, 0.2.9, in Chromium: asks for all flags of its user at once, and listens on a WebSocket.
    Web,
    /// Java 0.4.3: keeps what the relay evaluated, and polls for changes.
    Java,
}

/// What a client tells the collector.
#[derive(Debug)]
pub(super) struct Reports {
    /// Every evaluation, not only those from its cache: what the relay evaluated for it, the relay knows.
    pub uncached: bool,
    /// Evaluations of flags that are not to be tracked.
    pub untracked: bool,
    /// Evaluations of flags that do not exist.
    pub missing: bool,
    /// The flag's version.
    pub version: bool,
    /// Tracking events.
    pub tracking: bool,
    /// `source`, as it comes out.
    pub source: &'static str,
    /// `metadata`, as it comes out, for the metadata of [`metadata`].
    pub metadata: Value,
    /// What its log says when it could not deliver.
    pub failure: &'static str,
}

/// The metadata that all clients are given.
pub(super) fn metadata() -> Value {
    json!({ "app": "shop <web>", "beta": true, "build": 7 })
}

/// The same with what clients add.
fn with(provider: &str) -> Value {
    let mut all = metadata();
    all["openfeature"] = json!(true);
    all["provider"] = json!(provider);
    all
}

impl Kind {
    /// What it reports.
    pub(super) fn reports(self) -> Reports {
        let cached = Reports {
            uncached: false,
            untracked: true,
            missing: true,
            version: false,
            tracking: false,
            source: "PROVIDER_CACHE",
            metadata: with("python"),
            failure: "impossible to contact GO Feature Flag relay proxy instance to collect the data",
        };
        match self {
            Kind::Python | Kind::PythonRemote => {
                Reports { uncached: true, untracked: false, version: true, source: "INPROCESS", failure: "re-queuing", ..cached }
            }
            Kind::PythonOld => cached,
            Kind::JavaScript | Kind::JavaScriptOld => Reports {
                missing: self == Kind::JavaScript,
                metadata: json!({ "provider": "open-feature-js-sdk" }),
                failure: "impossible to send the data to the collector",
                ..cached
            },
            Kind::Web => Reports {
                uncached: true,
                tracking: true,
                metadata: with("web"),
                failure: "impossible to send the data to the collector",
                ..cached
            },
            Kind::Java => Reports { metadata: with("java"), failure: "Error publishing events", ..cached },
        }
    }

    /// How the client's program is told to evaluate.
    pub(super) fn mode(self) -> &'static str {
        match self {
            Kind::Python => "in-process",
            Kind::PythonRemote => "remote",
            _ => "cached",
        }
    }

    /// Milliseconds between its deliveries.
    pub(super) fn flush(self) -> u64 {
        match self {
            // It forgets what is evaluated during a delivery: the only one is at its end.
            Kind::PythonOld => 3_600_000,
            _ => 100,
        }
    }

    /// The request that it evaluates with, and how the key comes with it.
    pub(super) fn evaluates_with(self) -> (&'static str, String) {
        let (bearer, header) = (format!("Authorization: Bearer {}", super::KEY), format!("X-API-Key: {}", super::KEY));
        match self {
            Kind::Python => ("POST /v1/flag/configuration", header),
            Kind::PythonRemote => ("POST /ofrep/v1/evaluate/flags/layout", header),
            Kind::Web => ("POST /v1/allflags", bearer),
            _ => ("POST /v1/feature/layout/eval", bearer),
        }
    }

    /// Something if it is installed; without it tests are left out, but not where `CI` is `true`.
    pub(super) fn installed(self) -> Option<()> {
        let needed = match self {
            Kind::Python | Kind::PythonRemote => vec![tools("venv/.installed")],
            Kind::PythonOld => vec![tools("venv/.installed"), tools("python-0.5.0/.installed")],
            Kind::JavaScript | Kind::JavaScriptOld => vec![tools("javascript/.installed")],
            Kind::Web => vec![tools("javascript/.installed"), chromium()],
            Kind::Java => vec![tools("java/.installed")],
        };
        let Some(missing) = needed.iter().find(|path| !path.exists()) else { return Some(()) };
        let advice = format!("{self:?}: {} is not there; scripts/clients.sh installs it", missing.display());
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{advice}");
        #[expect(clippy::print_stderr, reason = "a test that did not run says so")]
        {
            eprintln!("left out: {advice}");
        }
        None
    }

    /// Its program.
    pub(super) fn command(self) -> Command {
        let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
        let python = || {
            let mut command = Command::new(tools("venv/bin/python"));
            command.arg(programs.join("python/client.py"));
            command
        };
        let node = |arguments: &[&str]| {
            let mut command = Command::new("node");
            command.arg(programs.join("javascript").join(arguments[0])).args(&arguments[1..]);
            command.env("FLAGPOST_PACKAGES", tools("javascript")).env("FLAGPOST_CHROMIUM", chromium());
            command
        };
        match self {
            Kind::Python | Kind::PythonRemote => python(),
            Kind::PythonOld => {
                let mut command = python();
                command.env("PYTHONPATH", tools("python-0.5.0"));
                command
            }
            Kind::JavaScript => node(&["server.mjs", "@openfeature/go-feature-flag-provider", "@openfeature/server-sdk"]),
            Kind::JavaScriptOld => node(&["server.mjs", "go-feature-flag-provider-old", "@openfeature/js-sdk"]),
            Kind::Web => node(&["web.mjs"]),
            Kind::Java => {
                let mut command = Command::new("java");
                command.arg("-cp").arg(tools("java/*")).arg(programs.join("java/Client.java"));
                command
            }
        }
    }
}

/// What `scripts/clients.sh` installed.
fn tools(path: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("tools").join(path)
}

fn chromium() -> PathBuf {
    std::env::var_os("FLAGPOST_CHROMIUM").map_or_else(|| "/usr/bin/chromium".into(), PathBuf::from)
}
