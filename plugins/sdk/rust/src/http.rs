//! Requests through the relay, and what their answers mean.

use serde::Serialize;

use crate::bare::flagpost::plugin::http as wire;
use crate::{ExportError, RetryLater, misconfigured, rejected, retryable};

/// Characters of a body that [`Reply::shown`] shows.
const SHOWN: usize = 500;

/// A request to a host that the exporter's `allowedHosts` grants.
#[derive(Debug)]
pub struct Request {
    wire: wire::Request,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// At most 4 MiB of it.
    pub body: String,
}

impl Request {
    /// A request without headers and body. The URL is absolute, http or https.
    pub fn new(method: &str, url: impl Into<String>) -> Self {
        let (method, url) = (method.to_owned(), url.into());
        Request { wire: wire::Request { method, url, headers: Vec::new(), body: wire::Body::Empty, timeout_ms: None } }
    }

    /// A POST.
    pub fn post(url: impl Into<String>) -> Self {
        Request::new("POST", url)
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.wire.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Adds `Authorization: Bearer …`.
    #[must_use]
    pub fn bearer(self, key: &str) -> Self {
        self.header("authorization", format!("Bearer {key}"))
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<String>) -> Self {
        self.wire.body = wire::Body::Text(body.into());
        self.header("content-type", content_type)
    }

    /// Adds the credentials that the operator gave by a name, see [`credential`](crate::credential).
    pub fn secret(self, header: &str, prefix: &str, name: &str, key: &str, configured: Option<&str>) -> Result<Self, ExportError> {
        Ok(self.header(header, format!("{prefix}{}", crate::credential(name, key, configured)?)))
    }

    /// Sets the body to a value's JSON.
    #[must_use]
    pub fn json(self, value: &impl Serialize) -> Self {
        // Only a map whose keys are no texts has none; then the API says so.
        self.body("application/json", serde_json::to_string(value).unwrap_or_default())
    }

    /// Limits the whole exchange; without it, most of what is left of the call.
    #[must_use]
    pub fn timeout_ms(mut self, ms: u32) -> Self {
        self.wire.timeout_ms = Some(ms);
        self
    }

    /// Sends it and waits for the answer. The error is what `export` should return: misconfigured when the host is not granted, retryable
    /// when no answer came.
    pub fn send(&self) -> Result<Reply, ExportError> {
        match wire::send(&self.wire) {
            Ok(wire::Response { status, headers, body }) => Ok(Reply { status, headers, body }),
            Err(wire::SendError::Denied(why)) => Err(misconfigured(why)),
            Err(wire::SendError::Timeout) => Err(retryable("timeout")),
            Err(wire::SendError::Connect(why) | wire::SendError::Other(why)) => Err(retryable(why)),
        }
    }
}

impl Reply {
    /// The first header of that name, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// `Retry-After` in milliseconds, when it counts seconds.
    pub fn retry_after_ms(&self) -> Option<u32> {
        self.header("retry-after")?.trim().parse::<u32>().ok()?.checked_mul(1000)
    }

    /// The same events again, not before `Retry-After`.
    pub fn again(&self) -> ExportError {
        ExportError::Retryable(RetryLater { reason: self.shown(), after_ms: self.retry_after_ms() })
    }

    /// The status and the beginning of the body: what an operator needs to see.
    pub fn shown(&self) -> String {
        let body = self.body.trim();
        match body.char_indices().nth(SHOWN) {
            None if body.is_empty() => format!("HTTP {}", self.status),
            None => format!("HTTP {}: {body}", self.status),
            Some((end, _)) => format!("HTTP {}: {}…", self.status, &body[..end]),
        }
    }

    /// What the status means for the batch, as most APIs mean it. 2xx: delivered. 408, 425, 429 and 5xx: again, not before `Retry-After`. What no
    /// event is guilty of (401, 402, 403, 404, 405, 407 and redirects, which nothing followed): misconfigured. Anything else, 400, 413 and 422
    /// above all: rejected, and the relay looks for the guilty event, or for a smaller batch, by sending halves.
    pub fn delivered(&self) -> Result<(), ExportError> {
        match self.status {
            200..=299 => Ok(()),
            401 | 403 | 407 => Err(misconfigured(format!("{}: are the credentials right?", self.shown()))),
            300..=399 | 402 | 404 | 405 => Err(misconfigured(format!("{}: is the address right?", self.shown()))),
            408 | 425 | 429 | 500.. => Err(self.again()),
            413 => Err(rejected(format!("{}: too large", self.shown()))),
            _ => Err(rejected(self.shown())),
        }
    }
}
