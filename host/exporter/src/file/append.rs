//! A growing file: a name without timestamp and batch id.
//!
//! The plan holds the file's length before the batch. A retry must not write what is there already and must not leave half a line: it
//! looks at what stands behind that length. A part of the batch at the end is what a crash left, it is cut off; the whole batch is an
//! attempt whose answer was lost. Anything else was written by somebody else, a second exporter or a program that rotates logs, and stays.
//! One writer per file is what is meant; with several, a crash can still repeat a batch, and must not lose one.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;

use flagpost_event::EventBatch;

use crate::{ExportError, MAX_BATCH_BYTES};

use super::outcome::failed;
use super::turn::Turn;
use super::whole::{create_dirs, sync_dir, write_chunks};

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

/// Appends the batch. `searched`: from where on it may be there already; `None` when it cannot be.
pub(super) fn write(path: &Path, searched: Option<u64>, batch: &EventBatch) -> Result<(), ExportError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let _turn = Turn::take(path)?;
    create_dirs(dir).map_err(|error| failed("create the directory", dir, &error))?;
    append(path, searched, batch).map_err(|error| failed("append to", path, &error))?;
    sync_dir(dir).map_err(|error| failed("sync the directory", dir, &error))
}

fn append(path: &Path, searched: Option<u64>, batch: &EventBatch) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    let length = file.metadata()?.len();
    let mut end = length;
    if let Some(from) = searched
        && from < length
        && length - from <= MOST_SEARCHED
    {
        match find(&mut file, from, batch)? {
            Found::Whole => return file.sync_all(),
            Found::Part(at) => end = at,
            Found::Nothing => {}
        }
    }
    if end < length {
        file.set_len(end)?;
    }
    let written = write_at(&mut file, end, batch).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a batch at the end is recognised later, but nobody should have to read it meanwhile.
        file.set_len(end).ok();
    }
    written
}

fn write_at(file: &mut File, end: u64, batch: &EventBatch) -> io::Result<()> {
    if end > 0 {
        file.seek(SeekFrom::Start(end - 1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        // Half a line of somebody else's: ours begin on their own.
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    write_chunks(file, batch)
}

enum Found {
    /// All of the batch.
    Whole,
    /// A part of the batch, from here to the end of the file.
    Part(u64),
    /// Nothing of the batch.
    Nothing,
}

fn find(file: &mut File, from: u64, batch: &EventBatch) -> io::Result<Found> {
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    file.read_to_end(&mut tail)?;
    let mut start = 0;
    while start < tail.len() {
        let rest = &tail[start..];
        match common(rest, batch) {
            same if same == batch.bytes() => return Ok(Found::Whole),
            same if same == rest.len() => return Ok(Found::Part(from + start as u64)),
            _ => {}
        }
        match rest.iter().position(|&byte| byte == b'\n') {
            Some(end) => start += end + 1,
            None => break,
        }
    }
    Ok(Found::Nothing)
}

/// How many bytes of `text` are the batch's first ones.
fn common(mut text: &[u8], batch: &EventBatch) -> usize {
    let mut same = 0;
    for chunk in batch.chunks() {
        let here = text.iter().zip(chunk.iter()).take_while(|(a, b)| a == b).count();
        same += here;
        text = &text[here..];
        if here < chunk.len() {
            break;
        }
    }
    same
}
