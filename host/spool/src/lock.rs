//! `LOCK`: one relay per store.
//!
//! The operating system holds the lock and lets go of it when the process ends, however it ends. What stands in the file is for people: the
//! process that holds it. The lock is advisory, so `flagpost spool check` can read a store beside a running relay.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use flagpost_event::Clock;

use crate::disk::make_dir;

const FILE: &str = "LOCK";
/// How often a waiting relay tries again: a rolling restart notices at most this late.
const POLL: Duration = Duration::from_millis(50);
/// More than this is not read of who holds it.
const HOLDER_BYTES: u64 = 256;

/// A store's directory, held until dropped.
#[derive(Debug)]
pub struct Lock {
    /// The lock goes with it.
    _file: File,
}

/// The directory could not be locked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process holds it.
    #[error(
        "{path} is held by another relay ({holder}), after waiting {} s (`buffer.lockTimeout`): stop it, or give this one another `buffer.path`",
        waited.as_secs_f64()
    )]
    Held {
        /// The lock file.
        path: PathBuf,
        /// What its holder wrote: process id and start.
        holder: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The file could not be made, locked or written.
    #[error("{path} could not be locked")]
    Io {
        /// The lock file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

impl Lock {
    /// Takes the directory's lock, waiting at most `wait` for another process. Makes the directory when it is not there. Blocks the thread.
    pub fn acquire(dir: &Path, wait: Duration, clock: &dyn Clock) -> Result<Lock, LockError> {
        let path = dir.join(FILE);
        let failed = |source| LockError::Io { path: path.clone(), source };
        make_dir(dir).map_err(failed)?;
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(source)) => return Err(failed(source)),
                Err(TryLockError::WouldBlock) if begun.elapsed() < wait => {
                    thread::sleep(POLL.min(wait.saturating_sub(begun.elapsed())));
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(LockError::Held { holder: holder(&mut file), waited: begun.elapsed().min(wait), path });
                }
            }
        }
        let text = format!("process {}, since Unix time {}\n", std::process::id(), clock.unix_seconds());
        file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0))).and_then(|_| file.write_all(text.as_bytes())).map_err(failed)?;
        Ok(Lock { _file: file })
    }
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.take(HOLDER_BYTES).read_to_string(&mut text));
    match read {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "it has not said which".to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use flagpost_event::SystemClock;

    use super::*;

    #[test]
    fn the_second_relay_is_told_who_holds_the_store() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("store");
        let held = Lock::acquire(&store, Duration::ZERO, &SystemClock).unwrap();
        let error = Lock::acquire(&store, Duration::from_millis(60), &SystemClock).unwrap_err();
        let LockError::Held { holder, .. } = &error else { panic!("{error:?}") };
        assert!(holder.starts_with(&format!("process {}", std::process::id())), "{holder}");
        assert!(error.to_string().contains("buffer.lockTimeout"));
        drop(held);
        Lock::acquire(&store, Duration::ZERO, &SystemClock).unwrap();
    }

    #[test]
    fn a_waiting_relay_gets_the_store_when_the_first_one_ends() {
        let dir = tempfile::tempdir().unwrap();
        let held = Lock::acquire(dir.path(), Duration::ZERO, &SystemClock).unwrap();
        let path = dir.path().to_owned();
        let second = thread::spawn(move || Lock::acquire(&path, Duration::from_secs(60), &SystemClock));
        drop(held);
        second.join().unwrap().unwrap();
    }
}
