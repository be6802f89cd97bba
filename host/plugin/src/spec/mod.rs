//! What the configuration says about one plugin, and what is wrong with it.

mod grants;

pub use grants::{PluginGrants, PluginHttp, PluginSecret, SecretUse, StateQuota};

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use flagpost_event::{EventKind, StreamName};
use ipnet::IpNet;

use crate::distribution::PluginImage;
use crate::engine::TICK;
use crate::places::Places;
use crate::policy::HostRule;
use crate::redact::Hidden;
use crate::text::{bytes, cut};

/// One custom exporter as configured: upstream has no such thing, the keys are ours.
///
/// Its `Debug` form shows no value of `config` and `env`: they may be secrets.
#[derive(Clone, PartialEq)]
pub struct PluginSpec {
    /// The exporter's name; labels its log lines and errors.
    pub name: String,
    /// The flag set whose events it gets.
    pub flag_set: String,
    /// The kinds of events it gets: `eventType`.
    pub events: Vec<EventKind>,
    /// The component's file; of an image its reference, as it was written.
    pub path: PathBuf,
    /// The component comes out of a registry, and not from a file.
    pub image: Option<PluginImage>,
    /// `config:` as the guest reads it through the interface `config`: a JSON object, or null for none.
    pub config: serde_json::Value,
    /// Where the values of `config` stand, for complaints about them.
    pub places: Places,
    /// Values that came from elsewhere (`${NAME}`) and may be secrets: not shown, wherever a guest prints or returns them.
    pub hidden: Hidden,
    /// Environment variables the guest sees. Nothing of the host's environment is inherited.
    pub env: BTreeMap<String, String>,
    /// Secrets by name: the guest finds them, or placeholders, under the name in its environment and through `secrets`.
    pub secrets: BTreeMap<String, PluginSecret>,
    /// Outbound HTTP granted: `[METHOD[,METHOD] ]scheme://host[:port]`. Empty: none.
    pub allowed_hosts: Vec<String>,
    /// Networks that names may resolve into although they are private.
    pub allowed_networks: Vec<IpNet>,
    /// TCP connections granted: `tcp://host:port`. Empty: none.
    pub allowed_sockets: Vec<String>,
    /// How its requests are made.
    pub http: PluginHttp,
    /// Directories it may read: its path, the host's.
    pub files: BTreeMap<String, PathBuf>,
    /// State it may keep. `None`: none.
    pub state: Option<StateQuota>,
    /// What one instance may use.
    pub limits: PluginLimits,
    /// Hex SHA-256 the file must have.
    pub sha256: Option<String>,
    /// Most events per call. `None`: 1000 for bulk guests, 1 for streaming ones.
    pub max_events_per_call: Option<usize>,
}

impl fmt::Debug for PluginSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.config.as_object().map(|config| config.keys().collect()).unwrap_or_default();
        f.debug_struct("PluginSpec")
            .field("name", &self.name)
            .field("path", &self.path)
            .field("image", &self.image)
            .field("config", &keys)
            .field("env", &self.env.keys().collect::<Vec<_>>())
            .field("grants", &PluginGrants::of(self))
            .field("limits", &self.limits)
            .field("sha256", &self.sha256)
            .field("max_events_per_call", &self.max_events_per_call)
            .finish()
    }
}

impl PluginSpec {
    /// A plugin at `path` with the defaults of every other key.
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        PluginSpec {
            name: name.into(),
            flag_set: "default".to_owned(),
            events: EventKind::ALL.to_vec(),
            path: path.into(),
            image: None,
            config: serde_json::Value::Null,
            places: Places::default(),
            hidden: Hidden::default(),
            env: BTreeMap::new(),
            secrets: BTreeMap::new(),
            allowed_hosts: Vec::new(),
            allowed_networks: Vec::new(),
            allowed_sockets: Vec::new(),
            http: PluginHttp::default(),
            files: BTreeMap::new(),
            state: None,
            limits: PluginLimits::default(),
            sha256: None,
            max_events_per_call: None,
        }
    }

    /// Everything wrong in the configuration of this plugin alone; needs no host and reads no file. `flagpost validate` prints it.
    pub fn problems(&self) -> Vec<SpecProblem> {
        let mut problems = Vec::new();
        let mut problem = |key: String, message: String| problems.push(SpecProblem { key, message });
        for (at, text) in self.allowed_hosts.iter().enumerate() {
            if let Err(why) = text.parse::<HostRule>() {
                problem(format!("allowedHosts[{at}]"), why.to_string());
            }
        }
        for name in self.env.keys() {
            if name.is_empty() || name.contains(['=', '\0']) {
                problem("env".to_owned(), format!("`{}` is no name of an environment variable", name.escape_default()));
            }
        }
        if !(self.config.is_object() || self.config.is_null()) {
            problem("config".to_owned(), "expected a map: plugins get it as a JSON object".to_owned());
        }
        if let Some(text) = &self.sha256
            && parse_sha256(text).is_none()
        {
            problem("sha256".to_owned(), format!("`{}` is not 64 hex digits, as `sha256sum` prints them", cut(text, 80)));
        }
        if let Some(access) = self.image.as_ref().map(|image| &image.access)
            && access.username.is_some() != access.password.is_some()
        {
            problem("registry".to_owned(), "one of `username` and `password` alone asks for nothing; give both, or none".to_owned());
        }
        if self.max_events_per_call == Some(0) {
            problem("maxEventsPerCall".to_owned(), "0 events per call deliver nothing; expected 1 or more".to_owned());
        }
        for (key, message) in grants::problems(self) {
            problem(key, message);
        }
        for (key, message) in self.limits.problems() {
            problem(format!("limits.{key}"), message);
        }
        problems
    }

    /// What all instances may use together, in bytes.
    pub fn memory(&self) -> u64 {
        self.limits.memory.saturating_mul(self.limits.instances as u64)
    }

    /// The streams it reads.
    pub(crate) fn streams(&self) -> Vec<StreamName> {
        self.events.iter().map(|kind| StreamName::new(self.flag_set.as_str(), *kind)).collect()
    }

    /// The pinned digest in the form that digests are compared in.
    pub(crate) fn pin(&self) -> Option<String> {
        self.sha256.as_deref().and_then(parse_sha256)
    }
}

/// 64 hex digits in lower case; a `sha256:` before them is how registries write it.
fn parse_sha256(text: &str) -> Option<String> {
    let digits = text.trim().strip_prefix("sha256:").unwrap_or(text.trim());
    (digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| digits.to_ascii_lowercase())
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

/// Smallest and largest sensible memory of an instance: a guest starts with 1 MiB of stack; 32-bit memories end at 4 GiB.
const MEMORY: std::ops::RangeInclusive<u64> = 1 << 20..=4 << 30;

/// An hour: longer calls are jobs, not exports.
const LONGEST: Duration = Duration::from_secs(3600);

/// Instances of one plugin. Each has memory of its own.
const MOST_INSTANCES: usize = 64;

impl PluginLimits {
    fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if !MEMORY.contains(&self.memory) {
            let (least, most) = (bytes(*MEMORY.start()), bytes(*MEMORY.end()));
            problems.push(("memory", format!("{} is not between {least} and {most}", bytes(self.memory))));
        }
        for (key, value, least) in [("timeout", self.timeout, Duration::from_millis(1)), ("cpu", self.cpu, TICK)] {
            if value < least || value > LONGEST {
                problems.push((key, format!("{value:?} is not between {least:?} and {LONGEST:?}")));
            }
        }
        if !(1..=MOST_INSTANCES).contains(&self.instances) {
            problems.push(("instances", format!("{} is not between 1 and {MOST_INSTANCES}", self.instances)));
        }
        problems
    }
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
#[error("exporter `{name}`: {}", listed(problems))]
pub struct SpecError {
    /// The exporter's name.
    pub name: String,
    /// Every problem there is.
    pub problems: Vec<SpecProblem>,
}

fn listed(problems: &[SpecProblem]) -> String {
    problems.iter().map(|problem| format!("{}: {}", problem.key, problem.message)).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_debug_form_shows_no_value_of_config_and_env() {
        let mut spec = PluginSpec::new("acme", "acme.wasm");
        spec.config = serde_json::json!({ "key": "secret-1" });
        spec.env.insert("ACME_KEY".to_owned(), "secret-2".to_owned());
        let value = flagpost_exporter::Secret::new("secret-3");
        spec.secrets.insert("ACME_PASS".to_owned(), PluginSecret { value, hosts: Vec::new(), exposure: SecretUse::Reveal });
        let text = format!("{spec:?}");
        assert!(text.contains("ACME_KEY") && !text.contains("secret-"), "{text}");
    }
}
