//! The interface `http`: one call, one request.

use std::time::Duration;

use bytes::Bytes;
use flagpost_exporter::chain_without_url;
use flagpost_plugin_bindings::flagpost::plugin::http::{Body, Request, Response, SendError};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri};
use tokio::time::Instant;
use url::Url;

use super::redirect::Hop;
use super::{MAX_RESPONSE_BYTES, Outbound, Unanswered, budget, denial_in};
use crate::policy::Denial;
use crate::text::cut;

/// Headers that belong to the connection or that the host sets itself.
const HOST_ONLY: [HeaderName; 9] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
    header::PROXY_AUTHORIZATION,
    header::PROXY_AUTHENTICATE,
];

impl Outbound {
    /// Sends one request and reads the whole answer, cut at [`MAX_RESPONSE_BYTES`]. `deadline`: when the guest's call ends.
    pub(crate) async fn send(&self, request: Request, deadline: Instant) -> Result<Response, SendError> {
        let other = |text: String| SendError::Other(cut(&text, 1024));
        let method = Method::from_bytes(request.method.to_ascii_uppercase().as_bytes())
            .map_err(|_| other(format!("`{}` is no HTTP method", request.method)))?;
        if method == Method::CONNECT {
            return Err(other("CONNECT is not served".to_owned()));
        }
        let url = Url::parse(&request.url).map_err(|why| other(format!("the URL cannot be read: {why}")))?;
        let mut headers = headers(&request.headers).map_err(other)?;
        let body = match request.body {
            Body::Empty => Bytes::new(),
            Body::Text(text) => text.into(),
            Body::Bytes(bytes) => bytes.into(),
        };

        if self.0.way.responder.is_some() {
            let denied = |denial: Denial| SendError::Denied(denial.to_string());
            self.check(&method, &url).map_err(denied)?;
            self.0.way.secrets.check_body(&body).inspect_err(|denial| self.denied(denial)).map_err(denied)?;
            self.attach(&method, &url, &mut headers).map_err(denied)?;
            return scripted(self.answer(&method, &url, &headers, body).unwrap_or(Err(Unanswered::Connect)));
        }
        let asked = request.timeout_ms.map(|ms| Duration::from_millis(ms.into()));
        let timeout = budget(deadline).min(asked.unwrap_or(Duration::MAX));
        let turn = tokio::time::timeout(timeout, self.queue_up()).await;
        let _turn = turn.ok().flatten().ok_or(SendError::Timeout)?;
        let until = Instant::now() + timeout;
        let mut hop = Hop { method, url, with_body: true };
        let mut left = self.0.way.http.redirects;
        loop {
            let body = if hop.with_body { body.clone() } else { Bytes::new() };
            let response = self.send_one(&hop.method, &hop.url, headers.clone(), body, until).await?;
            let Some(next) = (left > 0).then(|| hop.after(&response, &mut headers)).flatten() else {
                return self.read(response).await;
            };
            left -= 1;
            hop = next;
        }
    }

    /// One request, checked and with its secrets; its head is the answer.
    async fn send_one(
        &self,
        method: &Method,
        url: &Url,
        mut headers: HeaderMap,
        body: Bytes,
        until: Instant,
    ) -> Result<reqwest::Response, SendError> {
        let other = |text: String| SendError::Other(cut(&text, 1024));
        let denied = |denial: Denial| SendError::Denied(denial.to_string());
        self.check(method, url).map_err(denied)?;
        // What the client makes of a URL is what goes out; one that it cannot carry is an error here, not a panic there.
        url.as_str().parse::<Uri>().map_err(|why| other(format!("the URL cannot be sent: {why}")))?;
        self.0.way.secrets.check_body(&body).inspect_err(|denial| self.denied(denial)).map_err(denied)?;
        self.attach(method, url, &mut headers).map_err(denied)?;
        let timeout = until.saturating_duration_since(Instant::now());
        let mut outgoing = self.client().map_err(other)?.request(method.clone(), url.clone()).headers(headers).timeout(timeout);
        if !body.is_empty() {
            outgoing = outgoing.body(body);
        }
        outgoing.send().await.map_err(|why| self.failed(why))
    }

    async fn read(&self, mut response: reqwest::Response) -> Result<Response, SendError> {
        let status = response.status().as_u16();
        let mut blanked = self.0.way.secrets.blank_headers(response.headers_mut());
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = response.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|why| self.failed(why))? {
            let room = MAX_RESPONSE_BYTES - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                self.0.way.counters.http_truncated.one();
                break;
            }
        }
        blanked |= self.0.way.secrets.blank(&mut body);
        if blanked {
            self.0.way.counters.secrets_blanked.one();
        }
        let body = String::from_utf8(body).unwrap_or_else(|why| String::from_utf8_lossy(why.as_bytes()).into_owned());
        Ok(Response { status, headers, body })
    }

    fn failed(&self, why: reqwest::Error) -> SendError {
        if let Some(denial) = denial_in(&why) {
            self.denied(denial);
            return SendError::Denied(denial.to_string());
        }
        match (why.is_timeout(), why.is_connect()) {
            (true, _) => SendError::Timeout,
            (false, true) => SendError::Connect(chain_without_url(why)),
            (false, false) => SendError::Other(chain_without_url(why)),
        }
    }
}

/// A responder's words in the guest's.
fn scripted(answered: Result<http::Response<Bytes>, Unanswered>) -> Result<Response, SendError> {
    let reply = answered.map_err(|why| match why {
        Unanswered::Timeout => SendError::Timeout,
        Unanswered::Connect => SendError::Connect(why.to_string()),
    })?;
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = reply.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    Ok(Response { status: reply.status().as_u16(), headers, body: String::from_utf8_lossy(reply.body()).into_owned() })
}

fn headers(pairs: &[(String, String)]) -> Result<HeaderMap, String> {
    let mut map = HeaderMap::with_capacity(pairs.len());
    for (name, value) in pairs {
        let shown = cut(name, 64);
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{shown}` is no header name"))?;
        if HOST_ONLY.contains(&name) {
            return Err(format!("the header `{shown}` is set by the host"));
        }
        // The value is not repeated: it may be a key.
        let value = HeaderValue::from_str(value)
            .map_err(|_| format!("the value of the header `{shown}` has characters that no header may have"))?;
        map.append(name, value);
    }
    Ok(map)
}
