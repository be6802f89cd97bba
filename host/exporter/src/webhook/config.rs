//! The `webhook` exporter's keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use flagpost_settings::{Place, Problems};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use crate::config::require;
use crate::kind::Kind;
use crate::{BuildContext, Exporter, Secret};

use super::WebhookExporter;
use super::body::BodyMaker;
use super::client::Client;

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

/// One POST per batch: `{"meta":{…},"events":[…]}`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Keys {
    /// Mandatory. Where batches are posted.
    endpoint_url: String,
    /// Signs bodies: the header `X-Hub-Signature-256` then holds `sha256=` and the HMAC of the body.
    secret: Option<Secret>,
    /// Goes into each body's `meta`; `hostname` is this machine's name unless it stands here.
    meta: BTreeMap<String, String>,
    /// Headers of each request: a value or a list of values.
    headers: BTreeMap<String, Vec<Secret>>,
}

impl Kind for Keys {
    const NAME: &'static str = "webhook";
    const LOCATION: &'static [&'static str] = &["endpointUrl"];

    fn build(self, problems: &mut Problems, context: &BuildContext) -> Option<Arc<dyn Exporter>> {
        let config = self.check(problems, &context.hostname)?;
        match Client::new(&config) {
            Ok(client) => Some(Arc::new(WebhookExporter { config, client, clock: Arc::clone(&context.clock) })),
            Err(message) => {
                problems.error("endpointUrl", Place::Nowhere, message, "install the system's CA certificates");
                None
            }
        }
    }
}

impl Keys {
    fn check(self, problems: &mut Problems, hostname: &str) -> Option<WebhookConfig> {
        require(problems, Self::NAME, "endpointUrl", &self.endpoint_url, "https://example.com/events");
        let endpoint = Url::parse(&self.endpoint_url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if !self.endpoint_url.is_empty() && endpoint.is_none() {
            problems.error("endpointUrl", Place::Nowhere, "is no URL of a web server", "write it as https://host/path");
        }
        let mut headers = HeaderMap::new();
        for (name, values) in self.headers {
            let path = format!("headers.{name}");
            let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
                problems.error(path, Place::Nowhere, "is no name of an HTTP header", "letters, digits and `-`");
                continue;
            };
            for value in values {
                match HeaderValue::from_str(value.reveal()) {
                    Ok(mut value) => {
                        value.set_sensitive(true);
                        headers.append(&header, value);
                    }
                    Err(_) => {
                        let message = "has a value that no HTTP header can have";
                        problems.error(path.clone(), Place::Nowhere, message, "no line breaks and no control characters");
                    }
                }
            }
        }
        Some(WebhookConfig { endpoint: endpoint?, headers, body: BodyMaker::new(self.meta, hostname, self.secret) })
    }
}

/// A URL as it may be shown: without user, password, query and fragment, which may be secrets.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // Only URLs without a host cannot have these changed, and they have none.
    url.set_username("").ok();
    url.set_password(None).ok();
    if url.query().is_some() {
        url.set_query(Some("..."));
    }
    url.set_fragment(None);
    url.to_string()
}
