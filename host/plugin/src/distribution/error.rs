//! Why an image is not there, and what to do.

use std::path::PathBuf;

use flagpost_exporter::chain_without_url;
use oci_client::errors::{OciDistributionError, OciErrorCode};

use crate::guest::printable;
use crate::text::cut;

/// Most that is repeated of what a registry says.
const MOST_SAID: usize = 300;

/// An image cannot be fetched or pushed. The place is the reference, which whoever tells of this puts before it.
#[derive(Debug, thiserror::Error)]
pub enum DistributionError {
    /// No connection, or no answer in time.
    #[error("the registry is not reached: {why}")]
    Unreachable {
        /// The way from the call to its cause.
        why: String,
    },
    /// It answers that it cannot right now.
    #[error("the registry answers {status}: {said}")]
    Busy {
        /// HTTP status.
        status: u16,
        /// What it said.
        said: String,
    },
    /// 401, 403.
    #[error(
        "the registry refuses it {who}; give `registry: {{ username: …, password: … }}` (on the command line FLAGPOST_REGISTRY_USERNAME and \
         FLAGPOST_REGISTRY_PASSWORD), or run `docker login`"
    )]
    Unauthorized {
        /// Who asked, without the secret.
        who: String,
    },
    /// 404.
    #[error("the registry has no such image; check name, tag and digest, or push it with `flagpost plugin push FILE oci://…`")]
    NotFound,
    /// Any other refusal.
    #[error("the registry refuses it: {said}")]
    Refused {
        /// What it said.
        said: String,
    },
    /// What came is not what was asked for.
    #[error("what came is not what its digest says: {why}; it was thrown away")]
    Digest {
        /// Both digests.
        why: String,
    },
    /// An image of something else.
    #[error("is no image of a plugin: {why}; `flagpost plugin push` makes one")]
    NoPlugin {
        /// What it is.
        why: String,
    },
    /// The configuration pins another file.
    #[error(
        "its component has the SHA-256 {found}, the configuration pins {pinned} (key `sha256`); pin this one, or name the image that has the other"
    )]
    Pinned {
        /// In the image.
        found: String,
        /// In the configuration.
        pinned: String,
    },
    /// Docker's file cannot be used.
    #[error("{}: {why}; mend it, or point DOCKER_CONFIG elsewhere", path.display())]
    Docker {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The certificates cannot be used.
    #[error("{} (key `registry.tls.ca`): {why}", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The client cannot be made.
    #[error("no client for registries: {why}")]
    Client {
        /// Why.
        why: String,
    },
    /// The disk cache cannot be written.
    #[error("{}: what was fetched cannot be kept", path.display())]
    Cache {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl DistributionError {
    /// Whether the same may succeed later without anything being changed here. A wrong password may: it is mended at the registry, too.
    pub(crate) fn may_pass(&self) -> bool {
        !matches!(self, DistributionError::NoPlugin { .. } | DistributionError::Pinned { .. })
    }

    /// Whether it says nothing of the image: what is known from before may be used instead.
    pub(crate) fn is_about_the_registry(&self) -> bool {
        matches!(self, DistributionError::Unreachable { .. } | DistributionError::Busy { .. })
    }

    /// What the client says. Its URLs are left out: a redirected one holds a signature that is as good as a password.
    pub(super) fn of_client(error: OciDistributionError, who: &str) -> Self {
        let unauthorized = || DistributionError::Unauthorized { who: who.to_owned() };
        let said = |text: &str| cut(&printable(text.trim().as_bytes()), MOST_SAID);
        match error {
            OciDistributionError::RequestError(why) => DistributionError::Unreachable { why: chain_without_url(why) },
            OciDistributionError::UnauthorizedError { .. } | OciDistributionError::AuthenticationFailure(_) => unauthorized(),
            OciDistributionError::RegistryError { envelope, .. } => {
                let text = envelope.errors.iter().map(|error| error.message.as_str()).collect::<Vec<_>>().join("; ");
                match envelope.errors.first().map(|error| &error.code) {
                    Some(OciErrorCode::Unauthorized | OciErrorCode::Denied) => unauthorized(),
                    Some(
                        OciErrorCode::ManifestUnknown
                        | OciErrorCode::ManifestBlobUnknown
                        | OciErrorCode::NameUnknown
                        | OciErrorCode::NotFound
                        | OciErrorCode::BlobUnknown,
                    ) => DistributionError::NotFound,
                    Some(OciErrorCode::Toomanyrequests) => DistributionError::Busy { status: 429, said: said(&text) },
                    _ => DistributionError::Refused { said: said(&text) },
                }
            }
            OciDistributionError::ServerError { code, message, .. } => match code {
                401 | 403 => unauthorized(),
                404 => DistributionError::NotFound,
                408 | 429 | 500.. => DistributionError::Busy { status: code, said: said(&message) },
                _ => DistributionError::Refused { said: format!("{code}: {}", said(&message)) },
            },
            OciDistributionError::DigestError(why) => DistributionError::Digest { why: said(&why.to_string()) },
            OciDistributionError::UrlParseError(_) => DistributionError::Refused { said: "it names an address that is none".to_owned() },
            // A stream that breaks off comes as one of these.
            OciDistributionError::IoError(why) => DistributionError::Unreachable { why: said(&why.to_string()) },
            other => DistributionError::Refused { said: said(&other.to_string()) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_registry_answers_is_told_without_its_urls() {
        let url = "https://u:s3cret@cdn.dev/blob?X-Amz-Signature=s3cret".to_owned();
        let server = |code: u16| OciDistributionError::ServerError { code, url: url.clone(), message: "down\u{1b}[2J".to_owned() };
        let envelope = |code: &str| {
            let envelope = serde_json::from_value(serde_json::json!({ "errors": [{ "code": code, "message": "words" }] })).unwrap();
            OciDistributionError::RegistryError { envelope, url: url.clone() }
        };
        let cases = [
            (server(401), "refuses it with a password", true),
            (server(403), "refuses it with a password", true),
            (server(404), "no such image", true),
            (server(429), "answers 429: down", true),
            (server(503), "answers 503: down", true),
            (server(400), "refuses it: 400: down", true),
            (envelope("DENIED"), "refuses it with a password", true),
            (envelope("MANIFEST_UNKNOWN"), "no such image", true),
            (envelope("NAME_UNKNOWN"), "no such image", true),
            (envelope("TOOMANYREQUESTS"), "answers 429: words", true),
            (envelope("ARTIFACT_LOCKED"), "refuses it: words", true),
            (OciDistributionError::UnauthorizedError { url: url.clone() }, "refuses it with a password", true),
            (OciDistributionError::IoError(std::io::Error::other("cut off")), "not reached: cut off", true),
        ];
        for (error, words, passes) in cases {
            let error = DistributionError::of_client(error, "with a password");
            let text = error.to_string();
            assert!(text.contains(words), "{text}");
            assert!(!text.contains("s3cret") && !format!("{error:?}").contains("s3cret") && !text.contains('\u{1b}'), "{error:?}");
            assert_eq!(error.may_pass(), passes, "{text}");
        }
    }
}
