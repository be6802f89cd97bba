//! Any requests of any streams: every stream gives back exactly its own lines, in order, from memory and from disk.

use bytes::Bytes;
use flagpost_spool::testing::SimDisk;
use flagpost_spool::{DiskLog, EventLog, Part, Read, ReadLimit};
use proptest::prelude::*;

use crate::world::{block_on, open, stream_name};

const STREAMS: usize = 3;

/// Requests: parts of (stream, lengths of lines).
fn requests() -> impl Strategy<Value = Vec<Vec<(usize, Vec<usize>)>>> {
    let lengths = prop_oneof![
        8 => prop::collection::vec(0..60usize, 1..8),
        1 => prop::collection::vec(0..4usize, 900..2_100),
        1 => prop::collection::vec(100_000..300_000usize, 1..3),
    ];
    prop::collection::vec(prop::collection::vec((0..STREAMS, lengths), 1..4), 1..12)
}

async fn read_all(log: &DiskLog, stream: usize, limit: ReadLimit) -> String {
    let id = log.stream(&stream_name(stream));
    let (mut from, mut text) = (1, String::new());
    loop {
        match log.read(id, from, limit).await.unwrap() {
            Read::Events(run) => {
                assert!(run.count <= limit.events);
                from += run.count as u64;
                text.push_str(std::str::from_utf8(&run.lines.concat()).unwrap());
            }
            Read::End => return text,
            other => panic!("{other:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_line_crosses_streams_and_none_is_changed(
        requests in requests(),
        segment_bytes in prop_oneof![Just(3u64 << 10), Just(700 << 10)],
        events in 1..2_000usize,
    ) {
        block_on(async {
            let disk = SimDisk::new(3);
            let (log, _) = open(&disk, segment_bytes).unwrap();
            let mut expected = vec![String::new(); STREAMS];
            for request in requests {
                let mut parts = Vec::new();
                for (stream, lengths) in request {
                    let letter = char::from(b'a' + stream as u8);
                    let lines: String = lengths.iter().map(|len| format!("{}\n", String::from_iter(std::iter::repeat_n(letter, *len)))).collect();
                    expected[stream].push_str(&lines);
                    let id = log.stream(&stream_name(stream));
                    parts.push(Part { stream: id, count: lengths.len() as u32, lines: Bytes::from(lines) });
                }
                log.append(parts).await.unwrap();
            }
            for (stream, expected) in expected.iter().enumerate() {
                prop_assert!(*expected == read_all(&log, stream, ReadLimit { events, bytes: 40_000 }).await, "stream {} while open", stream);
            }
            log.close().await;
            let (log, report) = open(&disk.crash(), segment_bytes).unwrap();
            prop_assert!(report.damaged.is_empty() && report.findings.is_empty(), "{:?}", report);
            for (stream, expected) in expected.iter().enumerate() {
                prop_assert!(*expected == read_all(&log, stream, ReadLimit { events, bytes: usize::MAX }).await, "stream {} opened again", stream);
            }
            Ok(())
        })?;
    }
}
