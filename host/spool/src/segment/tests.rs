//! Records: what is written reads back, whatever lies between, and damage is told from records.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::records::{Item, Origin, Payload, Records};
use super::window::{Forgives, Window};
use crate::block::{self, END_MAGIC, Header, Kind, MAGIC, NoHeader};
use crate::disk::{Disk, DiskFile};
use crate::log::StreamId;
use crate::testing::SimDisk;

const ORIGIN: Origin = Origin { store: Some(9), segment: 4 };

fn header(position: u64, first: u64, count: u32) -> Header {
    Header {
        kind: Kind::Events,
        encoding: block::RAW,
        store: 9,
        segment: 4,
        position,
        group: 1,
        payload_len: 0,
        stream: StreamId(3),
        count,
        first,
        appended_at: 1_700_000_000_000,
        bytes_before: 77,
        payload_crc: 0,
    }
}

fn file(bytes: &[u8]) -> Arc<dyn DiskFile> {
    let disk = SimDisk::new(0);
    disk.put(Path::new("/f"), bytes);
    disk.open(Path::new("/f")).unwrap()
}

/// Good records' payloads, and the bytes called garbage.
fn walk(bytes: &[u8]) -> (Vec<(u64, Bytes, Payload, bool)>, u64) {
    let file = file(bytes);
    let mut window = Window::new(&*file, Forgives::NOTHING).unwrap();
    let mut records = Records::new(&mut window, ORIGIN, 0, u64::MAX);
    let (mut found, mut garbage) = (Vec::new(), 0);
    loop {
        match records.next().unwrap() {
            Item::Record(record) => {
                let payload = records.window().view(record.payload.start, record.payload.end - record.payload.start).unwrap();
                found.push((record.header.first, Bytes::copy_from_slice(payload), record.state, record.repaired));
            }
            Item::Garbage(range) => garbage += range.end - range.start,
            Item::Newer(position, format) => panic!("format {format} at {position}"),
            Item::End => return (found, garbage),
        }
    }
}

prop_compose! {
    fn any_header()(
        kind in prop_oneof![Just(Kind::Events), Just(Kind::Table), Just(Kind::Index)],
        encoding: u8, store: u32, segment: u64, position: u64, group: u32, stream: u32, count: u32, first: u64,
        appended_at: u64, bytes_before: u64,
    ) -> Header {
        let stream = StreamId(stream);
        Header { kind, encoding, store, segment, position, group, payload_len: 0, stream, count, first, appended_at, bytes_before, payload_crc: 0 }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_record_reads_back_from_its_header_and_from_its_trailer(header in any_header(), name in "[a-z/]{0,40}", payload: Vec<u8>) {
        let record = block::record(header, name.as_bytes(), &payload);
        let (from_header, its_name) = block::decode_header(&record, MAGIC).unwrap();
        prop_assert_eq!(its_name, name.as_bytes());
        let expected = Header { payload_len: payload.len() as u32, payload_crc: crc32c::crc32c(&payload), ..header };
        prop_assert_eq!(from_header, expected);
        prop_assert_eq!(from_header.record_len(name.len()), record.len() as u64);
        let start = block::header_len(name.len());
        prop_assert_eq!(&record[start..start + payload.len()], &payload[..]);
        let trailer = record.len() - block::trailer_len(name.len());
        prop_assert_eq!(block::decode_header(&record[trailer..], END_MAGIC), Ok((expected, name.as_bytes())));
    }

    #[test]
    fn a_changed_header_is_noticed(header in any_header(), name in "[a-z/]{0,40}", at: prop::sample::Index, mask in 1..=255u8) {
        let mut record = block::record(header, name.as_bytes(), b"{}\n");
        let at = at.index(block::header_len(name.len()));
        record[at] ^= mask;
        prop_assert_eq!(block::decode_header(&record, MAGIC), Err(NoHeader::Damaged));
    }

    #[test]
    fn records_are_found_between_any_garbage(
        pieces in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..300), "[a-z\n]{1,400}"), 1..8),
    ) {
        let mut bytes = Vec::new();
        for (first, (garbage, payload)) in (1..).zip(&pieces) {
            bytes.extend_from_slice(garbage);
            let position = bytes.len() as u64;
            bytes.extend_from_slice(&block::record(header(position, first, 1), b"default/feature", payload.as_bytes()));
        }
        let (found, garbage) = walk(&bytes);
        let expected: Vec<_> = (1..).zip(&pieces).map(|(first, (_, text))| (first, Bytes::from(text.clone()), Payload::Good, false)).collect();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(garbage, pieces.iter().map(|(garbage, _)| garbage.len() as u64).sum::<u64>());
    }

    #[test]
    fn any_bytes_are_walked_to_their_end(bytes: Vec<u8>) {
        let (found, garbage) = walk(&bytes);
        prop_assert_eq!((found.len(), garbage), (0, bytes.len() as u64));
    }
}

#[test]
fn an_event_that_quotes_a_record_is_no_record() {
    let quoted = block::record(header(500, 90, 1), b"acme/feature", b"stolen\n");
    let mut outer = block::record(header(0, 1, 1), b"default/feature", &quoted);
    assert_eq!(walk(&outer).0.len(), 1, "within an intact record nothing is looked for");
    let name = b"default/feature".len();
    outer[9] ^= 1;
    let trailer = outer.len() - block::trailer_len(name);
    outer[trailer + 9] ^= 1;
    assert_eq!(walk(&outer), (Vec::new(), outer.len() as u64), "nor in a damaged one: it stands at another offset");
}

#[test]
fn records_of_other_stores_and_segments_are_garbage() {
    for header in [Header { store: 8, ..header(0, 1, 1) }, Header { segment: 5, ..header(0, 1, 1) }, header(1, 1, 1)] {
        let record = block::record(header, b"default/feature", b"{}\n");
        assert_eq!(walk(&record), (Vec::new(), record.len() as u64));
    }
}

#[test]
fn a_sector_that_was_never_written_is_told_from_a_changed_byte() {
    let record = block::record(header(0, 1, 1), b"default/feature", "e".repeat(2_000).as_bytes());
    let state = |bytes: &[u8]| walk(bytes).0[0].2;
    assert_eq!(state(&record), Payload::Good);
    let mut flipped = record.clone();
    flipped[700] = 0;
    assert_eq!(state(&flipped), Payload::Damaged);
    let mut hole = record.clone();
    hole[512..1_024].fill(0);
    assert_eq!(state(&hole), Payload::Torn);
    let mut cut = record.clone();
    cut[2_000..].fill(0);
    assert_eq!(state(&cut), Payload::Torn, "within the last sector");
    assert_eq!(state(&record[..record.len() - 1]), Payload::Good, "the last byte says only that the end was written");
    assert_eq!(state(&record[..1_500]), Payload::Torn);
}
