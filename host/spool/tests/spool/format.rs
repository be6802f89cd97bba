//! Stores of every released format are opened; stores of later ones are refused by name.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use flagpost_event::{EventKind, StreamName};
use flagpost_spool::testing::SimDisk;
use flagpost_spool::{Bounds, DiskLog, DiskLogOptions, EventLog, OpenError, Part, Read, ReadLimit};

use crate::world::{DIR, Noon, block_on, open};

const SEGMENT_BYTES: u64 = 1_500;

fn events(flag_set: &str, numbers: std::ops::Range<u64>) -> String {
    numbers.map(|number| format!("{{\"kind\":\"feature\",\"key\":\"{flag_set}-{number}\"}}\n")).collect()
}

async fn append(log: &DiskLog, flag_set: &str, numbers: std::ops::Range<u64>) {
    let stream = log.stream(&StreamName::new(flag_set, EventKind::Feature));
    let count = (numbers.end - numbers.start) as u32;
    log.append(vec![Part { stream, lines: Bytes::from(events(flag_set, numbers)), count }]).await.unwrap();
}

/// A store with sealed segments, one that was not sealed, and events that were removed.
async fn make() -> SimDisk {
    let disk = SimDisk::new(1);
    let options = DiskLogOptions { segment_bytes: SEGMENT_BYTES, ..DiskLogOptions::new(Path::new(DIR), 0xf1a6) };
    let (log, _) = DiskLog::open(options, Arc::new(disk.clone()), Arc::new(Noon)).unwrap();
    append(&log, "default", 1..30).await;
    append(&log, "acme", 1..5).await;
    append(&log, "default", 30..41).await;
    append(&log, "acme", 5..21).await;
    append(&log, "default", 41..44).await;
    log.trim(&[(log.stream(&StreamName::new("default", EventKind::Feature)), 30)]).await;
    let copy = disk.copy();
    log.close().await;
    copy
}

/// `== name`, then the bytes in hexadecimal digits, 48 to a line. Zeros at the end are left out.
fn to_text(disk: &SimDisk) -> String {
    let mut text = String::new();
    for (path, content) in disk.contents() {
        let end = content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        text.push_str(&format!("== {}\n", path.file_name().unwrap().to_str().unwrap()));
        for line in content[..end].chunks(48) {
            text.push_str(&line.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
            text.push('\n');
        }
    }
    text
}

fn from_text(text: &str) -> SimDisk {
    let disk = SimDisk::new(2);
    for file in text.split("== ").skip(1) {
        let (name, digits) = file.split_once('\n').unwrap();
        let digits: Vec<u8> = digits.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        let content: Vec<u8> = digits.chunks(2).map(byte).collect();
        disk.put(&Path::new(DIR).join(name), &content);
    }
    disk
}

async fn read(log: &DiskLog, flag_set: &str, from: u64) -> String {
    let stream = log.stream(&StreamName::new(flag_set, EventKind::Feature));
    let (mut from, mut text) = (from, String::new());
    while let Read::Events(run) = log.read(stream, from, ReadLimit { events: 100, bytes: 1 << 20 }).await.unwrap() {
        from += run.count as u64;
        text.push_str(std::str::from_utf8(&run.lines.concat()).unwrap());
    }
    text
}

/// Opens the store that [`make`] makes, as it is in a file.
async fn reads(text: &str) {
    let disk = from_text(text);
    let (log, report) = open(&disk, SEGMENT_BYTES).unwrap();
    assert_eq!((report.damaged.len(), report.findings.len(), report.created), (0, 0, false), "{report:?}");
    let default = log.stream(&StreamName::new("default", EventKind::Feature));
    assert_eq!(log.bounds(default), Bounds { oldest: 30, head: 44 });
    assert_eq!(read(&log, "default", 30).await, events("default", 30..44));
    assert_eq!(read(&log, "acme", 1).await, events("acme", 1..21));
    append(&log, "acme", 21..22).await;
    assert_eq!(read(&log, "acme", 20).await, events("acme", 20..22));
}

const FORMAT_1: &str = include_str!("fixtures/format-1.hex");

#[test]
fn a_store_of_format_1_is_read() {
    block_on(reads(FORMAT_1));
}

#[test]
fn what_is_written_today_is_format_1() {
    assert_eq!(to_text(&block_on(make())), FORMAT_1, "a changed format needs a new number and a new fixture beside the old one");
}

/// `cargo test -p flagpost-spool --test spool write_a_fixture -- --ignored` makes the file for a new format.
#[test]
#[ignore = "writes a fixture"]
fn write_a_fixture() {
    let text = to_text(&block_on(make()));
    block_on(reads(&text));
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/spool/fixtures/format-new.hex"), text).unwrap();
}

fn refused(disk: &SimDisk) -> OpenError {
    open(disk, SEGMENT_BYTES).expect_err("a newer store must be refused")
}

#[test]
fn a_newer_store_is_refused_naming_both_versions() {
    let disk = from_text(FORMAT_1);
    let lines = "flagpost store\nformat 7\nid 0000f1a6\n";
    let meta = format!("{lines}crc32c {:08x}\nanything new\n", crc32c::crc32c(lines.as_bytes()));
    disk.put(&Path::new(DIR).join("meta"), meta.as_bytes());
    let before = disk.contents();
    let error = refused(&disk);
    assert!(matches!(error, OpenError::Newer { found: 7, known: 1, .. }), "{error:?}");
    assert!(error.to_string().contains("format 7") && error.to_string().contains("up to 1"), "{error}");
    assert_eq!(disk.contents(), before, "nothing was touched");
}

/// Changes a byte in every header and trailer of the newest segment's records and makes their checksums right again.
fn rewrite_headers(disk: &SimDisk, at: usize, kind: u8, to: u8) {
    let (path, mut content) = disk.contents().into_iter().rfind(|(path, _)| path.extension().is_some()).unwrap();
    for magic in [b"\xFEflagrec", b"\xFEflagend"] {
        for start in 0..content.len() {
            if content[start..].starts_with(magic) && content[start + 9] == kind {
                content[start + at] = to;
                let name = usize::from(u16::from_le_bytes([content[start + 76], content[start + 77]]));
                let crc = crc32c::crc32c(&content[start + 8..start + 78 + name]);
                content[start + 78 + name..start + 82 + name].copy_from_slice(&crc.to_le_bytes());
            }
        }
    }
    disk.put(&path, &content);
}

#[test]
fn a_newer_record_is_refused_naming_both_versions() {
    let disk = from_text(FORMAT_1);
    rewrite_headers(&disk, 8, 1, 2);
    let error = refused(&disk);
    assert!(matches!(error, OpenError::Newer { found: 2, known: 1, .. }), "{error:?}");
}

#[test]
fn an_unknown_encoding_is_refused_by_name() {
    let disk = from_text(FORMAT_1);
    rewrite_headers(&disk, 10, 1, 3);
    let error = refused(&disk);
    assert!(matches!(error, OpenError::Encoding { encoding: 3, .. }), "{error:?}");
    assert!(error.to_string().contains("encoding 3"), "{error}");
}
