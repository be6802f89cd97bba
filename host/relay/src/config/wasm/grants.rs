//! What a plugin is granted beside hosts and environment: the keys `secrets`, `http`, `state`.

use std::collections::BTreeMap;
use std::path::Path;

use flagpost_plugin::{PluginHttp, PluginSecret, SecretUse};
use flagpost_settings::{Node, Place, Problems, Secret, Size, join};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::exporters::Surroundings;

/// One secret.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct SecretKeys {
    /// The variable of the relay's environment that holds it.
    env: Option<String>,
    /// The file that holds it, relative to the configuration file. A line feed at its end does not belong to it.
    file: Option<String>,
    /// Where it may be sent, as in `allowedHosts`.
    hosts: Vec<String>,
    /// `header`: the plugin has a placeholder, which the relay replaces in header values to these hosts. `basic`: the relay itself sets
    /// `Authorization` for them, from `user:password`. `reveal`: the plugin sees the secret.
    #[serde(rename = "as")]
    exposure: As,
}

/// How a secret is used.
#[derive(Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum As {
    #[default]
    Header,
    Basic,
    Reveal,
}

/// How HTTP requests are made.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct HttpKeys {
    /// A proxy's URL, or `env` for what the relay's `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say. The proxy resolves names,
    /// so its own rules decide which addresses they may lead to.
    proxy: Option<Secret>,
    /// Redirects followed, each one checked like a request of its own. With any, a request of `wasi:http` leaves when its body is complete.
    redirects: u32,
    /// Certificates.
    tls: TlsKeys,
}

/// Certificates in PEM, paths relative to the configuration file.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct TlsKeys {
    /// Authorities that are trusted beside the system's.
    ca: Option<String>,
    /// The client's certificate, and those between it and its root.
    cert: Option<String>,
    /// Its key.
    key: Option<String>,
}

impl HttpKeys {
    pub(crate) fn resolve(self, base: &Path) -> PluginHttp {
        let file = |path: Option<String>| path.filter(|path| !path.is_empty()).map(|path| base.join(path));
        PluginHttp {
            proxy: self.proxy,
            redirects: self.redirects,
            ca: file(self.tls.ca),
            cert: file(self.tls.cert),
            key: file(self.tls.key),
        }
    }
}

/// How much state a plugin may keep.
#[derive(Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct StateKeys {
    /// All keys and values together.
    pub(crate) max_bytes: Size,
    /// Keys.
    pub(crate) max_keys: u64,
}

impl Default for StateKeys {
    /// Room for cursors and tokens.
    fn default() -> Self {
        StateKeys { max_bytes: Size(1 << 20), max_keys: 1000 }
    }
}

/// The secrets, read from where they are.
pub(crate) fn secrets(
    keys: BTreeMap<String, SecretKeys>,
    path: &str,
    own: &Node,
    around: &Surroundings<'_>,
    problems: &mut Problems,
) -> BTreeMap<String, PluginSecret> {
    let mut found = BTreeMap::new();
    for (name, keys) in keys {
        let key = format!("secrets.{name}");
        let place = own.place_at(&key).cloned().unwrap_or(Place::Nowhere);
        let mut wrong = |message: String, fix: &str| problems.error(join(path, &key), &place, message, fix);
        let value = match (&keys.env, &keys.file) {
            (Some(variable), None) => match around.env.secret(variable) {
                Some(value) => value,
                None => {
                    wrong(
                        format!("the environment variable {variable} is not set"),
                        "set it for the relay, or take the secret from a `file`",
                    );
                    continue;
                }
            },
            (None, Some(file)) => match std::fs::read_to_string(around.base.join(file)) {
                Ok(text) => text.strip_suffix('\n').map(|text| text.strip_suffix('\r').unwrap_or(text)).unwrap_or(&text).to_owned(),
                Err(why) => {
                    wrong(format!("the file {file} cannot be read: {why}"), "put the secret there, readable for the relay");
                    continue;
                }
            },
            _ => {
                wrong("expected where the secret is".to_owned(), "give one of `env: NAME` and `file: path`");
                continue;
            }
        };
        let exposure = match keys.exposure {
            As::Header => SecretUse::Header,
            As::Basic => SecretUse::Basic,
            As::Reveal => SecretUse::Reveal,
        };
        found.insert(name, PluginSecret { value: Secret::new(value), hosts: keys.hosts, exposure });
    }
    found
}
