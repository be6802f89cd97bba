//! One watcher for the files of all plugins.
//!
//! It asks the file system twice in half a second instead of being told: that works on every one (network mounts, bind mounts and
//! Kubernetes' swapped links included), costs one `stat` per plugin, and needs to know nothing of directories. A file counts when it was
//! the same for [`STABLE`]: a copy that is still being written is not loaded. A copy that pauses for longer is loaded, refused, and loaded
//! again when it goes on.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

/// How often files are looked at.
const POLL: Duration = Duration::from_millis(250);

/// How long a file must have been the same.
const STABLE: Duration = Duration::from_millis(500);

/// What identifies a version of a file without reading it. `None`: it is not there.
pub(crate) type Stamp = Option<Version>;

/// A file's size and times, and which file it is: one that was moved into its place may have the same size and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    inode: (u64, u64),
}

/// The file's stamp now. Links are followed.
pub(crate) async fn stamp(path: &Path) -> Stamp {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || look(&path)).await.ok().flatten()
}

fn look(path: &Path) -> Stamp {
    let facts = std::fs::metadata(path).ok()?;
    Some(Version {
        len: facts.len(),
        modified: (facts.mtime(), facts.mtime_nsec()),
        changed: (facts.ctime(), facts.ctime_nsec()),
        inode: (facts.dev(), facts.ino()),
    })
}

/// Watches the files that somebody asked for, as long as somebody does.
#[derive(Debug, Default)]
pub(crate) struct Watcher {
    files: Mutex<Files>,
}

#[derive(Debug, Default)]
struct Files {
    by_path: HashMap<PathBuf, Watched>,
    runs: bool,
}

#[derive(Debug)]
struct Watched {
    /// The last stamp that was stable.
    stable: watch::Sender<Stamp>,
    seen: Stamp,
    since: Instant,
}

impl Watcher {
    /// Tells of stable versions of a file from now on; begins with `now`, its stamp.
    pub(crate) fn watch(self: &Arc<Self>, path: &Path, now: Stamp, runtime: &tokio::runtime::Handle) -> watch::Receiver<Stamp> {
        let mut files = self.lock();
        if !std::mem::replace(&mut files.runs, true) {
            runtime.spawn(poll(Arc::downgrade(self)));
        }
        let new = || Watched { stable: watch::channel(now).0, seen: now, since: Instant::now() };
        files.by_path.entry(path.to_owned()).or_insert_with(new).stable.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The files that somebody still asks for.
    fn paths(&self) -> Vec<PathBuf> {
        let mut files = self.lock();
        files.by_path.retain(|_, watched| watched.stable.receiver_count() > 0);
        files.by_path.keys().cloned().collect()
    }

    fn note(&self, stamps: Vec<(PathBuf, Stamp)>, now: Instant) {
        let mut files = self.lock();
        for (path, stamp) in stamps {
            let Some(watched) = files.by_path.get_mut(&path) else { continue };
            if stamp != watched.seen {
                (watched.seen, watched.since) = (stamp, now);
            } else if now.saturating_duration_since(watched.since) >= STABLE {
                watched.stable.send_if_modified(|stable| std::mem::replace(stable, stamp) != stamp);
            }
        }
    }
}

/// Looks until the watcher is gone.
async fn poll(watcher: Weak<Watcher>) {
    let mut ticks = tokio::time::interval(POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(paths) = watcher.upgrade().map(|watcher| watcher.paths()) else { return };
        let now = Instant::now();
        let looked = tokio::task::spawn_blocking(move || {
            paths
                .into_iter()
                .map(|path| {
                    let stamp = look(&path);
                    (path, stamp)
                })
                .collect()
        });
        let (Ok(stamps), Some(watcher)) = (looked.await, watcher.upgrade()) else { return };
        watcher.note(stamps, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(len: u64) -> Stamp {
        Some(Version { len, modified: (0, 0), changed: (0, 0), inode: (0, 0) })
    }

    #[tokio::test]
    async fn a_version_counts_once_it_was_the_same_for_half_a_second() {
        let watcher = Arc::new(Watcher::default());
        let path = Path::new("acme.wasm");
        let told = watcher.watch(path, version(1), &tokio::runtime::Handle::current());
        let begin = Instant::now();
        let at = |millis: u64, stamp: Stamp| watcher.note(vec![(path.to_owned(), stamp)], begin + Duration::from_millis(millis));
        let steps = [
            (250, version(1), version(1)),
            (500, version(2), version(1)),
            (750, version(3), version(1)),
            (1000, version(3), version(1)),
            (1250, version(3), version(3)),
            (1500, None, version(3)),
            (1750, version(3), version(3)),
            (2250, None, version(3)),
            (2750, None, None),
        ];
        for (millis, seen, stable) in steps {
            at(millis, seen);
            assert_eq!(*told.borrow(), stable, "{millis}");
        }
    }

    #[tokio::test]
    async fn files_that_nobody_asks_for_are_not_looked_at() {
        let watcher = Arc::new(Watcher::default());
        let runtime = tokio::runtime::Handle::current();
        let told = watcher.watch(Path::new("a"), None, &runtime);
        drop(watcher.watch(Path::new("b"), None, &runtime));
        assert_eq!(watcher.paths(), [Path::new("a")]);
        drop(told);
        assert!(watcher.paths().is_empty());
    }
}
