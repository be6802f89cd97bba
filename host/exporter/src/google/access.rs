//! Where a service is, and as whom it is spoken to.

use std::path::PathBuf;

use flagpost_settings::{Place, Problems};
use google_cloud_auth::credentials::Credentials;
use url::{Host, Url};

use crate::Secret;

use super::{Source, Verdict};

/// The keys of a kind that are about access, as they were configured. Empty ones are as good as missing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AccessKeys<'a> {
    /// `endpoint`: another address than the service's own.
    pub(crate) endpoint: &'a str,
    /// `credentialsFile`.
    pub(crate) file: &'a str,
    /// Credentials as JSON text, and the key that holds them; they win over a file.
    pub(crate) text: Option<(&'static str, &'a Secret)>,
    /// What the environment says of an emulator: `host:port` or a URL. The key `endpoint` wins.
    pub(crate) emulator: Option<&'a str>,
}

/// A checked way to a service.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    /// An address without a slash at its end; `None`: the service's own.
    endpoint: Option<String>,
    source: Source,
}

impl Access {
    /// Checks the keys; `None` only when something was complained about. Reads no file: it may come later, or change.
    pub(crate) fn check(keys: AccessKeys<'_>, problems: &mut Problems) -> Option<Access> {
        let configured = match (keys.endpoint, keys.emulator) {
            ("", Some(emulator)) if emulator.contains("://") => emulator.to_owned(),
            ("", Some(emulator)) if !emulator.is_empty() => format!("http://{emulator}"),
            (endpoint, _) => endpoint.to_owned(),
        };
        let given = match (keys.text, keys.file) {
            (Some((key, text)), _) if !text.reveal().trim().is_empty() => Some((key, Source::text(key, text, problems)?)),
            (_, "") => None,
            (_, file) => Some(("credentialsFile", Source::File(PathBuf::from(file)))),
        };
        if configured.is_empty() {
            return Some(Access { endpoint: None, source: given.map_or(Source::Default, |(_, source)| source) });
        }
        let parsed = Url::parse(&configured).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let Some(url) = parsed.filter(|url| url.query().is_none() && url.username().is_empty()) else {
            let help = "write it as https://host or, for an emulator, http://host:port";
            problems.error("endpoint", Place::Nowhere, "is no address of a service", help);
            return None;
        };
        let source = match given {
            // Tokens in clear text are everybody's.
            Some((key, _)) if url.scheme() == "http" && !is_local(&url) => {
                let message = "credentials are given, and `endpoint` is not encrypted";
                problems.error(key, Place::Nowhere, message, "write `endpoint` with https://, or remove the credentials");
                return None;
            }
            Some((_, source)) => source,
            None if url.scheme() == "http" => Source::Anonymous,
            None => Source::Default,
        };
        Some(Access { endpoint: Some(url.as_str().trim_end_matches('/').to_owned()), source })
    }

    /// The address to use instead of the service's own.
    pub(crate) fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// Whether there is an emulator behind the address: nobody asks it for credentials.
    #[cfg(feature = "googlestorage")]
    pub(crate) fn is_anonymous(&self) -> bool {
        matches!(self.source, Source::Anonymous)
    }

    /// The credentials, read anew. Also sees to it that encryption is there: libraries of Google's expect that of the program.
    pub(crate) async fn credentials(&self) -> Result<Credentials, Verdict> {
        crate::install_crypto();
        self.source.read().await
    }
}

fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn check(endpoint: &str, file: &str, text: Option<&Secret>, emulator: Option<&str>) -> Result<(String, String), String> {
        let mut problems = Problems::default();
        let text = text.map(|text| ("googleCredentials", text));
        let access = Access::check(AccessKeys { endpoint, file, text, emulator }, &mut problems);
        let said: Vec<_> = problems.finish().0.iter().map(ToString::to_string).collect();
        match access {
            Some(access) => Ok((access.endpoint.unwrap_or_default(), format!("{:?}", access.source))),
            None => Err(said.join("\n")),
        }
    }

    #[test]
    fn an_emulator_gets_no_credentials_and_the_service_gets_them() {
        let cases = [
            ("", "", None, "", "Default"),
            ("", "key.json", None, "", "File(\"key.json\")"),
            ("https://europe-west1-pubsub.googleapis.com/", "", None, "https://europe-west1-pubsub.googleapis.com", "Default"),
            ("http://127.0.0.1:8085", "", None, "http://127.0.0.1:8085", "Anonymous"),
            ("http://emulator:8085", "", Some("localhost:1"), "http://emulator:8085", "Anonymous"),
            ("", "", Some("localhost:8085"), "http://localhost:8085", "Anonymous"),
            ("", "", Some("http://localhost:4443/"), "http://localhost:4443", "Anonymous"),
            ("", "", Some(""), "", "Default"),
            // A test of credentials themselves, on this machine.
            ("http://127.0.0.5", "key.json", None, "http://127.0.0.5", "File(\"key.json\")"),
            ("", "key.json", Some("[::1]:8085"), "http://[::1]:8085", "File(\"key.json\")"),
        ];
        for (endpoint, file, emulator, expected, source) in cases {
            let found = check(endpoint, file, None, emulator);
            assert_eq!(found, Ok((expected.to_owned(), source.to_owned())), "{endpoint} {file} {emulator:?}");
        }
    }

    #[test]
    fn text_wins_over_a_file_and_is_never_shown() {
        let text = Secret::new(r#"{"type":"service_account","private_key":"hunter2"}"#);
        let (_, source) = check("", "key.json", Some(&text), None).unwrap();
        assert!(source.starts_with("Text") && !source.contains("hunter2"), "{source}");
        let (_, source) = check("", "key.json", Some(&Secret::new(" ")), None).unwrap();
        assert!(source.starts_with("File"), "{source}");
    }

    #[test]
    fn what_cannot_be_or_must_not_be_is_told() {
        let text = Secret::new(r#"{"type":"authorized_user"}"#);
        let broken = Secret::new(r#"{"private_key":"hunter2"#);
        let cases = [
            ("localhost:8085", "", None, "endpoint: is no address of a service"),
            ("ftp://x", "", None, "endpoint: is no address of a service"),
            ("https://x/?key=1", "", None, "endpoint: is no address of a service"),
            ("http://emulator:8085", "key.json", None, "credentialsFile: credentials are given, and `endpoint` is not encrypted"),
            ("http://emulator:8085", "", Some(&text), "googleCredentials: credentials are given"),
            ("", "", Some(&broken), "googleCredentials: is no JSON"),
        ];
        for (endpoint, file, text, expected) in cases {
            let said = check(endpoint, file, text, None).unwrap_err();
            assert!(said.starts_with(expected) && !said.contains("hunter2"), "{said}");
        }
    }
}
