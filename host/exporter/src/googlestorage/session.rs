//! An upload in parts: a session that the service opens, and into which bytes are put one part after another.
//!
//! * Each part says where it stands: `bytes 0-41/*`; the last one says the size as well: `bytes 42-50/51`. So the newest part is held back until it is
//!   known whether it is the last one.
//! * A part that is not the last has a multiple of 256 KiB bytes. The service may take less of it than was sent and says so (308 and `Range`); the
//!   rest is sent again.
//! * The last reply is 200, and only then there is an object; or 412, when somebody else was quicker.
//! * The last part carries the checksum of all bytes: what was damaged on the way becomes no object.

use bytes::Bytes;
use url::Url;

use crate::google::Verdict;
use crate::objects::Put;

use super::http::{Http, Reply, checksum};

/// What the service answers while it wants more.
const MORE: u16 = 308;
/// The condition does not hold.
pub(super) const EXISTS: u16 = 412;

/// How often the rest of a part is sent again: each time the service has taken something.
const MOST_REST: usize = 64;

/// An upload that has begun.
#[derive(Debug)]
pub(crate) struct Session {
    /// A secret: whoever knows it can write. `None`: an object was there already when the session was asked for.
    url: Option<Url>,
    /// Bytes that the service holds.
    sent: u64,
    /// The newest part.
    held: Bytes,
    /// Of all parts so far.
    crc32c: u32,
}

impl Session {
    /// From the reply to the request for one.
    pub(super) fn of(reply: &Reply) -> Result<Session, Verdict> {
        let url = match reply.status {
            EXISTS => None,
            _ if !reply.is_success() => return Err(reply.verdict()),
            _ => Some(reply.location().ok_or_else(|| Verdict::passing("the service opened an upload and did not say where"))?),
        };
        Ok(Session { url, sent: 0, held: Bytes::new(), crc32c: 0 })
    }

    /// Takes the next part; sends the one before.
    pub(super) async fn part(&mut self, http: &Http, part: Bytes) -> Result<(), Verdict> {
        self.crc32c = crc32c::crc32c_append(self.crc32c, &part);
        let before = std::mem::replace(&mut self.held, part);
        match self.put(http, before, false).await? {
            None => Ok(()),
            Some(_) => Err(Verdict::passing("the service ended an upload before all was sent")),
        }
    }

    /// Sends the last part.
    pub(super) async fn complete(&mut self, http: &Http) -> Result<Put, Verdict> {
        let last = std::mem::take(&mut self.held);
        match self.put(http, last, true).await? {
            Some(put) => Ok(put),
            None => Err(Verdict::passing("the service wants more bytes than there are")),
        }
    }

    /// Tells the service that nobody goes on with it. Best effort.
    pub(super) async fn abort(self, http: &Http) {
        if let Some(url) = self.url {
            let request = http.client.delete(url).header("content-length", 0);
            if let Err(verdict) = http.send("giving an upload up", request).await {
                tracing::debug!(reason = verdict.reason, "an upload to Cloud Storage was not given up; it ends by itself");
            }
        }
    }

    /// Sends bytes until the service has them all. `Some`: it has ended the upload.
    async fn put(&mut self, http: &Http, mut bytes: Bytes, last: bool) -> Result<Option<Put>, Verdict> {
        let Some(url) = &self.url else { return Ok(last.then_some(Put::Exists)) };
        for _ in 0..MOST_REST {
            if bytes.is_empty() && !last {
                return Ok(None);
            }
            let mut request = http.client.put(url.clone()).header("content-range", range(self.sent, bytes.len() as u64, last));
            if last {
                request = request.header("x-goog-hash", format!("crc32c={}", checksum(self.crc32c)));
            }
            let reply = http.send("uploading", request.body(bytes.clone())).await?;
            match reply.status {
                MORE => {
                    let held = reply.persisted().and_then(|held| held.checked_sub(self.sent));
                    let Some(taken) = held.and_then(|taken| usize::try_from(taken).ok()).filter(|taken| *taken <= bytes.len()) else {
                        return Err(Verdict::passing("the service does not know what it was sent"));
                    };
                    self.sent += taken as u64;
                    bytes = bytes.split_off(taken);
                }
                EXISTS => return Ok(Some(Put::Exists)),
                _ if reply.is_success() => return Ok(Some(Put::Stored)),
                _ => return Err(reply.verdict()),
            }
        }
        Err(Verdict::passing("the service takes nothing of what it is sent"))
    }
}

/// `Content-Range` of so many bytes behind `sent` others.
fn range(sent: u64, bytes: u64, last: bool) -> String {
    let end = sent + bytes;
    let total = if last { end.to_string() } else { "*".to_owned() };
    match bytes {
        0 => format!("bytes */{total}"),
        _ => format!("bytes {sent}-{}/{total}", end - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn ranges_say_where_bytes_stand_and_the_last_one_how_many_there_are() {
        for (sent, bytes, last, expected) in [
            (0, 42, false, "bytes 0-41/*"),
            (42, 1, false, "bytes 42-42/*"),
            (42, 9, true, "bytes 42-50/51"),
            (51, 0, true, "bytes */51"),
            (0, 1, true, "bytes 0-0/1"),
        ] {
            assert_eq!(range(sent, bytes, last), expected);
        }
    }
}
