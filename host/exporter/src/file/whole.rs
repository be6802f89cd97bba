//! One file per batch: written beside its place under a hidden name, synced, put into its place without replacing anything, and the
//! directory synced. After a crash at any moment there is the whole file or none of it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, IoSlice, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use flagpost_event::{Encoded, EventBatch, Format, SharedEncoding, batch_of};
use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use crate::ExportError;

use super::outcome::failed;
use super::turn::Turn;

/// Writes the batch to `path`, which is `name` in the exporter's directory.
pub(super) fn write(path: &Path, name: &str, encoding: &SharedEncoding, batch: &EventBatch) -> Result<Encoded, ExportError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let _turn = Turn::take(path)?;
    create_dirs(dir).map_err(|error| failed("create the directory", dir, &error))?;
    let hidden = dir.join(hidden_name(path, batch.id().as_str()));
    let written = fill(&hidden, encoding, batch).and_then(|encoded| {
        // A file without events says nothing.
        if encoded.events > 0 { place(&hidden, path, name, batch).map(|()| encoded) } else { Ok(encoded) }
    });
    if written.as_ref().map_or(true, |encoded| encoded.events == 0) {
        // What is left over is hidden and is written anew by the next attempt.
        fs::remove_file(&hidden).ok();
    }
    let encoded = written?;
    sync_dir(dir).map_err(|error| failed("sync the directory", dir, &error))?;
    Ok(encoded)
}

/// The same for each attempt of a batch, so that a crash leaves at most one, and another one for each place: two exporters that read one
/// stream into one directory have batches of the same id, and files of different names.
fn hidden_name(path: &Path, batch: &str) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut hash = Sha256::new();
    hash.update(path.as_os_str().as_encoded_bytes());
    hash.update([0]);
    hash.update(batch);
    format!(".flagpost-{}.tmp", hex::encode(&hash.finalize()[..8]))
}

fn fill(hidden: &Path, encoding: &SharedEncoding, batch: &EventBatch) -> Result<Encoded, ExportError> {
    File::create(hidden)
        .and_then(|mut file| {
            let encoded = write_encoded(&mut file, encoding, batch)?;
            file.sync_all()?;
            Ok(encoded)
        })
        .map_err(|error| failed("write", hidden, &error))
}

/// Writes the batch as it is encoded.
pub(super) fn write_encoded(file: &mut File, encoding: &SharedEncoding, batch: &EventBatch) -> io::Result<Encoded> {
    const BUFFER: usize = 256 << 10;
    if encoding.encoding().format() == Format::JsonLines {
        write_chunks(file, batch)?;
        return Ok(Encoded { events: batch.len(), refused: Vec::new() });
    }
    let mut file = BufWriter::with_capacity(BUFFER, file);
    let encoded = encoding.encode(batch, &mut file)?;
    file.flush()?;
    Ok(encoded)
}

/// Writes all chunks with as few calls as possible.
fn write_chunks(file: &mut File, batch: &EventBatch) -> io::Result<()> {
    /// The kernel's own limit (IOV_MAX).
    const MOST_SLICES: usize = 1024;
    for chunks in batch.chunks().chunks(MOST_SLICES) {
        let mut slices: Vec<_> = chunks.iter().filter(|chunk| !chunk.is_empty()).map(|chunk| IoSlice::new(chunk)).collect();
        let mut slices = &mut slices[..];
        while !slices.is_empty() {
            match file.write_vectored(slices) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut slices, written),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Gives the file its name. One that has the name already is this batch's, from an attempt whose answer was lost, or somebody else's.
fn place(hidden: &Path, path: &Path, name: &str, batch: &EventBatch) -> Result<(), ExportError> {
    let renamed = match rustix::fs::renameat_with(CWD, hidden, CWD, path, RenameFlags::NOREPLACE) {
        // Some file systems cannot: a hard link does not replace either.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => fs::hard_link(hidden, path).and_then(|()| fs::remove_file(hidden)),
        other => other.map_err(io::Error::from),
    };
    match renamed {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            if !holds(path, hidden, batch).map_err(|error| failed("read", path, &error))? {
                return Err(ExportError::NameTaken { name: name.to_owned() });
            }
            fs::remove_file(hidden).map_err(|error| failed("remove", hidden, &error))
        }
        Err(error) => Err(failed("put into place", path, &error)),
    }
}

/// Whether the file is this batch's: of the same bytes as the hidden one, or a Parquet file that says so (another version of the program may
/// have written it).
fn holds(path: &Path, hidden: &Path, batch: &EventBatch) -> io::Result<bool> {
    let (mut file, mut other) = (File::open(path)?, File::open(hidden)?);
    let (found, expected) = (file.metadata()?, other.metadata()?);
    if !found.is_file() {
        return Ok(false);
    }
    if found.len() == expected.len() && same_bytes(&mut file, &mut other, expected.len())? {
        return Ok(true);
    }
    Ok(batch_of(file).as_deref() == Some(batch.id().as_str()))
}

fn same_bytes(a: &mut File, b: &mut File, length: u64) -> io::Result<bool> {
    const BUFFER: usize = 64 << 10;
    let (mut left, mut right) = (vec![0; BUFFER], vec![0; BUFFER]);
    let mut rest = length;
    while rest > 0 {
        let part = usize::try_from(rest).unwrap_or(BUFFER).min(BUFFER);
        a.read_exact(&mut left[..part])?;
        b.read_exact(&mut right[..part])?;
        if left[..part] != right[..part] {
            return Ok(false);
        }
        rest -= part as u64;
    }
    Ok(true)
}

/// Creates a directory and all above it that are missing; each is durable.
pub(super) fn create_dirs(dir: &Path) -> io::Result<()> {
    if dir.as_os_str().is_empty() || dir.is_dir() {
        return Ok(());
    }
    let above = dir.parent().unwrap_or(Path::new(""));
    create_dirs(above)?;
    match fs::create_dir(dir) {
        Ok(()) => sync_dir(above),
        Err(error) if error.kind() == ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir)?.sync_all()
}

/// Whether a file could be written in `dir`.
pub(super) fn probe(dir: &Path) -> Result<(), ExportError> {
    create_dirs(dir).map_err(|error| failed("create the directory", dir, &error))?;
    // Two exporters may have one directory and be probed at the same time.
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let path: PathBuf = dir.join(format!(".flagpost-probe-{}-{}.tmp", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    let written = OpenOptions::new().write(true).create(true).truncate(true).open(&path).and_then(|_| fs::remove_file(&path));
    written.map_err(|error| failed("write into", dir, &error))
}
