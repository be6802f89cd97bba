//! The HTTP client, and one batch's way through it.

use std::fmt;
use std::time::Duration;

use flagpost_event::{BatchId, Clock};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use url::Url;

use crate::{DEFAULT_TIMEOUT, ExportError, ProbeError, chain_without_url};

use super::body::Body;
use super::config::{WebhookConfig, shown};
use super::outcome::{one_line, outcome, retry_after};
use super::redirect::{is_redirect, next};

const SIGNATURE: HeaderName = HeaderName::from_static("x-hub-signature-256");

/// The batch's id: the same for each attempt of the same events, never for others.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A reply is read this far, so that its connection can be used again and its beginning can be told.
const MOST_READ: usize = 64 << 10;

/// Reading a reply does not take longer than this: what it means is known by its status.
const LONGEST_READ: Duration = Duration::from_secs(1);

pub(super) struct Client {
    http: reqwest::Client,
    endpoint: Url,
    headers: HeaderMap,
}

impl fmt::Debug for Client {
    /// Neither headers nor the URL's path and query, which may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("endpoint", &self.shown()).finish_non_exhaustive()
    }
}

impl Client {
    pub(super) fn new(config: &WebhookConfig) -> Result<Self, String> {
        crate::install_crypto();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(DEFAULT_TIMEOUT)
            .user_agent(concat!("flagpost/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| format!("no HTTP client can be made: {}", chain_without_url(error)))?;
        let mut headers = config.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(Client { http, endpoint: config.endpoint.clone(), headers })
    }

    /// The endpoint as it may be shown.
    pub(super) fn shown(&self) -> String {
        shown(&self.endpoint)
    }

    /// Posts a body, to where redirects lead too.
    pub(super) async fn post(&self, id: &BatchId, body: Body, clock: &dyn Clock) -> Result<(), ExportError> {
        let mut headers = self.headers.clone();
        let own = [(SIGNATURE, body.signature.as_deref()), (IDEMPOTENCY_KEY, Some(id.as_str()))];
        for (name, value) in own.into_iter().filter_map(|(name, value)| Some((name, HeaderValue::from_str(value?).ok()?))) {
            headers.insert(name, value);
        }
        let mut url = self.endpoint.clone();
        let mut hop = 0;
        loop {
            let request = self.http.post(url.clone()).headers(headers.clone()).body(body.bytes.clone());
            let reply =
                request.send().await.map_err(|error| ExportError::retryable(format!("{}: {}", shown(&url), chain_without_url(error))))?;
            let status = reply.status();
            let header = |name| reply.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
            if is_redirect(status) {
                url = next(&url, header(LOCATION), hop)?;
                hop += 1;
                continue;
            }
            let after = header(RETRY_AFTER).and_then(|wish| retry_after(wish, clock.now()));
            return outcome(status, after, &one_line(&beginning(reply).await));
        }
    }

    /// Whether the endpoint's server takes connections. Nothing is sent; TLS is first tried by a batch. With a proxy in the environment,
    /// only the proxy could tell: then the answer is yes.
    pub(super) async fn probe(&self) -> Result<(), ProbeError> {
        const PROXIES: [&str; 6] = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
        if PROXIES.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty())) {
            return Ok(());
        }
        let failed = |why: String| ProbeError { reason: format!("cannot connect to {}: {why}: check `endpointUrl`", self.shown()) };
        let host = self.endpoint.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = self.endpoint.port_or_known_default().unwrap_or(80);
        match tokio::time::timeout(DEFAULT_TIMEOUT, tokio::net::TcpStream::connect((host, port))).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(_) => Err(failed(format!("no answer within {} s", DEFAULT_TIMEOUT.as_secs()))),
        }
    }
}

/// The beginning of a reply's body; what goes wrong here changes nothing.
async fn beginning(mut reply: reqwest::Response) -> Vec<u8> {
    let mut body = Vec::new();
    let read = async {
        while let Ok(Some(chunk)) = reply.chunk().await {
            body.extend_from_slice(&chunk);
            if body.len() >= MOST_READ {
                break;
            }
        }
    };
    tokio::time::timeout(LONGEST_READ, read).await.ok();
    body
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use flagpost_settings::{Problems, decode};

    use super::super::Keys;
    use super::*;

    #[test]
    fn its_debug_form_holds_no_secret() {
        let config = serde_json::json!({
            "endpointUrl": "https://u:hunter2@h/hunter2?key=hunter2",
            "secret": "hunter2",
            "headers": { "X-Key": "hunter2" },
        });
        let mut problems = Problems::default();
        let keys: Keys = decode(&config.into(), "", &mut problems);
        let config = keys.check(&mut problems, "host").unwrap();
        let text = format!("{:?} {config:?}", Client::new(&config).unwrap());
        assert!(text.contains("https://h/…") && !text.contains("hunter2"), "{text}");
    }
}
