//! `oci://registry/name:tag@sha256:…`: which image is meant.

use std::fmt;
use std::str::FromStr;

use oci_client::Reference;

/// What an image's path begins with.
const SCHEME: &str = "oci://";

/// Longer texts are no references: a name has at most 255 characters, a tag 128.
const LONGEST: usize = 1024;

/// An image in a registry, by tag, by digest, or by both: then the digest decides, and the tag is for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageReference {
    registry: String,
    repository: String,
    tag: Option<String>,
    /// 64 hex digits in lower case.
    digest: Option<String>,
}

/// A text is no reference to an image. Its own words are not repeated: they may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// It begins otherwise.
    #[error("is no reference to an image; expected `oci://registry/name:tag@sha256:…`")]
    Scheme,
    /// `user:password@`.
    #[error("holds credentials; write them under `registry:`, or let `docker login` keep them")]
    Credentials,
    /// The registry has no dot and no port.
    #[error("names no registry; expected its host first, as in `oci://ghcr.io/acme/plugin:1.0`")]
    Registry,
    /// The rest is not as registries want it.
    #[error("is no reference to an image: {why}; expected `oci://registry/name:tag@sha256:…`, the name in lower case")]
    Malformed {
        /// What is wrong with it.
        why: String,
    },
    /// Another digest.
    #[error("has a digest that is not SHA-256; expected `@sha256:` and 64 hex digits")]
    Digest,
    /// Neither tag nor digest.
    #[error("names neither tag nor digest; append `:TAG`, or `@sha256:…`, which `flagpost plugin pull` prints")]
    Nothing,
}

impl ImageReference {
    /// Whether the text is meant as one.
    pub fn is_meant(text: &str) -> bool {
        text.get(..SCHEME.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME))
    }

    /// The registry's host, with its port.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The tag.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The manifest's SHA-256 in hex.
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// The same image whatever its version: what stays when another version is taken.
    pub fn without_version(&self) -> String {
        format!("{SCHEME}{}/{}", self.registry, self.repository)
    }

    /// The same with a digest, in hex.
    #[must_use]
    pub fn pinned(&self, digest: &str) -> Self {
        ImageReference { digest: Some(digest.to_owned()), ..self.clone() }
    }

    /// Whether the registry is on this machine: then it is spoken to without TLS, as all clients do.
    pub(crate) fn is_local(&self) -> bool {
        let host = self.registry.rsplit_once(':').map_or(self.registry.as_str(), |(host, _)| host);
        host == "localhost" || host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
    }

    /// As the client wants it.
    pub(crate) fn for_client(&self) -> Reference {
        let (registry, repository) = (self.registry.clone(), self.repository.clone());
        match (&self.digest, &self.tag) {
            (Some(digest), _) => Reference::with_digest(registry, repository, format!("sha256:{digest}")),
            (None, Some(tag)) => Reference::with_tag(registry, repository, tag.clone()),
            // The parser lets none pass.
            (None, None) => Reference::with_tag(registry, repository, "latest".to_owned()),
        }
    }
}

impl FromStr for ImageReference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if !ImageReference::is_meant(text) {
            return Err(ReferenceError::Scheme);
        }
        let rest = &text[SCHEME.len()..];
        let malformed = |why: &str| ReferenceError::Malformed { why: why.to_owned() };
        if rest.len() > LONGEST {
            return Err(malformed("it is too long"));
        }
        let (registry, name) = rest.split_once('/').ok_or(ReferenceError::Registry)?;
        if registry.contains('@') {
            return Err(ReferenceError::Credentials);
        }
        if !(registry == "localhost" || registry.contains(['.', ':'])) {
            return Err(ReferenceError::Registry);
        }
        if let Some((_, port)) = registry.split_once(':')
            && port.parse::<u16>().is_err()
        {
            return Err(malformed("its port is none"));
        }
        if !name.contains([':', '@']) {
            return Err(ReferenceError::Nothing);
        }
        let parsed = Reference::try_from(rest).map_err(|why| malformed(&why.to_string()))?;
        let digest = match parsed.digest() {
            None => None,
            Some(digest) => Some(digest.strip_prefix("sha256:").ok_or(ReferenceError::Digest)?.to_ascii_lowercase()),
        };
        let (registry, repository) = (parsed.registry().to_owned(), parsed.repository().to_owned());
        Ok(ImageReference { registry, repository, tag: parsed.tag().map(str::to_owned), digest })
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@sha256:{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn references_are_read_and_what_is_wrong_is_named() {
        let digest = "ab".repeat(32);
        let good = [
            "oci://ghcr.io/acme/plugin:1.0".to_owned(),
            format!("oci://ghcr.io/acme/plugin@sha256:{digest}"),
            format!("oci://localhost:5000/plugin:v1@sha256:{digest}"),
            "oci://127.0.0.1:5000/a/b/c:latest".to_owned(),
        ];
        for text in good {
            let read: ImageReference = text.parse().unwrap_or_else(|why| panic!("{text}: {why}"));
            assert_eq!(read.to_string(), text);
        }
        let upper: ImageReference = format!("oci://ghcr.io/acme/plugin@sha256:{}", digest.to_uppercase()).parse().unwrap();
        assert_eq!(upper.digest(), Some(digest.as_str()));
        let bad = [
            ("plugin.wasm", "expected `oci://"),
            ("oci://plugin:1.0", "names no registry"),
            ("oci://acme/plugin:1.0", "names no registry"),
            ("oci://user:s3cret@ghcr.io/acme/plugin:1.0", "holds credentials"),
            ("oci://ghcr.io/acme/plugin", "neither tag nor digest"),
            ("oci://ghcr.io/Acme/plugin:1.0", "lower case"),
            ("oci://ghcr.io/acme/plugin:", "no reference"),
            ("oci://ghcr.io/acme/plugin@sha256:12", "no reference"),
            ("oci://ghcr.io:port/acme/plugin:1", "port"),
            ("oci://ghcr.io/../plugin:1", "no reference"),
            ("oci://ghcr.io/a b:1", "no reference"),
        ];
        for (text, words) in bad {
            let why = text.parse::<ImageReference>().unwrap_err().to_string();
            assert!(why.contains(words) && !why.contains("s3cret"), "{text}: {why}");
        }
        let other = format!("oci://ghcr.io/acme/plugin@sha512:{}", "ab".repeat(64)).parse::<ImageReference>();
        assert_eq!(other, Err(ReferenceError::Digest));
    }

    #[test]
    fn a_registry_on_this_machine_is_known() {
        let cases = [("localhost:5000", true), ("127.0.0.1:5000", true), ("localhost", true), ("127.acme.dev", false), ("10.0.0.1", false)];
        for (registry, local) in cases {
            assert_eq!(format!("oci://{registry}/a:1").parse::<ImageReference>().unwrap().is_local(), local, "{registry}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_written_as_it_was_and_read_again(text in "(oci://)?[a-zA-Z0-9.:@/_ -]{0,60}") {
            if let Ok(read) = text.parse::<ImageReference>() {
                prop_assert_eq!(read.to_string().parse::<ImageReference>(), Ok(read.clone()));
                prop_assert!(read.tag().is_some() || read.digest().is_some());
            }
        }

        #[test]
        fn every_well_formed_reference_is_read(
            host in "[a-z]{1,10}\\.[a-z]{2,6}", port in proptest::option::of(1u16..), path in "[a-z0-9]{1,8}(/[a-z0-9]{1,8}){0,3}",
            tag in proptest::option::of("[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}"), digest in "[0-9a-f]{64}", by_digest: bool,
        ) {
            let registry = port.map_or(host.clone(), |port| format!("{host}:{port}"));
            prop_assume!(registry != "docker.io" && registry != "index.docker.io");
            let mut text = format!("oci://{registry}/{path}");
            if let Some(tag) = &tag {
                text += &format!(":{tag}");
            }
            if by_digest || tag.is_none() {
                text += &format!("@sha256:{digest}");
            }
            let read = text.parse::<ImageReference>();
            prop_assert_eq!(read.as_ref().map(ToString::to_string), Ok(text));
            let read = read.unwrap();
            prop_assert_eq!(read.registry(), registry.as_str());
            prop_assert_eq!(read.without_version(), format!("oci://{registry}/{path}"));
        }
    }
}
