//! A store out of any bytes: it opens or says why not, every read goes forward, and new events are kept. Shared with the fuzz target.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use flagpost_event::{EventKind, StreamName, SystemClock};
use flagpost_spool::testing::SimDisk;
use flagpost_spool::{DiskLog, DiskLogOptions, EventLog, ExportError, OpenError, Part, Read, ReadLimit, StreamId, check, export};

const SEGMENT_BYTES: u64 = 2_000;
const LIMIT: ReadLimit = ReadLimit { events: 50, bytes: 10_000 };

fn dir() -> &'static Path {
    Path::new("/store")
}

fn open(disk: &SimDisk) -> Result<DiskLog, OpenError> {
    let options = DiskLogOptions { segment_bytes: SEGMENT_BYTES, tail_bytes: 100, ..DiskLogOptions::new(dir(), 7) };
    Ok(DiskLog::open(options, Arc::new(disk.clone()), Arc::new(SystemClock))?.0)
}

async fn append(log: &DiskLog, stream: StreamId, lines: String) {
    let count = lines.lines().count() as u32;
    log.append(vec![Part { stream, lines: Bytes::from(lines), count }]).await.expect("an append on a good disk");
}

/// A store of two streams in several segments, some sealed.
async fn store() -> SimDisk {
    let disk = SimDisk::new(1);
    let log = open(&disk).expect("a new store opens");
    for round in 0..5 {
        for flag_set in ["default", "acme"] {
            let stream = log.stream(&StreamName::new(flag_set, EventKind::Feature));
            append(&log, stream, format!("{{\"{flag_set}\":{round}}}\n").repeat(5 + round)).await;
        }
    }
    disk.copy()
}

/// Makes the checksums of headers right again, so that what is behind them is reached.
fn mend(bytes: &mut [u8]) {
    for start in 0..bytes.len().saturating_sub(82) {
        if bytes[start..].starts_with(b"\xFEflagrec") || bytes[start..].starts_with(b"\xFEflagend") {
            let name = usize::from(u16::from_le_bytes([bytes[start + 76], bytes[start + 77]]));
            let end = start + 78 + name;
            if end + 4 <= bytes.len() {
                let crc = crc32c::crc32c(&bytes[start + 8..end]);
                bytes[end..end + 4].copy_from_slice(&crc.to_le_bytes());
            }
        }
    }
}

/// Changes the store's files as the input says: its bytes are (file, offset, what, length or value), again and again.
fn change(disk: &SimDisk, input: &[u8]) {
    let files = disk.contents();
    let mut changed: Vec<Vec<u8>> = files.iter().map(|(_, bytes)| bytes.clone()).collect();
    let mut mended = false;
    for edit in input.chunks_exact(6) {
        let file = &mut changed[usize::from(edit[0]) % files.len()];
        let at = usize::from(u16::from_le_bytes([edit[1], edit[2]])) % (file.len() + 1);
        let value = usize::from(u16::from_le_bytes([edit[4], edit[5]]));
        let end = (at + value % 700).min(file.len());
        match edit[3] % 7 {
            0 => file.truncate(at),
            1 => file[at..end].fill(edit[4]),
            2 => {
                file.drain(at..end);
            }
            3 => {
                let copy = file[at..end].to_vec();
                file.extend_from_slice(&copy);
            }
            4 | 5 if at < file.len() => file[at] ^= edit[4],
            _ => mended = true,
        }
    }
    for ((path, _), mut bytes) in files.into_iter().zip(changed) {
        if mended {
            mend(&mut bytes);
        }
        disk.put(&path, &bytes);
    }
}

/// Recovers from `input`: the bytes of a segment, or changes of a good store.
pub(crate) async fn recover(input: &[u8]) {
    let Some((mode, input)) = input.split_first() else { return };
    let disk = match mode % 2 {
        0 => {
            let disk = SimDisk::new(1);
            disk.put(&dir().join("0000000000000001.segment"), input);
            disk
        }
        _ => {
            let disk = store().await;
            change(&disk, input);
            disk
        }
    };
    let report = check(dir(), &disk).map(|report| report.to_string());
    let mut exported = Vec::new();
    let exported_report = export(dir(), &disk, None, &mut exported);
    let log = match open(&disk) {
        Ok(log) => log,
        // Only what says that it is newer is refused.
        Err(error) => return assert!(!matches!(error, OpenError::Io { .. }), "{error:?}"),
    };
    // These read sealed segments, too, and may find something newer in them.
    let newer = |error: &OpenError| matches!(error, OpenError::Newer { .. } | OpenError::Encoding { .. });
    assert!(report.as_ref().err().is_none_or(newer), "{report:?}");
    assert!(!matches!(exported_report, Err(ExportError::Open(ref error)) if !newer(error)), "{exported_report:?}");
    let mut streams = log.streams();
    let fresh = log.stream(&StreamName::new("fresh", EventKind::Tracking));
    streams.push((fresh, StreamName::new("fresh", EventKind::Tracking)));
    for (stream, _) in streams {
        let head = log.bounds(stream).head;
        append(&log, stream, "new\n".to_owned()).await;
        assert_eq!(log.bounds(stream).head, head + 1);
        let mut from = log.bounds(stream).oldest;
        loop {
            let next = match log.read(stream, from, LIMIT).await {
                Ok(Read::Events(run)) => run.first + run.count as u64,
                Ok(Read::Damaged(range) | Read::Gone(range)) => range.end,
                Ok(Read::End) => break,
                // A newer program's block in a sealed segment.
                Err(_) => break,
            };
            assert!(next > from, "a read stands still at {from}");
            from = next;
        }
        let Ok(Read::Events(run)) = log.read(stream, head, LIMIT).await else { panic!("the new event is there") };
        assert_eq!(run.lines.concat(), b"new\n");
    }
}
