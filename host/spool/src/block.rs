//! Records: what a segment consists of, and how one is told from damage.
//!
//! ```text
//! header   0  magic         8  FE "flagrec"
//!          8  format        1  1
//!          9  kind          1  1 events, 2 stream table, 3 index
//!         10  encoding      1  0 raw
//!         11  zero          1
//!         12  store         4  the store's id
//!         16  segment       8  the segment's sequence number
//!         24  position      8  the record's own offset in its file
//!         32  group         4  which sync of this segment made it durable
//!         36  payload size  4
//!         40  stream        4  \
//!         44  count         4   | of the events; zero in other kinds
//!         48  first         8  /
//!         56  appended at   8  Unix milliseconds
//!         64  bytes before  8  bytes of the stream's lines before this block, since the stream began
//!         72  payload crc   4  CRC32C of the payload
//!         76  name size     2
//!         78  name             the stream's name; empty in other kinds
//!          .  header crc    4  CRC32C of all above but the magic
//! payload                      events: canonical JSON lines, each ended by a newline
//! trailer                      the header again, with magic FE "flagend", then one byte FE
//! ```
//! Integers are little-endian. The trailer makes every single damaged byte of a header harmless and a lost payload countable. A record
//! names its store, segment and offset, so that bytes from elsewhere (an old file, an event that quotes a record) are never taken for
//! one; FE occurs in no UTF-8 text, so the magics occur in no payload. The first and the last byte of a record are not zero,
//! and no 512 bytes within it are: whole zero sectors mean that a write was cut short (see [`has_hole`]).

use crate::log::StreamId;

/// The format that this program writes, and the newest that it reads.
pub(crate) const FORMAT: u8 = 1;
/// Payload encoding: the lines as they are.
pub(crate) const RAW: u8 = 0;
/// Most events in one block.
pub(crate) const BLOCK_EVENTS: usize = 1_000;
/// Most bytes of lines in one block; one larger event is alone in its block. A damaged byte costs one block.
pub(crate) const BLOCK_BYTES: usize = 256 * 1024;

pub(crate) const MAGIC: [u8; 8] = *b"\xFEflagrec";
pub(crate) const END_MAGIC: [u8; 8] = *b"\xFEflagend";
/// First byte of both magics.
pub(crate) const MARK: u8 = 0xFE;
const FIXED: usize = 78;
/// What a disk writes whole.
const SECTOR: u64 = 512;

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Events = 1,
    Table = 2,
    Index = 3,
}

/// A record's header without the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) encoding: u8,
    pub(crate) store: u32,
    pub(crate) segment: u64,
    pub(crate) position: u64,
    pub(crate) group: u32,
    pub(crate) payload_len: u32,
    pub(crate) stream: StreamId,
    pub(crate) count: u32,
    pub(crate) first: u64,
    pub(crate) appended_at: u64,
    pub(crate) bytes_before: u64,
    pub(crate) payload_crc: u32,
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoHeader {
    /// Wrong magic, wrong checksum, or too few bytes.
    Damaged,
    /// Intact, but of a format that this program does not know.
    Newer(u8),
}

/// Bytes of a header whose name has `name` bytes.
pub(crate) const fn header_len(name: usize) -> usize {
    FIXED + name + 4
}

/// Bytes of a trailer.
pub(crate) const fn trailer_len(name: usize) -> usize {
    header_len(name) + 1
}

/// Bytes that a record adds to its payload.
pub(crate) const fn overhead(name: usize) -> usize {
    header_len(name) + trailer_len(name)
}

impl Header {
    /// Bytes of the whole record.
    pub(crate) fn record_len(&self, name: usize) -> u64 {
        overhead(name) as u64 + u64::from(self.payload_len)
    }

    /// Number after the last event.
    pub(crate) fn end(&self) -> u64 {
        self.first.saturating_add(u64::from(self.count))
    }
}

/// Writes a header (or, with [`END_MAGIC`], the trailer's part of it) into `out`, which is exactly [`header_len`] long.
///
/// The name must be shorter than 64 KiB: [`crate::disk_log`] checks it.
pub(crate) fn encode_header(header: &Header, name: &[u8], magic: [u8; 8], out: &mut [u8]) {
    out[0..8].copy_from_slice(&magic);
    out[8] = FORMAT;
    out[9] = header.kind as u8;
    out[10] = header.encoding;
    out[11] = 0;
    out[12..16].copy_from_slice(&header.store.to_le_bytes());
    out[16..24].copy_from_slice(&header.segment.to_le_bytes());
    out[24..32].copy_from_slice(&header.position.to_le_bytes());
    out[32..36].copy_from_slice(&header.group.to_le_bytes());
    out[36..40].copy_from_slice(&header.payload_len.to_le_bytes());
    out[40..44].copy_from_slice(&header.stream.0.to_le_bytes());
    out[44..48].copy_from_slice(&header.count.to_le_bytes());
    out[48..56].copy_from_slice(&header.first.to_le_bytes());
    out[56..64].copy_from_slice(&header.appended_at.to_le_bytes());
    out[64..72].copy_from_slice(&header.bytes_before.to_le_bytes());
    out[72..76].copy_from_slice(&header.payload_crc.to_le_bytes());
    out[76..78].copy_from_slice(&u16::try_from(name.len()).unwrap_or(u16::MAX).to_le_bytes());
    out[FIXED..FIXED + name.len()].copy_from_slice(name);
    let crc = crc32c::crc32c(&out[8..FIXED + name.len()]);
    out[FIXED + name.len()..].copy_from_slice(&crc.to_le_bytes());
}

/// Completes a record in `buf`: `start` is where [`header_len`] bytes were left free, the payload is everything after them.
pub(crate) fn finish_record(buf: &mut bytes::BytesMut, start: usize, mut header: Header, name: &[u8]) -> Header {
    let payload = start + header_len(name.len());
    header.payload_len = u32::try_from(buf.len() - payload).unwrap_or(u32::MAX);
    header.payload_crc = crc32c::crc32c(&buf[payload..]);
    encode_header(&header, name, MAGIC, &mut buf[start..payload]);
    let trailer = buf.len();
    buf.resize(trailer + header_len(name.len()), 0);
    // The trailer is the header with another magic.
    buf.copy_within(start + 8..payload, trailer + 8);
    buf[trailer..trailer + 8].copy_from_slice(&END_MAGIC);
    buf.extend_from_slice(&[MARK]);
    header
}

/// A whole record.
pub(crate) fn record(header: Header, name: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut buf = bytes::BytesMut::zeroed(header_len(name.len()));
    buf.extend_from_slice(payload);
    finish_record(&mut buf, 0, header, name);
    buf.into()
}

/// Reads the header at the start of `bytes`, which may go on after it; returns it and its name.
pub(crate) fn decode_header(bytes: &[u8], magic: [u8; 8]) -> Result<(Header, &[u8]), NoHeader> {
    let damaged = NoHeader::Damaged;
    let fixed = bytes.get(..FIXED).ok_or(damaged)?;
    if fixed[..8] != magic {
        return Err(damaged);
    }
    let name_len = usize::from(u16::from_le_bytes([fixed[76], fixed[77]]));
    let checked = bytes.get(8..FIXED + name_len).ok_or(damaged)?;
    let crc = bytes.get(FIXED + name_len..FIXED + name_len + 4).ok_or(damaged)?;
    if crc32c::crc32c(checked).to_le_bytes() != crc {
        return Err(damaged);
    }
    if fixed[8] != FORMAT {
        return Err(NoHeader::Newer(fixed[8]));
    }
    let kind = match fixed[9] {
        1 => Kind::Events,
        2 => Kind::Table,
        3 => Kind::Index,
        _ => return Err(damaged),
    };
    let header = Header {
        kind,
        encoding: fixed[10],
        store: u32_at(fixed, 12),
        segment: u64_at(fixed, 16),
        position: u64_at(fixed, 24),
        group: u32_at(fixed, 32),
        payload_len: u32_at(fixed, 36),
        stream: StreamId(u32_at(fixed, 40)),
        count: u32_at(fixed, 44),
        first: u64_at(fixed, 48),
        appended_at: u64_at(fixed, 56),
        bytes_before: u64_at(fixed, 64),
        payload_crc: u32_at(fixed, 72),
    };
    Ok((header, &bytes[FIXED..FIXED + name_len]))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Whether a record was only partly written: some sector holds none of it, or its trailer is not there. `bytes` is the record as far as
/// the file has it, `position` its offset, `len` its full length. A complete record has a byte that is not zero in every sector that it touches.
pub(crate) fn has_hole(bytes: &[u8], position: u64, len: u64, name: usize) -> bool {
    if (bytes.len() as u64) < len {
        return true;
    }
    let empty = |part: &[u8]| part.iter().all(|byte| *byte == 0);
    // A write that ended early, in the middle of a sector.
    if empty(&bytes[bytes.len() - trailer_len(name)..]) {
        return true;
    }
    let mut from = 0u64;
    while from < len {
        let to = len.min(((position + from) / SECTOR + 1) * SECTOR - position);
        if empty(&bytes[from as usize..to as usize]) {
            return true;
        }
        from = to;
    }
    false
}
