//! `POST /v1/data/collector`: upstream's observable behaviour (its handler, relay proxy v1.5x), with a durable log behind it. And `POST
//! /v1/data/exported`, which takes what upstream's `webhook` exporter sends by the same rules.
//!
//! Exactly 200 with `{"ingestedContentCount":N}` once the events survive a crash: clients resend on anything else, most of them for
//! ever, so one bad event never rejects its batch, and whatever is refused is refused before anything of it was taken.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use flagpost_event::collect::CollectError;
use flagpost_spool::AppendError;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body::Body;

use super::body::{ReadError, Reply};
use super::inflate::Encoding;
use super::keys::LookupError;
use super::room::NoRoom;
use super::signature::{SignatureError, Signed};
use super::work::{self, Sent};
use super::{Door, auth, body};
use crate::intake::Intake;

/// What upstream's errors begin with.
pub(super) const PREFIX: &str = "collectEvalData: invalid input data";

/// Which of the two routes takes the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// `POST /v1/data/collector`: from clients.
    Clients,
    /// `POST /v1/data/exported`: from upstream's `webhook` exporter; its events are final.
    Exporter,
}

/// Takes a request's events.
pub(crate) async fn collect<B>(door: &Door, request: Request<B>, source: Source) -> Response<Reply>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let started = Instant::now();
    let caller = {
        let access = door.keys.now();
        let headers = request.headers();
        auth::user(&access, headers).map(|()| access.intake(auth::routing_key(headers)).cloned())
    };
    let stats = match &caller {
        Ok(Ok(intake)) => intake.stats(),
        Ok(Err(_)) | Err(_) => door.intakes.strangers(),
    }
    .clone();
    let taken = match caller {
        Ok(intake) => taken(door, request, source, intake).await,
        Err(error) => Err(Refusal::Now(StatusCode::UNAUTHORIZED, error.to_string())),
    };
    let response = match taken {
        Ok(count) => {
            if source == Source::Clients {
                stats.count_ingested(count);
            }
            accepted(count)
        }
        Err(refusal) => refusal.into_response(),
    };
    stats.count_request(response.status().as_u16(), started.elapsed());
    response
}

/// `{"ingestedContentCount":N}` and a newline.
fn accepted(count: u64) -> Response<Reply> {
    Reply::json(StatusCode::OK, format!("{{\"ingestedContentCount\":{count}}}\n"))
}

/// As upstream does, the flag set is asked for last: a body that is no request is refused for that whoever sends it.
async fn taken<B>(door: &Door, request: Request<B>, source: Source, intake: Result<Arc<Intake>, LookupError>) -> Result<u64, Refusal>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if door.ending.draining.is_cancelled() {
        return Err(Refusal::ending());
    }
    if let Ok(intake) = &intake {
        intake.admit().map_err(|refused| Refusal::Later(StatusCode::TOO_MANY_REQUESTS, refused.message, refused.retry_after))?;
    }
    let (head, body) = request.into_parts();
    // One snapshot for the whole request.
    let limits = door.limits.load_full();
    let signed = match &limits.webhook_secret {
        Some(secret) if source == Source::Exporter => Some(Signed::of(secret.clone(), &head.headers)?),
        _ => None,
    };
    // Upstream looks at the length before the type: an empty body is an empty request, whatever it says it is.
    if body.is_end_stream() {
        return Err(CollectError::NoEvents.into());
    }
    check_type(&head.headers)?;
    let encoding = match head.headers.get(header::CONTENT_ENCODING) {
        None => None,
        Some(value) => Encoding::named(value.as_bytes()).map_err(|why| Refusal::bad(format!("{PREFIX} code=415, message={why}")))?,
    };
    let mut hold = door.room.hold();
    let read = tokio::select! {
        read = body::read(body, limits.max_body, limits.body_timeout, &mut hold) => read,
        () = door.ending.cut.cancelled() => return Err(Refusal::ending()),
    };
    let body = read.map_err(|error| Refusal::unread(error, &limits))?;
    // The lines are held until the log has them.
    let (collected, _hold) = work::decoded(&door.room, hold, Sent { body, encoding, source, signed }, &limits).await?;
    let intake = intake.map_err(|error| Refusal::bad(format!("error while getting flagset: {error}")))?;
    let count = collected.ingested;
    intake.store(collected).await?;
    Ok(count)
}

/// Upstream's rules on `Content-Type` (echo's default binder): JSON is decoded, forms and XML bind to nothing, anything else is refused.
fn check_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let value = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let kind = value.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    match kind {
        b"application/json" => Ok(()),
        b"application/x-www-form-urlencoded" | b"multipart/form-data" | b"application/xml" | b"text/xml" => {
            Err(CollectError::NoEvents.into())
        }
        _ => Err(Refusal::bad(format!("{PREFIX} code=415, message=Unsupported Media Type"))),
    }
}

/// Why a request was not taken.
#[derive(Debug)]
pub(super) enum Refusal {
    /// A status and its message.
    Now(StatusCode, String),
    /// The same, and when the client may come again.
    Later(StatusCode, String, Duration),
}

impl Refusal {
    fn ending() -> Refusal {
        Refusal::Later(StatusCode::SERVICE_UNAVAILABLE, "the relay is shutting down".to_owned(), Duration::from_secs(1))
    }

    pub(super) fn bad(message: String) -> Refusal {
        Refusal::Now(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn large(why: String) -> Refusal {
        Refusal::Now(StatusCode::PAYLOAD_TOO_LARGE, format!("collectEvalData: {why}"))
    }

    fn unread(error: ReadError, limits: &crate::config::Collector) -> Refusal {
        match error {
            ReadError::NoRoom(why) => why.into(),
            ReadError::TooLarge => Refusal::large(format!("the body is larger than {} bytes (`collector.maxBody`)", limits.max_body)),
            ReadError::TooSlow => Refusal::Now(
                StatusCode::REQUEST_TIMEOUT,
                format!("collectEvalData: the body took longer than {} ms (`collector.bodyTimeout`)", limits.body_timeout.as_millis()),
            ),
            ReadError::Broken(why) => Refusal::bad(format!("{PREFIX} code=400, message={why}")),
        }
    }

    fn into_response(self) -> Response<Reply> {
        match self {
            Refusal::Now(status, message) => Reply::error(status, &message),
            Refusal::Later(status, message, after) => {
                let mut response = Reply::error(status, &message);
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
                response
            }
        }
    }
}

impl From<SignatureError> for Refusal {
    fn from(error: SignatureError) -> Self {
        Refusal::Now(StatusCode::UNAUTHORIZED, error.to_string())
    }
}

impl From<CollectError> for Refusal {
    fn from(error: CollectError) -> Self {
        let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
        Refusal::Now(status, error.message())
    }
}

impl From<NoRoom> for Refusal {
    fn from(why: NoRoom) -> Self {
        match why {
            NoRoom::Busy { most } => {
                let message = format!("the requests that are being taken hold {most} bytes already (`collector.maxInFlight`)");
                Refusal::Later(StatusCode::TOO_MANY_REQUESTS, message, Duration::from_secs(1))
            }
            NoRoom::Never { most } => Refusal::large(format!(
                "the request takes more memory than the {most} bytes that all requests together may take (`collector.maxInFlight`)"
            )),
        }
    }
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Self {
        let status = match error {
            AppendError::TooLarge { .. } => return Refusal::large(error.to_string()),
            AppendError::Full { .. } => StatusCode::TOO_MANY_REQUESTS,
            AppendError::Disk { .. } | AppendError::Closed => StatusCode::SERVICE_UNAVAILABLE,
        };
        Refusal::Later(status, error.to_string(), Duration::from_secs(1))
    }
}
