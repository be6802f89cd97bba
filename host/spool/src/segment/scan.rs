//! From a file to its [`SegmentMap`]: by its index when it was sealed, else record by record.

use std::fmt;
use std::io;

use flagpost_event::StreamName;

use super::codec::Source;
use super::map::{BlockAt, Held, MOST, SegmentMap};
use super::records::{Item, Origin, Payload, Record, Records};
use super::table::Table;
use super::window::Window;
use crate::block::{self, END_MAGIC, Header, Kind, RAW};

/// Something found in a segment that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// A header was damaged; its copy was used and nothing is lost.
    HeaderRepaired,
    /// A copy of the stream table is damaged.
    TableDamaged,
    /// The index is damaged; the segment was scanned instead and nothing is lost.
    IndexDamaged,
    /// The payload of these events is damaged.
    EventsDamaged {
        /// Their stream.
        stream: StreamName,
        /// The first.
        first: u64,
        /// How many.
        count: u32,
    },
    /// So many bytes belong to no record.
    Garbage(u64),
    /// The last write was cut short by a crash before it was acknowledged; these events were never promised.
    TornWrite {
        /// Events in intact headers of it.
        events: u64,
    },
    /// The disk could not read so many bytes.
    Unreadable(u64),
    /// The file could not be opened; what the system said.
    NotOpened(String),
    /// The file ends before its records do.
    NoRecords,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::HeaderRepaired => write!(f, "a damaged header, replaced by its copy"),
            Finding::TableDamaged => write!(f, "a damaged copy of the stream table"),
            Finding::IndexDamaged => write!(f, "a damaged index, replaced by a scan"),
            Finding::EventsDamaged { stream, first, count } => {
                write!(f, "damaged events: {stream} {first} to {}", first.saturating_add(u64::from(*count)) - 1)
            }
            Finding::Garbage(bytes) => write!(f, "{bytes} bytes that are no record"),
            Finding::TornWrite { events } => {
                write!(f, "a write that a crash cut short before it was acknowledged ({events} events in it)")
            }
            Finding::Unreadable(bytes) => write!(f, "{bytes} bytes that the disk cannot read"),
            Finding::NotOpened(error) => write!(f, "it cannot be opened: {error}"),
            Finding::NoRecords => write!(f, "no record at all"),
        }
    }
}

/// What was learned from a segment.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) map: SegmentMap,
    /// The store that its records name.
    pub(crate) store: Option<u32>,
    /// It ends with an intact index: all of it was durable.
    pub(crate) sealed: bool,
    /// It holds events at its end that may never have been acknowledged.
    pub(crate) torn: bool,
    /// What is not as it was written, and where.
    pub(crate) findings: Vec<(u64, Finding)>,
}

/// A segment that this program must not touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Newer { position: u64, format: u8 },
    Encoding { position: u64, encoding: u8 },
}

/// Reads the index at the end of a sealed segment; `None` when there is none or it is damaged.
pub(crate) fn sealed(window: &mut Window<'_>, origin: Origin) -> io::Result<Option<Scan>> {
    let trailer = block::trailer_len(0) as u64;
    let Some(at) = window.len().checked_sub(trailer) else { return Ok(None) };
    let view = window.view(at, trailer)?;
    let Ok((header, _)) = block::decode_header(view, END_MAGIC) else { return Ok(None) };
    if header.kind != Kind::Index || header.position.saturating_add(header.record_len(0)) != window.len() {
        return Ok(None);
    }
    let position = header.position;
    let mut records = Records::new(window, origin, position, u64::MAX);
    let Item::Record(record) = records.next()? else { return Ok(None) };
    let Some(map) = index(records.window(), &record)? else { return Ok(None) };
    Ok(Some(Scan { map, store: Some(header.store), sealed: true, ..Scan::default() }))
}

fn index(window: &mut Window<'_>, record: &Record) -> io::Result<Option<SegmentMap>> {
    if record.state != Payload::Good {
        return Ok(None);
    }
    let payload = window.view(record.payload.start, record.payload.end - record.payload.start)?;
    Ok(SegmentMap::decode(payload, record.header.position))
}

/// Reads every record.
pub(crate) fn scan(window: &mut Window<'_>, origin: Origin) -> io::Result<Result<Scan, Refused>> {
    let mut builder = Builder::default();
    let mut sealed = None;
    let mut records = Records::new(window, origin, 0, u64::MAX);
    loop {
        let record = match records.next()? {
            Item::Record(record) => record,
            Item::Newer(position, format) => return Ok(Err(Refused::Newer { position, format })),
            Item::Garbage(range) => {
                builder.garbage.push(range);
                continue;
            }
            Item::End => break,
        };
        let position = record.header.position;
        builder.found(&record);
        match record.header.kind {
            Kind::Events if record.header.encoding != RAW => {
                return Ok(Err(Refused::Encoding { position, encoding: record.header.encoding }));
            }
            Kind::Events => builder.events(record),
            Kind::Table => {
                let payload = records.window().view(record.payload.start, record.payload.end - record.payload.start)?;
                match (record.state == Payload::Good).then(|| Table::decode(&mut Source(payload))).flatten() {
                    Some(table) => builder.scan.map.table = Some(table),
                    None => builder.scan.findings.push((position, Finding::TableDamaged)),
                }
            }
            Kind::Index => match index(records.window(), &record)? {
                Some(map) => sealed = Some(map),
                None => builder.scan.findings.push((position, Finding::IndexDamaged)),
            },
        }
    }
    let zeros_from = window.len_without_zeros()?;
    let mut scan = builder.finish(sealed, zeros_from);
    for range in &window.unreadable {
        scan.findings.push((range.start, Finding::Unreadable(range.end - range.start)));
    }
    scan.findings.sort_by_key(|(position, _)| *position);
    Ok(Ok(scan))
}

#[derive(Debug, Default)]
struct Builder {
    scan: Scan,
    /// Blocks of the newest group so far: until a newer one is seen, nothing says that its sync succeeded.
    group: Vec<(StreamName, Header, Payload)>,
    garbage: Vec<std::ops::Range<u64>>,
}

impl Builder {
    fn found(&mut self, record: &Record) {
        self.scan.store.get_or_insert(record.header.store);
        self.scan.map.used = self.scan.map.used.max(record.header.position.saturating_add(record.header.record_len(record.name.len())));
        if record.repaired {
            self.scan.findings.push((record.header.position, Finding::HeaderRepaired));
        }
    }

    fn events(&mut self, record: Record) {
        let name = std::str::from_utf8(&record.name).ok().and_then(|name| name.parse().ok());
        let header = &record.header;
        let numbers = header.first >= 1 && header.count >= 1 && header.end() <= MOST && header.bytes_before <= MOST;
        let Some(name) = name.filter(|_| numbers && header.count <= header.payload_len) else { return };
        if self.group.first().is_some_and(|(_, of_group, _)| record.header.group > of_group.group) {
            self.settle();
        }
        self.group.push((name, record.header, record.state));
    }

    /// The group was durable: what is damaged in it is lost.
    fn settle(&mut self) {
        for (name, header, state) in std::mem::take(&mut self.group) {
            let map = &mut self.scan.map;
            let held = map.streams.entry(name.clone()).or_insert_with(|| {
                let known = map.table.as_ref().map(|table| (table.next(&name), table.0.get(&name).map_or(0, |entry| entry.bytes)));
                let (next, bytes) = known.unwrap_or((header.first, header.bytes_before));
                Held::new(header.stream, next, bytes)
            });
            if header.first < held.numbers.end {
                // Cannot be: numbers ascend within a segment. Whatever it is, the first claim stands.
                continue;
            }
            let block = BlockAt {
                first: header.first,
                count: header.count,
                position: header.position,
                bytes_before: header.bytes_before,
                bytes: u64::from(header.payload_len),
                at: header.appended_at,
            };
            if state == Payload::Good {
                held.push(block);
            } else {
                held.push_damaged(block);
                self.scan
                    .findings
                    .push((header.position, Finding::EventsDamaged { stream: name, first: header.first, count: header.count }));
            }
        }
    }

    fn finish(mut self, sealed: Option<SegmentMap>, zeros_from: u64) -> Scan {
        if sealed.is_none()
            && let Some(cut) = self.group.iter().position(|(_, _, state)| *state == Payload::Torn)
        {
            let position = self.group[cut].1.position;
            let events = self.group.drain(cut..).map(|(_, header, _)| u64::from(header.count)).sum();
            self.scan.findings.push((position, Finding::TornWrite { events }));
            self.scan.torn = true;
        }
        self.settle();
        for range in self.garbage {
            let end = range.end.min(zeros_from);
            if range.start < end {
                self.scan.findings.push((range.start, Finding::Garbage(end - range.start)));
                self.scan.torn |= sealed.is_none();
            }
        }
        if self.scan.store.is_none() {
            self.scan.findings.push((0, Finding::NoRecords));
        }
        if let Some(index) = sealed {
            self.scan.sealed = true;
            for (name, indexed) in index.streams {
                let held = self.scan.map.streams.entry(name).or_insert_with(|| {
                    let mut held = Held::new(indexed.id, indexed.numbers.start, indexed.bytes_end);
                    held.last_at = indexed.last_at;
                    held
                });
                held.end_at(indexed.numbers.end, indexed.bytes_end);
            }
            self.scan.map.table = self.scan.map.table.or(index.table);
        }
        self.scan
    }
}
