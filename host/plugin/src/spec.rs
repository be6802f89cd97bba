//! What the configuration says about one plugin, and what is wrong with it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

/// One custom exporter as configured: upstream has no such thing, the keys are ours.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginSpec {
    /// The exporter's name; labels its log lines and errors.
    pub name: String,
    /// The component's file.
    pub path: PathBuf,
    /// `config:` as the guest reads it through the interface `config`: a JSON object, or null for none.
    pub config: serde_json::Value,
    /// Environment variables the guest sees. Nothing of the host's environment is inherited.
    pub env: BTreeMap<String, String>,
    /// Outbound HTTP granted: `[METHOD[,METHOD] ]scheme://host[:port]`. Empty: none.
    pub allowed_hosts: Vec<String>,
    /// Networks that names may resolve into although they are private.
    pub allowed_networks: Vec<IpNet>,
    /// What one instance may use.
    pub limits: PluginLimits,
    /// Hex SHA-256 the file must have.
    pub sha256: Option<String>,
    /// Most events per call. `None`: 1000 for bulk guests, 1 for streaming ones.
    pub max_events_per_call: Option<usize>,
}

impl PluginSpec {
    /// A plugin at `path` with the defaults of every other key.
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        PluginSpec {
            name: name.into(),
            path: path.into(),
            config: serde_json::Value::Null,
            env: BTreeMap::new(),
            allowed_hosts: Vec::new(),
            allowed_networks: Vec::new(),
            limits: PluginLimits::default(),
            sha256: None,
            max_events_per_call: None,
        }
    }

    /// Everything wrong in the configuration of this plugin alone; needs no host and reads no file. `flagpost validate` prints it.
    pub fn problems(&self) -> Vec<SpecProblem> {
        Vec::new()
    }
}

/// What one plugin may use. A limit hit is a clear error and a counter, never a crash of the relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginLimits {
    /// Linear memory of one instance, in bytes.
    pub memory: u64,
    /// Wall time of one call, waiting for HTTP included.
    pub timeout: Duration,
    /// Time that guest code itself runs in one call, in steps of 10 ms.
    pub cpu: Duration,
    /// Instances kept warm.
    pub instances: usize,
}

impl Default for PluginLimits {
    fn default() -> Self {
        PluginLimits { memory: 128 << 20, timeout: Duration::from_secs(10), cpu: Duration::from_secs(2), instances: 1 }
    }
}

/// One wrong value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecProblem {
    /// The key below the exporter: `allowedHosts[0]`, `limits.memory`.
    pub key: String,
    /// What is wrong and what to write instead.
    pub message: String,
}

/// The configuration of a plugin is wrong; nothing was loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("exporter `{name}`: {}", problems.iter().map(|problem| format!("{}: {}", problem.key, problem.message)).collect::<Vec<_>>().join("; "))]
pub struct SpecError {
    /// The exporter's name.
    pub name: String,
    /// Every problem there is.
    pub problems: Vec<SpecProblem>,
}
