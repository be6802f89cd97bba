//! The `webhook` exporter's keys.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::config::Keys;
use crate::{ConfigError, Secret};

use super::body::BodyMaker;

/// A checked configuration.
pub(super) struct WebhookConfig {
    /// Where batches go. May hold secrets: shown by [`shown`] only.
    pub(super) endpoint: Url,
    /// The configured headers, each marked as sensitive.
    pub(super) headers: HeaderMap,
    /// Makes bodies, and signs them.
    pub(super) body: BodyMaker,
}

impl std::fmt::Debug for WebhookConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookConfig").field("endpoint", &shown(&self.endpoint)).finish_non_exhaustive()
    }
}

impl WebhookConfig {
    pub(super) fn read(config: serde_json::Value, hostname: &str) -> Result<Self, ConfigError> {
        let mut keys = Keys::new(config)?;
        let text = keys.required("webhook", "endpointUrl", "https://example.com/events");
        let endpoint = Url::parse(&text);
        if !text.is_empty() && !endpoint.as_ref().is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
            keys.problem("endpointUrl", "is no URL of a web server", "write it as https://host/path");
        }
        let secret = keys.text("secret").map(Secret::new);
        let meta = keys.texts("meta");
        let mut headers = HeaderMap::new();
        for (name, values) in keys.lists("headers") {
            let path = format!("headers.{name}");
            let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
                keys.problem(path, "is no name of an HTTP header", "letters, digits and `-`");
                continue;
            };
            for value in values {
                match HeaderValue::from_str(&value) {
                    Ok(mut value) => {
                        value.set_sensitive(true);
                        headers.append(&header, value);
                    }
                    Err(_) => {
                        keys.problem(path.clone(), "has a value that no HTTP header can have", "no line breaks and no control characters")
                    }
                }
            }
        }
        keys.finish()?;
        let endpoint = endpoint.map_err(|_| ConfigError { problems: Vec::new() })?;
        Ok(WebhookConfig { endpoint, headers, body: BodyMaker::new(meta, hostname, secret) })
    }
}

/// A URL as it may be shown: scheme, host and port. Everything else may be a secret: many services put theirs into the path.
pub(super) fn shown(url: &Url) -> String {
    let rest = if matches!(url.path(), "" | "/") && url.query().is_none() { "/" } else { "/…" };
    format!("{}://{}{rest}", url.scheme(), &url[url::Position::BeforeHost..url::Position::AfterPort])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_scheme_host_and_port_are_shown() {
        let cases = [
            ("https://hooks.example/services/T0/B0/secret", "https://hooks.example/…"),
            ("http://u:secret@h:8080/?token=secret#secret", "http://h:8080/…"),
            ("http://[::1]:80", "http://[::1]/"),
            ("https://h/", "https://h/"),
        ];
        for (url, expected) in cases {
            assert_eq!(shown(&Url::parse(url).unwrap()), expected);
        }
    }
}
