//! The interface `wasi:http`, outgoing side: what `fetch`, `wstd` and their like use.

use std::time::Duration;

use futures_util::{TryStreamExt as _, stream};
use http_body::Frame;
use http_body_util::{BodyDataStream, BodyExt as _, StreamBody};
use tokio::time::{Instant, timeout};
use url::Url;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::{MAX_RESPONSE_BYTES, Outbound, budget, denial_in, describe};
use crate::policy::Denial;

/// One instance's hooks.
pub(crate) struct WasiHooks {
    outbound: Outbound,
    deadline: Instant,
}

impl WasiHooks {
    pub(crate) fn new(outbound: Outbound) -> Self {
        WasiHooks { outbound, deadline: Instant::now() }
    }

    /// A new call: requests end before it does.
    pub(crate) fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }
}

/// What tells the guest of an error in sending its own request's body, or of the response: nothing of ours does.
type Done = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for WasiHooks {
    /// The client sets it from the URL.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _response_processed: Done,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, Done), Error>> + Send> {
        let (outbound, deadline) = (self.outbound.clone(), self.deadline);
        Box::new(async move {
            let response = outbound.send_wasi(request, options.unwrap_or_default(), deadline).await?;
            Ok((response, Box::new(async { Ok(()) }) as Done))
        })
    }
}

impl Outbound {
    async fn send_wasi(
        &self,
        request: http::Request<WasiBody>,
        options: RequestOptions,
        deadline: Instant,
    ) -> Result<http::Response<WasiBody>, Error> {
        let (parts, body) = request.into_parts();
        if parts.method == http::Method::CONNECT {
            return Err(Error::HttpRequestMethodInvalid);
        }
        let url = Url::parse(&parts.uri.to_string()).map_err(|_| Error::HttpRequestUriInvalid)?;
        if let Err(denial) = self.check(&parts.method, &url) {
            // A guest that still writes would see a closed stream and never ask why.
            drop(timeout(budget(deadline), drain(body)).await);
            return Err(denied(&denial));
        }
        let client = self.client().map_err(|why| Error::InternalError(Some(why)))?;
        let budget = budget(deadline);
        let outgoing = client
            .request(parts.method, url)
            .headers(parts.headers)
            .timeout(budget)
            .body(reqwest::Body::wrap_stream(BodyDataStream::new(body)));
        let first_byte = options.first_byte_timeout.unwrap_or(budget);
        let response = timeout(first_byte, outgoing.send()).await.map_err(|_| Error::ConnectionReadTimeout)?;
        let response = response.map_err(|why| self.wasi_error(why))?;
        Ok(self.clone().wasi_response(response, options.between_bytes_timeout.unwrap_or(budget)))
    }

    fn wasi_response(self, mut response: reqwest::Response, between_bytes: Duration) -> http::Response<WasiBody> {
        let mut head = http::Response::new(());
        *head.status_mut() = response.status();
        *head.headers_mut() = std::mem::take(response.headers_mut());
        let chunks = stream::try_unfold((self, response, 0), move |(outbound, mut response, seen)| async move {
            let chunk = timeout(between_bytes, response.chunk()).await.map_err(|_| Error::ConnectionReadTimeout)?;
            let Some(chunk) = chunk.map_err(|why| outbound.wasi_error(why))? else { return Ok(None) };
            let seen = seen + chunk.len();
            if seen > MAX_RESPONSE_BYTES {
                outbound.0.counters.http_truncated.one();
                return Err(Error::HttpResponseBodySize(Some(MAX_RESPONSE_BYTES as u64)));
            }
            Ok(Some((chunk, (outbound, response, seen))))
        });
        head.map(|()| StreamBody::new(chunks.map_ok(Frame::data)).boxed_unsync())
    }

    fn wasi_error(&self, why: reqwest::Error) -> Error {
        if let Some(denial) = denial_in(&why) {
            self.denied(denial);
            return denied(denial);
        }
        match (why.is_timeout(), why.is_connect()) {
            (true, true) => Error::ConnectionTimeout,
            (true, false) => Error::HttpResponseTimeout,
            (false, true) => Error::ConnectionRefused,
            (false, false) => Error::InternalError(Some(describe(why))),
        }
    }
}

/// Reads a body to its end and keeps nothing.
async fn drain(mut body: WasiBody) {
    while let Some(Ok(_)) = body.frame().await {}
}

/// The code has no room for the text; the log has it.
fn denied(denial: &Denial) -> Error {
    match denial {
        Denial::Host { .. } | Denial::Method { .. } => Error::HttpRequestDenied,
        Denial::Address { .. } | Denial::Metadata { .. } => Error::DestinationIpProhibited,
        Denial::NotHttp { .. } => Error::HttpRequestUriInvalid,
    }
}
