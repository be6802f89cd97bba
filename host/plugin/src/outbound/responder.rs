//! Answers in place of the network: an author tries a plugin without a destination, and nothing leaves the machine.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use url::Url;

use super::Outbound;

/// Answers guests' requests, by either interface, in this process.
pub trait Responder: Send + Sync + fmt::Debug {
    /// The answer to a request. Called in the order in which one instance sends.
    ///
    /// # Errors
    ///
    /// No answer comes.
    fn answer(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Unanswered>;
}

/// Why no answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// Nobody answers in time.
    #[error("no answer in time")]
    Timeout,
    /// There is no connection.
    #[error("connection refused")]
    Connect,
}

impl Outbound {
    /// The responder's answer; `None`: there is no responder.
    pub(super) fn answer(
        &self,
        method: &Method,
        url: &Url,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Option<Result<Response<Bytes>, Unanswered>> {
        let responder = self.0.way.responder.as_ref()?;
        let mut request = Request::new(body);
        *request.method_mut() = method.clone();
        *request.headers_mut() = headers.clone();
        // It was checked to be one before.
        *request.uri_mut() = url.as_str().parse().ok()?;
        Some(responder.answer(request))
    }
}
