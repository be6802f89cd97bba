//! The interface `wasi:http`, outgoing side: what `fetch`, `wstd` and their like use.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flagpost_exporter::chain_without_url;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt as _, Full, StreamBody};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};
use url::Url;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::redirect::Hop;
use super::{MAX_RESPONSE_BYTES, Outbound, Unanswered, Way, budget, denial_in};
use crate::guest::MAX_HOSTCALL_BYTES;
use crate::policy::Denial;
use crate::secrets::Blanking;

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
        let (outbound, deadline, turn) = (self.outbound.clone(), self.deadline, self.outbound.queue_up());
        Box::new(async move {
            let turn = timeout(budget(deadline), turn).await.ok().flatten().ok_or(Error::ConnectionLimitReached)?;
            let response = outbound.send_wasi(request, options.unwrap_or_default(), turn, deadline).await?;
            Ok((response, Box::new(async { Ok(()) }) as Done))
        })
    }
}

impl Outbound {
    async fn send_wasi(
        &self,
        request: http::Request<WasiBody>,
        options: RequestOptions,
        turn: OwnedSemaphorePermit,
        deadline: Instant,
    ) -> Result<http::Response<WasiBody>, Error> {
        let (parts, body) = request.into_parts();
        let body = Upload(Arc::new(Mutex::new(body)));
        if parts.method == http::Method::CONNECT {
            return Err(Error::HttpRequestMethodInvalid);
        }
        let url = Url::parse(&parts.uri.to_string()).map_err(|_| Error::HttpRequestUriInvalid)?;
        let (guests, mut headers) = (parts.headers.clone(), parts.headers);
        if let Err(denial) = self.check(&parts.method, &url).and_then(|()| self.attach(&parts.method, &url, &mut headers)) {
            drop(timeout(budget(deadline), body.drain()).await);
            return Err(denied(&denial));
        }
        if self.0.way.responder.is_some() {
            let sent = timeout(budget(deadline), body.collect()).await.map_err(|_| Error::ConnectionWriteTimeout)??;
            self.0.way.secrets.check_body(&sent).inspect_err(|denial| self.denied(denial)).map_err(|denial| denied(&denial))?;
            let answered = self.answer(&parts.method, &url, &headers, sent).unwrap_or(Err(Unanswered::Connect));
            return answered
                .map_err(|why| match why {
                    Unanswered::Timeout => Error::HttpResponseTimeout,
                    Unanswered::Connect => Error::ConnectionRefused,
                })
                .map(|reply| reply.map(|body| Full::new(body).map_err(|never| match never {}).boxed_unsync()));
        }
        let between_bytes = options.between_bytes_timeout.unwrap_or(budget(deadline));
        let hop = Hop { method: parts.method, url, with_body: true };
        let response = if self.0.way.http.redirects == 0 {
            self.stream_wasi(hop, headers, body, &options, deadline).await
        } else {
            self.follow_wasi(hop, guests, body, &options, deadline).await
        };
        Ok(self.clone().wasi_response(response?, turn, between_bytes))
    }

    /// One request, its body passed on as it comes.
    async fn stream_wasi(
        &self,
        hop: Hop,
        headers: http::HeaderMap,
        body: Upload,
        options: &RequestOptions,
        deadline: Instant,
    ) -> Result<reqwest::Response, Error> {
        let budget = budget(deadline);
        let mut check = self.0.way.secrets.body_check();
        let checked = body.clone().into_stream().map(move |piece| {
            let piece = piece.map_err(Stopped::Guest)?;
            check.pass(&piece).map_err(Stopped::Denied)?;
            Ok::<_, Stopped>(piece)
        });
        let client = self.client().map_err(|why| Error::InternalError(Some(why)))?;
        let outgoing = client.request(hop.method, hop.url).headers(headers).timeout(budget).body(reqwest::Body::wrap_stream(checked));
        match timeout(options.first_byte_timeout.unwrap_or(budget), outgoing.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(why)) => {
                drop(timeout(budget, body.drain()).await);
                Err(self.wasi_error(why))
            }
            Err(_) => Err(Error::ConnectionReadTimeout),
        }
    }

    /// Follows where the answers lead, as the operator wishes: so the body is read to its end first, and goes again with each hop. `headers`
    /// are the guest's own.
    async fn follow_wasi(
        &self,
        mut hop: Hop,
        mut headers: http::HeaderMap,
        body: Upload,
        options: &RequestOptions,
        deadline: Instant,
    ) -> Result<reqwest::Response, Error> {
        let until = Instant::now() + budget(deadline);
        let whole = tokio::time::timeout_at(until, body.collect()).await.map_err(|_| Error::ConnectionWriteTimeout)??;
        self.0.way.secrets.check_body(&whole).inspect_err(|denial| self.denied(denial)).map_err(|denial| denied(&denial))?;
        let client = self.client().map_err(|why| Error::InternalError(Some(why)))?;
        let mut left = self.0.way.http.redirects;
        let mut first = true;
        loop {
            if !std::mem::take(&mut first) {
                self.check(&hop.method, &hop.url).map_err(|denial| denied(&denial))?;
            }
            let mut filled = headers.clone();
            self.attach(&hop.method, &hop.url, &mut filled).map_err(|denial| denied(&denial))?;
            let rest = until.saturating_duration_since(Instant::now());
            let mut outgoing = client.request(hop.method.clone(), hop.url.clone()).headers(filled).timeout(rest);
            if hop.with_body && !whole.is_empty() {
                outgoing = outgoing.body(whole.clone());
            }
            let response = timeout(options.first_byte_timeout.unwrap_or(rest), outgoing.send()).await;
            let response = response.map_err(|_| Error::ConnectionReadTimeout)?.map_err(|why| self.wasi_error(why))?;
            let Some(next) = (left > 0).then(|| hop.after(&response, &mut headers)).flatten() else { return Ok(response) };
            left -= 1;
            hop = next;
        }
    }

    fn wasi_response(
        self,
        mut response: reqwest::Response,
        turn: OwnedSemaphorePermit,
        between_bytes: Duration,
    ) -> http::Response<WasiBody> {
        let mut head = http::Response::new(());
        *head.status_mut() = response.status();
        *head.headers_mut() = std::mem::take(response.headers_mut());
        let blanked = self.0.way.secrets.blank_headers(head.headers_mut());
        if blanked {
            self.0.way.counters.secrets_blanked.one();
        }
        let blanking = self.0.way.secrets.blanking();
        let begun = Reading { blanking, blanked, outbound: self, response, _turn: turn, seen: 0, ended: false };
        let chunks = stream::try_unfold(begun, move |mut reading| async move {
            let chunk = reading.next(between_bytes).await?;
            Ok(chunk.map(|chunk| (chunk, reading)))
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
            (false, false) => Error::InternalError(Some(chain_without_url(why))),
        }
    }
}

/// A response's body on its way in.
struct Reading {
    outbound: Outbound,
    response: reqwest::Response,
    blanking: Blanking,
    /// Whether that was counted: an answer counts once.
    blanked: bool,
    /// Held until the body is read or dropped.
    _turn: OwnedSemaphorePermit,
    seen: usize,
    ended: bool,
}

impl Reading {
    /// The next piece, without what it may not echo.
    async fn next(&mut self, between_bytes: Duration) -> Result<Option<Bytes>, Error> {
        while !self.ended {
            let chunk = timeout(between_bytes, self.response.chunk()).await.map_err(|_| Error::ConnectionReadTimeout)?;
            let chunk = chunk.map_err(|why| self.outbound.wasi_error(why))?;
            self.ended = chunk.is_none();
            let Way { secrets, counters, .. } = &self.outbound.0.way;
            self.seen += chunk.as_ref().map_or(0, Bytes::len);
            if self.seen > MAX_RESPONSE_BYTES {
                counters.http_truncated.one();
                return Err(Error::HttpResponseBodySize(Some(MAX_RESPONSE_BYTES as u64)));
            }
            let (piece, blanked) = self.blanking.pass(secrets, chunk);
            if blanked && !std::mem::replace(&mut self.blanked, true) {
                counters.secrets_blanked.one();
            }
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }
}

/// The guest's body on its way out, which can be read to its end when the request failed: a guest that still writes would otherwise see a
/// closed stream, and never learn why.
#[derive(Clone)]
struct Upload(Arc<Mutex<WasiBody>>);

impl Upload {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Pin::new(&mut *body).poll_frame(cx)
    }

    /// The data; trailers are not sent.
    fn into_stream(self) -> impl Stream<Item = Result<Bytes, Error>> + Send {
        let frames = stream::poll_fn(move |cx| self.poll(cx));
        frames.try_filter_map(|frame| std::future::ready(Ok(frame.into_data().ok())))
    }

    /// All of it, if it is not too large to be kept.
    async fn collect(self) -> Result<Bytes, Error> {
        let whole = self.into_stream().try_fold(BytesMut::new(), |mut all, piece| async move {
            if all.len() + piece.len() > MAX_HOSTCALL_BYTES {
                return Err(Error::HttpRequestBodySize(Some(MAX_HOSTCALL_BYTES as u64)));
            }
            all.extend_from_slice(&piece);
            Ok(all)
        });
        Ok(whole.await?.freeze())
    }

    /// Reads the rest and keeps nothing.
    async fn drain(&self) {
        while let Some(Ok(_)) = std::future::poll_fn(|cx| self.poll(cx)).await {}
    }
}

/// Why a request's body ended before its end.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    #[error("it is refused")]
    Denied(#[source] Denial),
    #[error("the plugin broke off: {0:?}")]
    Guest(Error),
}

/// The code has no room for the text; the log has it.
fn denied(denial: &Denial) -> Error {
    match denial {
        Denial::Address { .. } | Denial::Metadata { .. } | Denial::MetadataName { .. } => Error::DestinationIpProhibited,
        Denial::NotHttp { .. } => Error::HttpRequestUriInvalid,
        _ => Error::HttpRequestDenied,
    }
}
