//! Requests with credentials, and their replies.

use std::time::Duration;

use bytes::Bytes;
use google_cloud_auth::credentials::{CacheableResource, Credentials};
use reqwest::header::{HeaderMap, LOCATION, RANGE};
use reqwest::{Client, RequestBuilder};
use url::Url;

use crate::chain_without_url;
use crate::google::{Verdict, judge_credentials, judge_reply, within};

/// A reply is read this far: what is of interest is short.
const MOST_READ: usize = 64 << 10;

/// A client, and who it speaks for.
#[derive(Debug)]
pub(super) struct Http {
    pub(super) client: Client,
    credentials: Credentials,
    timeout: Duration,
}

/// A reply, whatever it says.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// A client for all requests; it connects when it is used. The error is the library's.
pub(super) fn client() -> Result<Client, String> {
    crate::install_crypto();
    Client::builder()
        // 308 is no redirection here.
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("flagpost/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| format!("no HTTP client can be made: {error}"))
}

impl Http {
    pub(super) fn new(client: Client, credentials: Credentials, timeout: Duration) -> Self {
        Http { client, credentials, timeout }
    }

    /// Sends a request and reads the reply, all within the time-out.
    pub(super) async fn send(&self, what: &str, request: RequestBuilder) -> Result<Reply, Verdict> {
        within(self.timeout, what, async {
            let headers = match self.credentials.headers(http::Extensions::new()).await {
                Ok(CacheableResource::New { data, .. }) => data,
                Ok(CacheableResource::NotModified) => HeaderMap::new(),
                Err(error) => return Err(judge_credentials(&error)),
            };
            let reply = request.headers(headers).send().await.map_err(broken)?;
            let (status, headers) = (reply.status().as_u16(), reply.headers().clone());
            Ok(Reply { status, headers, body: read(reply).await? })
        })
        .await
    }
}

async fn read(mut reply: reqwest::Response) -> Result<Vec<u8>, Verdict> {
    let mut body = Vec::new();
    while body.len() < MOST_READ {
        match reply.chunk().await.map_err(broken)? {
            Some(chunk) => body.extend_from_slice(&chunk),
            None => break,
        }
    }
    Ok(body)
}

/// The line broke, or there never was one. A session's address is a secret, so no address is shown.
fn broken(error: reqwest::Error) -> Verdict {
    Verdict::passing(chain_without_url(error))
}

impl Reply {
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// What it means that it is no success.
    pub(super) fn verdict(&self) -> Verdict {
        judge_reply(self.status, &self.headers, &self.body)
    }

    /// Whether the service itself said so: something in front of it, or an emulator that knows no such request, does not write JSON.
    pub(super) fn is_services(&self) -> bool {
        self.json().is_some_and(|json| json.get("error").is_some())
    }

    pub(super) fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// Where a session is.
    pub(super) fn location(&self) -> Option<Url> {
        self.headers.get(LOCATION)?.to_str().ok()?.parse().ok()
    }

    /// How many bytes a session holds: `bytes=0-41` are 42, and none without that header.
    pub(super) fn persisted(&self) -> Option<u64> {
        let Some(range) = self.headers.get(RANGE) else { return Some(0) };
        let last: u64 = range.to_str().ok()?.strip_prefix("bytes=0-")?.parse().ok()?;
        last.checked_add(1)
    }
}

/// Bytes' CRC32C as the service writes it: base64 of its four bytes, the highest first.
pub(super) fn checksum(crc32c: u32) -> String {
    use base64::Engine;
    base64::prelude::BASE64_STANDARD.encode(crc32c.to_be_bytes())
}

/// A body of several pieces in one.
pub(super) fn joined(pieces: &[&[u8]]) -> Bytes {
    pieces.concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(range: Option<&'static str>) -> Reply {
        let mut headers = HeaderMap::new();
        if let Some(range) = range {
            headers.insert(RANGE, reqwest::header::HeaderValue::from_static(range));
        }
        Reply { status: 308, headers, body: Vec::new() }
    }

    #[test]
    fn a_range_says_how_much_is_safe() {
        for (range, expected) in [
            (None, Some(0)),
            (Some("bytes=0-0"), Some(1)),
            (Some("bytes=0-5242879"), Some(5 << 20)),
            (Some("bytes=1-5"), None),
            (Some("0-5"), None),
            (Some("bytes=0-18446744073709551615"), None),
        ] {
            assert_eq!(reply(range).persisted(), expected, "{range:?}");
        }
    }

    #[test]
    fn checksums_are_written_as_the_service_writes_them() {
        // Both from Google's documentation of `x-goog-hash`.
        for (text, expected) in [("", "AAAAAA=="), ("hello", "mnG7TA==")] {
            assert_eq!(checksum(crc32c::crc32c(text.as_bytes())), expected);
        }
    }
}
