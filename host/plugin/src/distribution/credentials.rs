//! Who asks a registry: the configuration's credentials, else what `docker login` left for it.
//!
//! Of Docker's file only `auths` is used. Credential helpers are programs that it names; they are not run: a relay starts nothing that a file
//! in somebody's home tells it to.

use std::collections::BTreeMap;
use std::env;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flagpost_exporter::Secret;
use oci_client::secrets::RegistryAuth;
use serde::Deserialize;

use super::{DistributionError, ImageReference, RegistryAccess};

/// Credentials, and how to speak of them without showing them.
#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) auth: RegistryAuth,
    /// `as …`, `without credentials …`: goes into errors.
    pub(super) who: String,
}

/// Docker's file, as much of it as is used.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DockerConfig {
    auths: BTreeMap<String, DockerAuth>,
    creds_store: Option<String>,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DockerAuth {
    auth: Option<Secret>,
    username: Option<String>,
    password: Option<Secret>,
}

/// The credentials for an image.
pub(super) fn find(reference: &ImageReference, access: &RegistryAccess) -> Result<Credentials, DistributionError> {
    if let (Some(username), Some(password)) = (&access.username, &access.password) {
        let auth = RegistryAuth::Basic(username.clone(), password.reveal().to_owned());
        return Ok(Credentials { auth, who: "with the username and the password that were given".to_owned() });
    }
    let Some((path, named)) = docker_file() else { return Ok(anonymous("")) };
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        // A home that the relay may not look into holds nothing for it.
        Err(why) if why.kind() == ErrorKind::NotFound || (!named && why.kind() == ErrorKind::PermissionDenied) => return Ok(anonymous("")),
        Err(why) => return Err(DistributionError::Docker { path, why: why.to_string() }),
    };
    of_docker(&path, &text, reference)
}

fn anonymous(more: &str) -> Credentials {
    Credentials { auth: RegistryAuth::Anonymous, who: format!("without credentials{more}") }
}

/// Where Docker keeps its file, and whether somebody said so.
fn docker_file() -> Option<(PathBuf, bool)> {
    let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let named = variable("DOCKER_CONFIG").map(|directory| (directory.join("config.json"), true));
    named.or_else(|| Some((variable("HOME")?.join(".docker/config.json"), false)))
}

/// What a file of Docker's has for an image: the longest entry that covers it.
pub(super) fn of_docker(path: &Path, text: &[u8], reference: &ImageReference) -> Result<Credentials, DistributionError> {
    // Its own message may quote what it found.
    let wrong = |why: &str| DistributionError::Docker { path: path.to_owned(), why: why.to_owned() };
    let config: DockerConfig = serde_json::from_slice(text).map_err(|_| wrong("it is not JSON as Docker writes it"))?;
    let covering = config.auths.iter().filter(|(key, _)| covers(key, reference)).max_by_key(|(key, _)| address(key).len());
    let pair = match covering {
        Some((_, DockerAuth { auth: Some(auth), .. })) if !auth.reveal().is_empty() => {
            let decoded = STANDARD.decode(auth.reveal().trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let pair = decoded.as_deref().and_then(|text| text.split_once(':'));
            let (username, password) = pair.ok_or_else(|| wrong("an `auth` in it is not base64 of `user:password`"))?;
            Some((username.to_owned(), password.trim_end_matches('\0').to_owned()))
        }
        Some((_, DockerAuth { username: Some(username), password: Some(password), .. })) => {
            Some((username.clone(), password.reveal().to_owned()))
        }
        _ => None,
    };
    Ok(match pair {
        Some((username, password)) => {
            Credentials { auth: RegistryAuth::Basic(username, password), who: format!("with the credentials in {}", path.display()) }
        }
        None if config.creds_store.is_some() || config.cred_helpers.contains_key(reference.registry()) => {
            anonymous(&format!(" ({} leaves them to a credential helper, which is not run)", path.display()))
        }
        None => anonymous(""),
    })
}

/// Docker Hub's credentials stand under this name.
const HUB: &str = "index.docker.io/v1";

/// A key of `auths` without what it may be dressed in.
fn address(key: &str) -> &str {
    key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key).trim_end_matches('/')
}

fn covers(key: &str, reference: &ImageReference) -> bool {
    let key = address(key);
    let whole = reference.without_version();
    let whole = whole.trim_start_matches("oci://");
    (key == HUB && reference.registry() == "docker.io")
        || whole.strip_prefix(key).is_some_and(|rest| rest.starts_with('/'))
        // Some tools append the version of the interface.
        || key.strip_suffix("/v2").or_else(|| key.strip_suffix("/v1")).is_some_and(|host| host == reference.registry())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(file: &str, reference: &str) -> Result<Credentials, DistributionError> {
        of_docker(Path::new("/home/a/.docker/config.json"), file.as_bytes(), &reference.parse().unwrap())
    }

    fn user(file: &str, reference: &str) -> Option<String> {
        match found(file, reference).unwrap().auth {
            RegistryAuth::Basic(user, password) => Some(format!("{user}/{password}")),
            _ => None,
        }
    }

    #[test]
    fn the_longest_entry_that_covers_the_image_is_taken() {
        // a:x, b:y:z, hub:h
        let file = r#"{ "auths": { "https://ghcr.io": { "auth": "YTp4" }, "ghcr.io/acme": { "auth": "Yjp5Ono=" },
            "https://index.docker.io/v1/": { "auth": "aHViOmg=" }, "plain.dev:5000": { "username": "u", "password": "p" }, "empty.dev": {} } }"#;
        let cases = [
            ("oci://ghcr.io/other/plugin:1", Some("a/x")),
            ("oci://ghcr.io/acme/plugin:1", Some("b/y:z")),
            ("oci://ghcr.io/acmee/plugin:1", Some("a/x")),
            ("oci://docker.io/acme/plugin:1", Some("hub/h")),
            ("oci://plain.dev:5000/plugin:1", Some("u/p")),
            ("oci://plain.dev/plugin:1", None),
            ("oci://empty.dev/plugin:1", None),
        ];
        for (reference, expected) in cases {
            assert_eq!(user(file, reference).as_deref(), expected, "{reference}");
        }
    }

    #[test]
    fn a_helper_is_named_and_not_run_and_no_secret_is_ever_shown() {
        let helped = found(r#"{ "credsStore": "desktop" }"#, "oci://ghcr.io/a/b:1").unwrap();
        assert!(helped.auth == RegistryAuth::Anonymous && helped.who.contains("helper, which is not run"), "{}", helped.who);
        for file in [r#"{ "auths": { "ghcr.io": { "auth": "czNjcmV0" } } }"#, r#"{ "auths": "czNjcmV0" }"#, "czNjcmV0"] {
            let why = found(file, "oci://ghcr.io/a/b:1").unwrap_err();
            assert!(!format!("{why} {why:?}").contains("czNjcmV0") && !format!("{why:?}").contains("s3cret"), "{why:?}");
        }
        let good = found(r#"{ "auths": { "ghcr.io": { "auth": "dTpzM2NyZXQ=" } } }"#, "oci://ghcr.io/a/b:1").unwrap();
        assert!(!format!("{good:?}").contains("s3cret"), "{good:?}");
    }

    #[test]
    fn what_the_configuration_says_comes_first() {
        let access =
            RegistryAccess { username: Some("robot".to_owned()), password: Some(Secret::new("s3cret")), ..RegistryAccess::default() };
        let credentials = find(&"oci://ghcr.io/a/b:1".parse().unwrap(), &access).unwrap();
        assert!(credentials.auth == RegistryAuth::Basic("robot".to_owned(), "s3cret".to_owned()) && !credentials.who.contains("s3cret"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(of_docker(Path::new("config.json"), &bytes, &"oci://ghcr.io/a/b:1".parse().unwrap()));
        }
    }
}
