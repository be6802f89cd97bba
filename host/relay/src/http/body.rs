//! Bodies: what is answered, and how a request's body is read within its limits.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::visit::Visit;

/// An answer's body.
pub(crate) enum Reply {
    /// All of it at once.
    Full(Option<Bytes>),
    /// As it comes from upstream. The visit ends with it.
    Passed(Incoming, Box<Visit>),
    /// A stream without an end of its own, cut when the program ends.
    Endless(Incoming, Pin<Box<WaitForCancellationFutureOwned>>, Box<Visit>),
}

impl Reply {
    /// No body.
    pub(crate) fn empty() -> Reply {
        Reply::Full(None)
    }

    /// A JSON answer.
    pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Reply> {
        let mut response = Response::new(Reply::Full(Some(body.into())));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }

    /// Upstream's error body: `{"message":"…"}` and a newline.
    pub(crate) fn error(status: StatusCode, message: &str) -> Response<Reply> {
        let mut body = serde_json::json!({ "message": message }).to_string();
        body.push('\n');
        Reply::json(status, body)
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Reply::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Reply::Passed(incoming, visit) => tallied(Pin::new(incoming).poll_frame(context), visit),
            Reply::Endless(incoming, end, visit) => match end.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(None),
                Poll::Pending => tallied(Pin::new(incoming).poll_frame(context), visit),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Reply::Full(bytes) => bytes.is_none(),
            Reply::Passed(incoming, _) | Reply::Endless(incoming, ..) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Reply::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Reply::Passed(incoming, _) => incoming.size_hint(),
            Reply::Endless(..) => SizeHint::default(),
        }
    }
}

type Polled = Poll<Option<Result<Frame<Bytes>, hyper::Error>>>;

/// Counts what was sent.
fn tallied(polled: Polled, visit: &mut Visit) -> Polled {
    if let Poll::Ready(Some(Ok(frame))) = &polled {
        visit.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
    }
    polled
}

/// A request's body that was not read to its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ReadError {
    /// Over the limit.
    TooLarge,
    /// It took too long.
    TooSlow,
    /// The client went away, or does not speak HTTP.
    Broken(String),
}

/// Reads a whole body of at most `limit` bytes. One that arrives in one piece is not copied.
pub(crate) async fn read<B>(body: B, limit: usize, within: Duration) -> Result<Bytes, ReadError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if body.size_hint().lower() > limit as u64 {
        return Err(ReadError::TooLarge);
    }
    tokio::time::timeout(within, collect(body, limit)).await.unwrap_or(Err(ReadError::TooSlow))
}

async fn collect<B>(mut body: B, limit: usize) -> Result<Bytes, ReadError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| ReadError::Broken(error.into().to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        if first.as_ref().map_or(0, Bytes::len) + rest.len() + data.len() > limit {
            return Err(ReadError::TooLarge);
        }
        match &mut first {
            None => first = Some(data),
            Some(first) => {
                if rest.is_empty() {
                    rest.extend_from_slice(first);
                    *first = Bytes::new();
                }
                rest.extend_from_slice(&data);
            }
        }
        if body.is_end_stream() {
            break;
        }
    }
    Ok(if rest.is_empty() { first.unwrap_or_default() } else { rest.freeze() })
}
