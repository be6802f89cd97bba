//! The records of a file one after the other, with damage told from records.

use std::io;
use std::ops::Range;

use super::window::Window;
use crate::block::{self, END_MAGIC, Header, MAGIC, MARK, NoHeader};

/// A header is looked for in this many bytes: the longest name included.
const HEADER_VIEW: u64 = block::header_len(u16::MAX as usize) as u64;
/// What most headers need; the rest is read when a name is longer.
const SHORT_VIEW: u64 = 512;

/// What stands at a place of the file.
#[derive(Debug)]
pub(crate) enum Item {
    /// A record with an intact header or trailer.
    Record(Record),
    /// An intact header of a newer format, and which.
    Newer(u64, u8),
    /// Bytes that belong to no record.
    Garbage(Range<u64>),
    /// The end, and where the last record ended.
    End,
}

/// A record as it was found.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) header: Header,
    /// The stream's name.
    pub(crate) name: Vec<u8>,
    /// Where the payload is in the file.
    pub(crate) payload: Range<u64>,
    /// Whether it is what was written.
    pub(crate) state: Payload,
    /// The header was damaged and its copy was used.
    pub(crate) repaired: bool,
}

/// A payload against its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// What was written.
    Good,
    /// Not what was written.
    Damaged,
    /// Partly not written at all: whole sectors are zero, or the file ends.
    Torn,
}

/// Whose records are wanted. Others are garbage.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    /// `None`: any store's.
    pub(crate) store: Option<u32>,
    pub(crate) segment: u64,
}

/// Walks over a file.
#[derive(Debug)]
pub(crate) struct Records<'a, 'w> {
    window: &'w mut Window<'a>,
    origin: Origin,
    at: u64,
    end: u64,
}

impl<'a, 'w> Records<'a, 'w> {
    /// From `at` up to `end`.
    pub(crate) fn new(window: &'w mut Window<'a>, origin: Origin, at: u64, end: u64) -> Self {
        let end = end.min(window.len());
        Records { window, origin, at, end }
    }

    /// The window, to look at a payload.
    pub(crate) fn window(&mut self) -> &mut Window<'a> {
        self.window
    }

    /// The next thing.
    pub(crate) fn next(&mut self) -> io::Result<Item> {
        if self.at >= self.end {
            return Ok(Item::End);
        }
        match self.header(self.at, MAGIC)? {
            Ok((header, name)) if header.position == self.at => {
                let record = self.record(header, name, false)?;
                self.at = header.position.saturating_add(header.record_len(record.name.len()));
                Ok(Item::Record(record))
            }
            Err(NoHeader::Newer(format)) => Ok(Item::Newer(self.at, format)),
            _ => self.resync(),
        }
    }

    /// Looks for the next header, or for the trailer of a record whose header is damaged.
    fn resync(&mut self) -> io::Result<Item> {
        let from = self.at;
        let mut at = from;
        loop {
            let view = self.window.view(at, (1024 * 1024).min(self.end - at))?;
            let Some(found) = memchr::memchr(MARK, view) else {
                at += view.len() as u64;
                if at >= self.end || view.is_empty() {
                    self.at = self.end;
                    return Ok(Item::Garbage(from..self.end));
                }
                continue;
            };
            at += found as u64;
            if let Ok((header, _)) = self.header(at, MAGIC)?
                && header.position == at
                && at > from
            {
                self.at = at;
                return Ok(Item::Garbage(from..at));
            }
            if let Ok((header, name)) = self.header(at, END_MAGIC)? {
                let payload_end = header.position.saturating_add(header.record_len(name.len())) - block::trailer_len(name.len()) as u64;
                if payload_end == at && header.position >= from {
                    if header.position > from {
                        // What is before it is garbage; the record comes next.
                        let start = header.position;
                        self.at = start;
                        return Ok(Item::Garbage(from..start));
                    }
                    let record = self.record(header, name, true)?;
                    self.at = header.position + header.record_len(record.name.len());
                    return Ok(Item::Record(record));
                }
            }
            at += 1;
            if at >= self.end {
                self.at = self.end;
                return Ok(Item::Garbage(from..self.end));
            }
        }
    }

    fn header(&mut self, at: u64, magic: [u8; 8]) -> io::Result<Result<(Header, Vec<u8>), NoHeader>> {
        for size in [SHORT_VIEW, HEADER_VIEW] {
            let view = self.window.view(at, size.min(self.end - at))?;
            match block::decode_header(view, magic) {
                Ok((header, name)) => {
                    let ours = header.segment == self.origin.segment && self.origin.store.is_none_or(|store| store == header.store);
                    return Ok(if ours { Ok((header, name.to_vec())) } else { Err(NoHeader::Damaged) });
                }
                Err(NoHeader::Newer(format)) => return Ok(Err(NoHeader::Newer(format))),
                Err(NoHeader::Damaged) => {}
            }
            if !view.starts_with(&magic) {
                break;
            }
        }
        Ok(Err(NoHeader::Damaged))
    }

    fn record(&mut self, header: Header, name: Vec<u8>, repaired: bool) -> io::Result<Record> {
        let start = header.position + block::header_len(name.len()) as u64;
        let payload = start..start + u64::from(header.payload_len);
        let bytes = self.window.view(payload.start, u64::from(header.payload_len))?;
        let whole = bytes.len() as u64 == u64::from(header.payload_len) && payload.end <= self.end;
        let state = if whole && crc32c::crc32c(bytes) == header.payload_crc {
            Payload::Good
        } else {
            let len = header.record_len(name.len());
            let record = self.window.view(header.position, len)?;
            if block::has_hole(record, header.position, len, name.len()) { Payload::Torn } else { Payload::Damaged }
        };
        Ok(Record { header, name, payload, state, repaired })
    }
}
