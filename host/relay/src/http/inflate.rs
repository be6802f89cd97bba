//! Compressed bodies, inflated within a limit: 32 KiB of zeros can be a gigabyte.

use std::io::{self, Read};

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use super::room::{Hold, NoRoom};

/// A zstd frame may ask for a window of this many bytes, as a power of two: RFC 8878 recommends 8 MiB.
const ZSTD_WINDOW_LOG: u32 = 23;

/// `Content-Encoding` of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Gzip,
    Deflate,
    Zstd,
}

impl Encoding {
    /// The encoding that a header's value names; `Ok(None)` for none.
    pub(crate) fn named(value: &[u8]) -> Result<Option<Encoding>, String> {
        let text = String::from_utf8_lossy(value);
        match text.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(None),
            "gzip" | "x-gzip" => Ok(Some(Encoding::Gzip)),
            "deflate" => Ok(Some(Encoding::Deflate)),
            "zstd" => Ok(Some(Encoding::Zstd)),
            other => Err(format!("Content-Encoding `{}` is not supported: use gzip, deflate or zstd", other.escape_default())),
        }
    }
}

/// A body that was not inflated.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum InflateError {
    /// It has more bytes than the limit; nothing beyond was inflated.
    TooLarge,
    /// All requests together hold too much.
    NoRoom(NoRoom),
    /// It is not what its header says.
    Broken(String),
}

/// Inflates `body` to at most `limit` bytes; `hold` grows before they do.
pub(crate) fn inflate(encoding: Encoding, body: &[u8], limit: usize, hold: &mut Hold) -> Result<Vec<u8>, InflateError> {
    let broken = |error: io::Error| InflateError::Broken(error.to_string());
    match encoding {
        Encoding::Gzip => drain(MultiGzDecoder::new(body), body.len(), limit, hold),
        // The header means zlib, but many clients send bare deflate; a zlib stream begins with its method and a checksum of two bytes.
        Encoding::Deflate if is_zlib(body) => drain(ZlibDecoder::new(body), body.len(), limit, hold),
        Encoding::Deflate => drain(DeflateDecoder::new(body), body.len(), limit, hold),
        Encoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(body).map_err(broken)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(broken)?;
            drain(decoder, body.len(), limit, hold)
        }
    }
}

fn is_zlib(body: &[u8]) -> bool {
    matches!(body, [first, second, ..] if first & 0x0f == 8 && (u16::from(*first) << 8 | u16::from(*second)).is_multiple_of(31))
}

/// What a vector begins with, and what is read beyond the limit to tell that there is more, in bytes.
const FIRST: usize = 8 << 10;

fn drain(mut decoder: impl Read, compressed: usize, limit: usize, hold: &mut Hold) -> Result<Vec<u8>, InflateError> {
    let most = limit.saturating_add(1);
    let mut out: Vec<u8> = Vec::new();
    let mut room = compressed.saturating_mul(4).clamp(FIRST, 1 << 20).min(most);
    loop {
        // While a vector moves there are two of them.
        hold.grow(room).map_err(InflateError::NoRoom)?;
        let before = out.capacity();
        out.reserve_exact(room - out.len());
        hold.shrink(before);
        let free = room - out.len();
        let read = fill(&mut decoder, &mut out, free).map_err(|error| InflateError::Broken(error.to_string()))?;
        if read < free {
            return Ok(out);
        }
        if out.len() > limit {
            return Err(InflateError::TooLarge);
        }
        room = room.saturating_mul(2).min(most);
    }
}

/// Reads until the end or until `free` more bytes are there, into room that the vector has already.
fn fill(decoder: &mut impl Read, out: &mut Vec<u8>, free: usize) -> io::Result<usize> {
    let start = out.len();
    out.resize(start + free, 0);
    let mut read = 0;
    while read < free {
        match decoder.read(&mut out[start + read..]) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    out.truncate(start + read);
    Ok(read)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write;

    use flate2::Compression;

    use super::super::room::Room;
    use super::*;

    fn packed(encoding: &str, data: &[u8]) -> Vec<u8> {
        use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
        macro_rules! pack {
            ($encoder:ident) => {{
                let mut writer = $encoder::new(Vec::new(), Compression::fast());
                writer.write_all(data).unwrap();
                writer.finish().unwrap()
            }};
        }
        match encoding {
            "gzip" => pack!(GzEncoder),
            "zlib" => pack!(ZlibEncoder),
            "bare" => pack!(DeflateEncoder),
            _ => zstd::encode_all(data, 1).unwrap(),
        }
    }

    #[test]
    fn every_encoding_inflates_up_to_its_limit_and_not_beyond() {
        let data = br#"{"events":[]}"#.repeat(1000);
        let cases = [("gzip", Encoding::Gzip), ("zlib", Encoding::Deflate), ("bare", Encoding::Deflate), ("zstd", Encoding::Zstd)];
        for (name, encoding) in cases {
            let body = packed(name, &data);
            assert!(body.len() < data.len() / 10, "{name}");
            let room = Room::new(1 << 20);
            let inflate = |body: &[u8], limit| inflate(encoding, body, limit, &mut room.hold());
            assert_eq!(inflate(&body, data.len()).unwrap(), data, "{name}");
            assert_eq!(inflate(&body, data.len() - 1), Err(InflateError::TooLarge), "{name}");
            assert!(matches!(inflate(&body[..body.len() / 2], data.len()), Err(InflateError::Broken(_))), "{name} cut in half");
            assert!(matches!(inflate(b"{\"events\":[]}", 100), Err(InflateError::Broken(_))), "{name} of plain text");
            assert_eq!(room.counts(), (0, 0), "{name}");
        }
    }

    #[test]
    fn what_inflates_is_asked_for_before_it_is_there() {
        let body = packed("gzip", &vec![b' '; 8 << 20]);
        let room = Room::new(1 << 20);
        let mut hold = room.hold();
        assert_eq!(inflate(Encoding::Gzip, &body, 16 << 20, &mut hold), Err(InflateError::NoRoom(NoRoom::Never { most: 1 << 20 })));
        drop(hold);
        let mut other = room.hold();
        other.grow(1000 << 10).unwrap();
        assert_eq!(inflate(Encoding::Gzip, &body, 16 << 20, &mut room.hold()), Err(InflateError::NoRoom(NoRoom::Busy { most: 1 << 20 })));
    }

    #[test]
    fn a_small_body_cannot_ask_for_a_large_window() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(27).unwrap();
        encoder.write_all(&vec![b' '; 1 << 20]).unwrap();
        let body = encoder.finish().unwrap();
        assert!(matches!(inflate(Encoding::Zstd, &body, 2 << 20, &mut Room::new(8 << 20).hold()), Err(InflateError::Broken(_))));
    }

    #[test]
    fn names_are_read_in_any_case() {
        assert_eq!(Encoding::named(b"GZip"), Ok(Some(Encoding::Gzip)));
        assert_eq!(Encoding::named(b"x-gzip"), Ok(Some(Encoding::Gzip)));
        assert_eq!(Encoding::named(b"identity"), Ok(None));
        assert!(Encoding::named(b"br").unwrap_err().contains("`br`"));
        assert!(Encoding::named(b"gzip, gzip").is_err());
    }
}
