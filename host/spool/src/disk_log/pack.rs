//! From a group's parts to records: events of one stream share blocks, large requests are cut into several.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use flagpost_event::StreamName;

use super::state::NewBlock;
use crate::block::{self, BLOCK_BYTES, BLOCK_EVENTS, Header, Kind, RAW};
use crate::log::{Part, StreamId};
use crate::segment::map::BlockAt;

/// Bytes that are written at once.
const CHUNK_BYTES: usize = 4 * 1024 * 1024;

/// Where a group goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) store: u32,
    pub(super) segment: u64,
    pub(super) group: u32,
    pub(super) position: u64,
    pub(super) now: u64,
}

/// A stream as the packer sees it.
#[derive(Clone, Debug)]
pub(super) struct Next {
    pub(super) name: StreamName,
    pub(super) number: u64,
    pub(super) bytes: u64,
}

/// Records that are written together.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) position: u64,
    pub(super) bytes: Bytes,
    pub(super) blocks: Vec<NewBlock>,
}

/// At least as many bytes as a group takes.
pub(super) fn estimate(parts: &[Part], longest_name: usize) -> u64 {
    let blocks = |part: &Part| 2 + part.count as usize / BLOCK_EVENTS + 2 * part.lines.len() / BLOCK_BYTES;
    let size = |part: &Part| (part.lines.len() + blocks(part) * block::overhead(longest_name)) as u64;
    parts.iter().map(size).sum()
}

/// Packs parts, stream by stream in the order given, and hands over a chunk whenever one is full.
#[derive(Debug)]
pub(super) struct Packer<F> {
    place: Place,
    buf: BytesMut,
    blocks: Vec<(Header, Range<usize>)>,
    sink: F,
}

/// The block that is being filled.
struct Open<'a> {
    start: usize,
    name: &'a [u8],
    count: usize,
    bytes: usize,
}

impl<E, F: FnMut(Chunk) -> Result<(), E>> Packer<F> {
    pub(super) fn new(place: Place, capacity: u64, sink: F) -> Self {
        let capacity = usize::try_from(capacity).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES + CHUNK_BYTES / 4);
        Packer { place, buf: BytesMut::with_capacity(capacity), blocks: Vec::new(), sink }
    }

    /// Packs all parts of one stream.
    pub(super) fn stream<'p>(&mut self, id: StreamId, next: &mut Next, parts: impl Iterator<Item = &'p Part>) -> Result<(), E> {
        let name = next.name.to_string();
        let mut open: Option<Open<'_>> = None;
        for part in parts {
            let mut lines: &[u8] = &part.lines;
            let mut left = part.count as usize;
            while left > 0 {
                if let Some(block) = open.as_mut() {
                    // A small part that does not fit goes into a block of its own, whole; a large one is cut.
                    let fits = block.count + left <= BLOCK_EVENTS && block.bytes + lines.len() <= BLOCK_BYTES;
                    if fits {
                        self.buf.extend_from_slice(lines);
                        block.count += left;
                        block.bytes += lines.len();
                        break;
                    }
                }
                if let Some(block) = open.take() {
                    self.finish(block, id, next)?;
                }
                let mut block = self.begin(name.as_bytes());
                let (count, bytes) = if left <= BLOCK_EVENTS && lines.len() <= BLOCK_BYTES { (left, lines.len()) } else { cut(lines) };
                self.buf.extend_from_slice(&lines[..bytes]);
                (block.count, block.bytes) = (count, bytes);
                open = Some(block);
                lines = &lines[bytes..];
                left -= count;
            }
        }
        match open {
            Some(block) => self.finish(block, id, next),
            None => Ok(()),
        }
    }

    fn begin<'a>(&mut self, name: &'a [u8]) -> Open<'a> {
        let start = self.buf.len();
        self.buf.resize(start + block::header_len(name.len()), 0);
        Open { start, name, count: 0, bytes: 0 }
    }

    fn finish(&mut self, open: Open<'_>, stream: StreamId, next: &mut Next) -> Result<(), E> {
        let header = Header {
            kind: Kind::Events,
            encoding: RAW,
            store: self.place.store,
            segment: self.place.segment,
            position: self.place.position + open.start as u64,
            group: self.place.group,
            payload_len: 0,
            stream,
            count: open.count as u32,
            first: next.number,
            appended_at: self.place.now,
            bytes_before: next.bytes,
            payload_crc: 0,
        };
        let header = block::finish_record(&mut self.buf, open.start, header, open.name);
        let payload = open.start + block::header_len(open.name.len());
        self.blocks.push((header, payload..payload + open.bytes));
        next.number += open.count as u64;
        next.bytes += open.bytes as u64;
        if self.buf.len() >= CHUNK_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), E> {
        let bytes = std::mem::take(&mut self.buf).freeze();
        let blocks = self.blocks.drain(..).map(|(header, lines)| NewBlock {
            stream: header.stream,
            at: BlockAt {
                first: header.first,
                count: header.count,
                position: header.position,
                bytes_before: header.bytes_before,
                bytes: u64::from(header.payload_len),
                at: header.appended_at,
            },
            lines: Some(bytes.slice(lines)),
        });
        let chunk = Chunk { position: self.place.position, blocks: blocks.collect(), bytes: bytes.clone() };
        self.place.position += bytes.len() as u64;
        (self.sink)(chunk)
    }

    /// Hands over what is left and says where the group ends in the file.
    pub(super) fn end(mut self) -> Result<u64, E> {
        if !self.buf.is_empty() {
            self.flush()?;
        }
        Ok(self.place.position)
    }
}

/// How many events and bytes of `lines` fill a block: at least one event.
fn cut(lines: &[u8]) -> (usize, usize) {
    let (mut count, mut bytes) = (0, 0);
    for end in memchr::memchr_iter(b'\n', lines) {
        if count > 0 && (count == BLOCK_EVENTS || end + 1 > BLOCK_BYTES) {
            break;
        }
        count += 1;
        bytes = end + 1;
    }
    (count, bytes)
}
