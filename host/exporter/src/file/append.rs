//! A growing file: a name without timestamp and batch id.
//!
//! The plan holds the file's length before the batch. A retry must not write what is there already and must not leave half a line: it
//! looks at what stands behind that length. A part of the batch at the end is what a crash left, it is cut off; the whole batch is an
//! attempt whose answer was lost. Anything else was written by somebody else, a second exporter or a program that rotates logs, and stays.
//! One writer per file is what is meant; with several, a crash can still repeat a batch, and must not lose one.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;

use flagpost_event::{Encoded, Encoding, EventBatch, SharedEncoding};

use crate::{ExportError, MAX_BATCH_BYTES};

use super::outcome::failed;
use super::turn::Turn;
use super::whole::{create_dirs, sync_dir, write_encoded};

/// More than this behind the planned length is not searched: the batch is written again.
const MOST_SEARCHED: u64 = 4 * MAX_BATCH_BYTES as u64;

/// The file's length; 0 when there is none.
pub(super) fn length(path: &Path) -> Result<u64, ExportError> {
    match std::fs::metadata(path) {
        Ok(found) => Ok(found.len()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
        Err(error) => Err(failed("look at", path, &error)),
    }
}

/// So many of the batch's first bytes are looked for; where they are found, all of it is compared.
const HEAD: usize = 4 << 10;

/// Appends the batch. `searched`: from where on it may be there already; `None` when it cannot be.
pub(super) fn write(path: &Path, searched: Option<u64>, encoding: &SharedEncoding, batch: &EventBatch) -> Result<Encoded, ExportError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let _turn = Turn::take(path)?;
    create_dirs(dir).map_err(|error| failed("create the directory", dir, &error))?;
    let encoded = append(path, searched, encoding, batch).map_err(|error| failed("append to", path, &error))?;
    sync_dir(dir).map_err(|error| failed("sync the directory", dir, &error))?;
    Ok(encoded)
}

fn append(path: &Path, searched: Option<u64>, encoding: &SharedEncoding, batch: &EventBatch) -> io::Result<Encoded> {
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    let length = file.metadata()?.len();
    let mut end = length;
    if let Some(from) = searched
        && from < length
        && length - from <= MOST_SEARCHED
    {
        match find(&mut file, from, encoding.encoding(), batch)? {
            Found::Whole(encoded) => return file.sync_all().map(|()| encoded),
            Found::Part(at) => end = at,
            Found::Nothing => {}
        }
    }
    if end < length {
        file.set_len(end)?;
    }
    let written = write_at(&mut file, end, encoding, batch).and_then(|encoded| file.sync_all().map(|()| encoded));
    if written.is_err() {
        // Half a batch at the end is recognised later, but nobody should have to read it meanwhile.
        file.set_len(end).ok();
    }
    written
}

fn write_at(file: &mut File, end: u64, encoding: &SharedEncoding, batch: &EventBatch) -> io::Result<Encoded> {
    file.seek(SeekFrom::Start(end))?;
    if end > 0 && encoding.encoding().ends_lines(batch.kind()) {
        file.seek(SeekFrom::Start(end - 1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        // Half a line of somebody else's: ours begin on their own.
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    write_encoded(file, encoding, batch)
}

enum Found {
    /// All of the batch, and what became of its events.
    Whole(Encoded),
    /// A part of the batch, from here to the end of the file.
    Part(u64),
    /// Nothing of the batch.
    Nothing,
}

fn find(file: &mut File, from: u64, encoding: &Encoding, batch: &EventBatch) -> io::Result<Found> {
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    file.read_to_end(&mut tail)?;
    let head = head(encoding, batch);
    let mut start = 0;
    while start < tail.len() && !head.is_empty() {
        let rest = &tail[start..];
        let common = head.len().min(rest.len());
        if rest[..common] == head[..common] {
            let mut there = There { text: rest, same: 0 };
            match encoding.encode(batch, &mut there) {
                Ok(encoded) => return Ok(Found::Whole(encoded)),
                Err(_different) if there.same == rest.len() => return Ok(Found::Part(from + start as u64)),
                Err(_different) => {}
            }
        }
        match rest.iter().position(|&byte| byte == b'\n') {
            Some(end) => start += end + 1,
            None => break,
        }
    }
    Ok(Found::Nothing)
}

/// The first bytes of the batch.
fn head(encoding: &Encoding, batch: &EventBatch) -> Vec<u8> {
    struct Head(Vec<u8>);
    impl Write for Head {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let room = HEAD - self.0.len();
            if room == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
            self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
            Ok(bytes.len().min(room))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut head = Head(Vec::with_capacity(HEAD));
    // Ends with an error when there is more.
    let _more = encoding.encode(batch, &mut head);
    head.0
}

/// Text that is there; fails at the first byte that is another.
struct There<'t> {
    text: &'t [u8],
    same: usize,
}

impl Write for There<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let here = self.text[self.same..].iter().zip(bytes).take_while(|(a, b)| a == b).count();
        self.same += here;
        if here < bytes.len() { Err(ErrorKind::InvalidData.into()) } else { Ok(here) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
