//! What a plugin may be granted beside hosts and environment: secrets, HTTP settings, directories, sockets, state. Nothing by default.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flagpost_exporter::Secret;
use serde::Serialize;

use super::PluginSpec;
use crate::policy::{HostRule, SocketRule};
use crate::text::cut;

/// How a secret is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretUse {
    /// The guest has a placeholder; the host puts the secret in its place, in header values to granted hosts.
    Header,
    /// The host itself sets `Authorization: Basic …` for granted hosts; the secret is `user:password`. The guest has nothing.
    Basic,
    /// The guest sees the secret.
    Reveal,
}

/// One secret of a plugin. Its `Debug` form does not show it.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginSecret {
    /// The secret.
    pub value: Secret,
    /// Where it may be sent, in the grammar of `allowedHosts`.
    pub hosts: Vec<String>,
    /// How it is used.
    pub exposure: SecretUse,
}

/// How a plugin's HTTP requests are made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PluginHttp {
    /// A proxy's URL, or `env` for what `HTTPS_PROXY` and its like say. `None`: no proxy, whatever the environment says.
    pub proxy: Option<Secret>,
    /// Redirects followed by `http.send`, each checked like a request of its own. 0: none.
    pub redirects: u32,
    /// Certificates in PEM that are trusted beside the system's.
    pub ca: Option<PathBuf>,
    /// The client's certificate in PEM, with those between it and its root.
    pub cert: Option<PathBuf>,
    /// Its key in PEM.
    pub key: Option<PathBuf>,
}

/// How much a plugin may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StateQuota {
    /// Bytes of all keys and values together.
    pub max_bytes: u64,
    /// Keys.
    pub max_keys: u64,
}

/// Redirects that can be asked for: browsers follow 20.
const MOST_REDIRECTS: u32 = 20;

/// State that can be granted: it is for cursors and tokens, not a database.
const MOST_STATE: u64 = 1 << 30;

/// Everything granted to a plugin, by name: for health routes and lists. Holds no secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginGrants {
    /// `allowedHosts`.
    pub hosts: Vec<String>,
    /// `allowedNetworks`.
    pub networks: Vec<String>,
    /// `allowedSockets`.
    pub sockets: Vec<String>,
    /// Names in `env`.
    pub env: Vec<String>,
    /// Names in `secrets`, and how each is used: `reveal` means that the plugin sees it.
    pub secrets: BTreeMap<String, SecretUse>,
    /// `files`: the guest's path, the directory.
    pub files: BTreeMap<String, PathBuf>,
    /// `state`.
    pub state: Option<StateQuota>,
}

impl PluginGrants {
    pub(crate) fn of(spec: &PluginSpec) -> Self {
        PluginGrants {
            hosts: spec.allowed_hosts.clone(),
            networks: spec.allowed_networks.iter().map(ToString::to_string).collect(),
            sockets: spec.allowed_sockets.clone(),
            env: spec.env.keys().cloned().collect(),
            secrets: spec.secrets.iter().map(|(name, secret)| (name.clone(), secret.exposure)).collect(),
            files: spec.files.clone(),
            state: spec.state,
        }
    }
}

/// What is wrong with the grants: key and message.
pub(super) fn problems(spec: &PluginSpec) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    let mut problem = |key: String, message: String| problems.push((key, message));
    for (name, secret) in &spec.secrets {
        if name.is_empty() || name.contains(['=', '\0', '.', '[']) {
            problem("secrets".to_owned(), format!("`{}` is no name of a secret; use letters, digits and `_`", name.escape_default()));
        }
        if spec.env.contains_key(name) {
            problem(format!("secrets.{name}"), "stands in `env`, too; remove it there".to_owned());
        }
        for (at, host) in secret.hosts.iter().enumerate() {
            if let Err(why) = host.parse::<HostRule>() {
                problem(format!("secrets.{name}.hosts[{at}]"), why.to_string());
            }
        }
        if secret.hosts.is_empty() && secret.exposure != SecretUse::Reveal {
            let message = "goes nowhere; add the hosts that may get it, for example hosts: [ \"https://in.acme.dev\" ]";
            problem(format!("secrets.{name}.hosts"), message.to_owned());
        }
        if secret.value.reveal().is_empty() {
            problem(format!("secrets.{name}"), "is empty; set the variable or the file that it comes from".to_owned());
        }
        if secret.exposure == SecretUse::Basic && !secret.value.reveal().contains(':') {
            problem(format!("secrets.{name}"), "has no `:`; with `as: basic` it is `user:password`".to_owned());
        }
    }
    for (at, text) in spec.allowed_sockets.iter().enumerate() {
        if let Err(why) = text.parse::<SocketRule>() {
            problem(format!("allowedSockets[{at}]"), why);
        }
    }
    for guest in spec.files.keys() {
        if !guest.starts_with('/') || Path::new(guest).components().any(|part| part == std::path::Component::ParentDir) {
            problem("files".to_owned(), format!("`{}` is no absolute path in the plugin; expected \"/data\"", cut(guest, 80)));
        }
    }
    if let Some(quota) = spec.state {
        if !(1..=MOST_STATE).contains(&quota.max_bytes) {
            problem("state.maxBytes".to_owned(), format!("{} is not between 1 byte and 1 GiB", crate::text::bytes(quota.max_bytes)));
        }
        if quota.max_keys == 0 {
            problem("state.maxKeys".to_owned(), "0 keys keep nothing; expected 1 or more".to_owned());
        }
    }
    let http = &spec.http;
    if http.redirects > MOST_REDIRECTS {
        problem("http.redirects".to_owned(), format!("{} is more than {MOST_REDIRECTS}", http.redirects));
    }
    if http.cert.is_some() != http.key.is_some() {
        let (there, missing) = if http.cert.is_some() { ("cert", "key") } else { ("key", "cert") };
        problem(format!("http.tls.{there}"), format!("has no `{missing}` beside it; a client certificate is both"));
    }
    if let Some(proxy) = http.proxy.as_ref().map(Secret::reveal)
        && proxy != "env"
        && !url::Url::parse(proxy).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
    {
        problem("http.proxy".to_owned(), "is no URL of a proxy; expected `http://proxy:3128`, or `env` for the environment's".to_owned());
    }
    problems
}
