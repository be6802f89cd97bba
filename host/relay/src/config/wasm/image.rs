//! `path: oci://…`: an image, and the key `registry`.

use flagpost_plugin::{ImageReference, PluginImage, RegistryAccess};
use flagpost_settings::{Node, Place, Problems, Secret, join};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::exporters::Surroundings;

/// How a registry is asked. Without credentials, `auths` in Docker's `config.json` (`DOCKER_CONFIG`, else `~/.docker`) are used.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct RegistryKeys {
    /// Its user.
    username: Option<String>,
    /// The user's password or token.
    password: Option<Secret>,
    /// Speak HTTP without TLS. A registry on this machine is spoken to in that way by itself, unless it has a `tls.ca`.
    plain_http: bool,
    /// Certificates.
    tls: RegistryTls,
}

/// Certificates in PEM.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct RegistryTls {
    /// Authorities that are trusted beside the system's. The path is relative to the configuration file.
    ca: Option<String>,
}

/// The image that `path` means, `Some(None)` if it means a file. `None`: it is wrong, and that was said.
#[expect(clippy::option_option, reason = "wrong, a file, an image")]
pub(super) fn resolve(
    written: &str,
    keys: RegistryKeys,
    pinned: bool,
    path: &str,
    own: &Node,
    around: &Surroundings<'_>,
    problems: &mut Problems,
) -> Option<Option<PluginImage>> {
    let place = |key: &str| own.place_at(key).cloned().unwrap_or(Place::Nowhere);
    if !ImageReference::is_meant(written) {
        if own.get("registry").is_some() {
            let message = "is for images, and `path` is a file";
            problems.error(
                join(path, "registry"),
                place("registry"),
                message,
                "remove it, or set `path: oci://registry/name:tag@sha256:…`",
            );
        }
        return Some(None);
    }
    let reference = match written.parse::<ImageReference>() {
        Ok(reference) => reference,
        Err(why) => {
            let message = why.to_string();
            let (message, fix) = message.split_once("; ").unwrap_or((&message, ""));
            problems.error(join(path, "path"), place("path"), message, fix);
            return None;
        }
    };
    if reference.digest().is_none() && !pinned {
        let message = "has a tag and no digest: the registry decides what runs after the next start or reload";
        let fix = format!("append `@sha256:…` (`flagpost plugin pull {reference}` prints it), or set `sha256` to the component's");
        problems.warning(join(path, "path"), place("path"), message, fix);
    }
    let text = |text: Option<String>| text.filter(|text| !text.is_empty());
    let access = RegistryAccess {
        username: text(keys.username),
        password: keys.password.filter(|password| !password.reveal().is_empty()),
        plain_http: keys.plain_http,
        ca: text(keys.tls.ca).map(|ca| around.base.join(ca)),
    };
    Some(Some(PluginImage { reference, access }))
}
