//! From a body to lines: where it is done, and what it may hold meanwhile.
//!
//! What is small is decoded where it arrived. All else could keep the thread from other requests, or take much memory, and waits for one of
//! a few turns first: large bodies, compressed ones, and small ones that turn out to become large, since `meta` is copied onto each event.

use std::sync::Arc;

use bytes::Bytes;
use flagpost_event::collect::{CollectError, CollectLimits, Collected, decode, decode_exported};
use http::StatusCode;

use super::collector::{PREFIX, Refusal, Source};
use super::inflate::{Encoding, InflateError, inflate};
use super::room::{Hold, Room};
use super::signature::Signed;
use crate::config::Collector;

/// Larger plain bodies are decoded off the threads that answer requests, in bytes.
const BIG_BODY: usize = 256 << 10;

/// The same for compressed bodies: a tenth of it is a usual ratio, and a bomb of this size is 4 MiB. Zstandard has no such bound.
const BIG_COMPRESSED_BODY: usize = 4 << 10;

/// The lines of a usual small request have at most this many times the bytes of its body: short events get their default values written out,
/// and `meta` is copied.
const USUAL_GROWTH: usize = 4;

/// The same for large requests, whose room counts.
const LARGE_GROWTH: usize = 2;

/// When they have more, this many times as much is tried next.
const NEXT_GROWTH: usize = 8;

/// The lines of the smallest requests, in bytes.
const SMALLEST: usize = 2 << 10;

/// What was sent.
pub(super) struct Sent {
    pub(super) body: Bytes,
    pub(super) encoding: Option<Encoding>,
    pub(super) source: Source,
    /// The sender's claim, if one has to be checked: it is about the body as it was sent.
    pub(super) signed: Option<Signed>,
}

/// Decodes a body. The hold that comes back is that of the lines.
pub(super) async fn decoded(room: &Room, mut hold: Hold, sent: Sent, limits: &Arc<Collector>) -> Result<(Collected, Hold), Refusal> {
    let Sent { body, encoding, source, mut signed } = sent;
    let in_place = match encoding {
        None => body.len() <= BIG_BODY,
        Some(Encoding::Gzip | Encoding::Deflate) => body.len() <= BIG_COMPRESSED_BODY,
        Some(Encoding::Zstd) => false,
    };
    let mut packed = Packed { body, encoding };
    let mut proved = move |packed: &Packed| signed.take().map_or(Ok(()), |signed| signed.check(&packed.body));
    let mut tried = 0;
    if in_place {
        proved(&packed)?;
        packed = packed.inflated(limits.max_inflated, &mut hold)?;
        if packed.body.len() <= BIG_BODY {
            tried = first_room(&packed.body);
            if let Some(collected) = lines(&packed.body, source, tried, &limits.limits, &mut hold)? {
                drop(packed);
                return Ok(settled(collected, hold));
            }
        }
    }
    let _turn = room.turns().acquire().await;
    let limits = limits.clone();
    let work = move || {
        proved(&packed)?;
        let text = packed.inflated(limits.max_inflated, &mut hold)?.body;
        let mut most = tried.saturating_mul(NEXT_GROWTH).max(first_room(&text));
        let collected = loop {
            match lines(&text, source, most, &limits.limits, &mut hold)? {
                Some(collected) => break collected,
                None => most = most.saturating_mul(NEXT_GROWTH),
            }
        };
        drop(text);
        Ok(settled(collected, hold))
    };
    // A panic in there is a defect, and costs this request only.
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Refusal::Now(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error".to_owned()))?
}

/// Of all that was held only the lines are left.
fn settled(collected: Collected, mut hold: Hold) -> (Collected, Hold) {
    hold.settle(collected.feature.bytes.capacity() + collected.tracking.bytes.capacity());
    (collected, hold)
}

/// A body and what it is packed in, if it is.
struct Packed {
    body: Bytes,
    encoding: Option<Encoding>,
}

impl Packed {
    fn inflated(self, limit: usize, hold: &mut Hold) -> Result<Packed, Refusal> {
        let Some(encoding) = self.encoding else { return Ok(self) };
        let text = inflate(encoding, &self.body, limit, hold).map_err(|error| match error {
            InflateError::TooLarge => Refusal::large(format!("the inflated body is larger than {limit} bytes (`collector.maxInflated`)")),
            InflateError::NoRoom(why) => why.into(),
            InflateError::Broken(why) => Refusal::bad(format!("{PREFIX} code=400, message=the compressed body cannot be inflated: {why}")),
        })?;
        if text.is_empty() {
            return Err(CollectError::NoEvents.into());
        }
        hold.shrink(self.body.len());
        Ok(Packed { body: Bytes::from(text), encoding: None })
    }
}

fn first_room(text: &[u8]) -> usize {
    let growth = if text.len() <= BIG_BODY { USUAL_GROWTH } else { LARGE_GROWTH };
    text.len().saturating_mul(growth).max(SMALLEST)
}

/// Decodes to at most `most` bytes of lines; `None` when there are more, and the configured limit allows them.
fn lines(text: &[u8], source: Source, most: usize, limits: &CollectLimits, hold: &mut Hold) -> Result<Option<Collected>, Refusal> {
    let most = most.min(limits.max_encoded_bytes);
    // A vector that grows, and lines that are written anew because `meta` stands behind them, are there twice.
    let room = most.saturating_mul(2);
    hold.grow(room)?;
    let decode = match source {
        Source::Clients => decode,
        Source::Exporter => decode_exported,
    };
    match decode(text, &CollectLimits { max_encoded_bytes: most, ..*limits }) {
        Ok(collected) => Ok(Some(collected)),
        Err(CollectError::TooLarge(_)) if most < limits.max_encoded_bytes => {
            hold.shrink(room);
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}
