//! One file per batch: written beside its place under a hidden name, synced, put into its place without replacing anything, and the
//! directory synced. After a crash at any moment there is the whole file or none of it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::path::{Path, PathBuf};

use flagpost_event::EventBatch;
use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use crate::ExportError;

use super::outcome::failed;
use super::turn::Turn;

/// Writes the batch to `path`, which is `name` in the exporter's directory.
pub(super) fn write(path: &Path, name: &str, batch: &EventBatch) -> Result<(), ExportError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let _turn = Turn::take(path)?;
    create_dirs(dir).map_err(|error| failed("create the directory", dir, &error))?;
    let hidden = dir.join(hidden_name(path, batch.id().as_str()));
    let placed = fill(&hidden, batch).and_then(|()| place(&hidden, path, name, batch));
    if placed.is_err() {
        // What is left over is hidden and is written anew by the next attempt.
        fs::remove_file(&hidden).ok();
    }
    placed?;
    sync_dir(dir).map_err(|error| failed("sync the directory", dir, &error))
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

fn fill(hidden: &Path, batch: &EventBatch) -> Result<(), ExportError> {
    File::create(hidden)
        .and_then(|mut file| {
            write_chunks(&mut file, batch)?;
            file.sync_all()
        })
        .map_err(|error| failed("write", hidden, &error))
}

/// Writes all chunks with as few calls as possible.
pub(super) fn write_chunks(file: &mut File, batch: &EventBatch) -> io::Result<()> {
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
            if !holds(path, batch).map_err(|error| failed("read", path, &error))? {
                return Err(ExportError::NameTaken { name: name.to_owned() });
            }
            fs::remove_file(hidden).map_err(|error| failed("remove", hidden, &error))
        }
        Err(error) => Err(failed("put into place", path, &error)),
    }
}

/// Whether the file is exactly the batch.
fn holds(path: &Path, batch: &EventBatch) -> io::Result<bool> {
    let mut file = File::open(path)?;
    if !file.metadata()?.is_file() || file.metadata()?.len() != batch.bytes() as u64 {
        return Ok(false);
    }
    let mut buffer = vec![0; 64 << 10];
    for chunk in batch.chunks() {
        for expected in chunk.chunks(buffer.len()) {
            let found = &mut buffer[..expected.len()];
            file.read_exact(found)?;
            if found != expected {
                return Ok(false);
            }
        }
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
    let path: PathBuf = dir.join(format!(".flagpost-probe-{}.tmp", std::process::id()));
    let written = OpenOptions::new().write(true).create(true).truncate(true).open(&path).and_then(|_| fs::remove_file(&path));
    written.map_err(|error| failed("write into", dir, &error))
}
