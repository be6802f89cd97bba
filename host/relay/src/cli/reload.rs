//! When the configuration is read again: at SIGHUP, and when the file's contents are other ones.
//!
//! The contents are compared, not the file's times: a Kubernetes volume swaps a link above the file, an editor moves another file into its
//! place, and a deployment may write the same bytes anew. Contents count once they were the same for half a second: half of a YAML file is
//! often a valid one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{chain, supervisor};
use crate::config::Sources;
use crate::{Relay, ReloadError};

/// How often the file is read, and for how long its contents must have been the same.
const POLL: Duration = Duration::from_millis(500);

/// A file's contents, as far as they are compared. `None`: it cannot be read.
type Contents = Option<[u8; 32]>;

/// Waits for reasons to read the configuration again, and does.
pub(super) struct Reloader {
    file: PathBuf,
    sources: Sources,
    hangup: Signal,
    /// What was last read.
    taken: Contents,
    /// What was seen last.
    seen: Contents,
}

impl Reloader {
    /// For a configuration that is read from `file` after this.
    pub(super) fn new(file: &Path, sources: Sources) -> std::io::Result<Reloader> {
        let taken = look(file);
        Ok(Reloader { file: file.to_owned(), sources, hangup: signal(SignalKind::hangup())?, taken, seen: taken })
    }

    /// Returns when it is to be read again.
    pub(super) async fn due(&mut self) {
        let Reloader { file, hangup, taken, seen, .. } = self;
        tokio::select! {
            _ = hangup.recv() => {
                tracing::info!(config = %file.display(), "SIGHUP: the configuration is read again");
                *taken = read(file).await;
                *seen = *taken;
            }
            () = changed(file, taken, seen) => tracing::info!(config = %file.display(), "the configuration file has changed and is read again"),
        }
    }

    /// Reads it and puts it in effect; says what became of it.
    pub(super) async fn reload(&self, relay: &Relay) {
        supervisor::reloading();
        let result = relay.reload_file(&self.file, &self.sources).await;
        match &result {
            Ok(now) => {
                tracing::info!("the configuration is in effect");
                for key in &now.needs_restart {
                    tracing::warn!(key, "a changed key holds from the next start on: what it changes is made once");
                }
            }
            Err(ReloadError::Config(error)) => {
                tracing::error!("the configuration is wrong, and the one before goes on:\n{error}");
            }
            Err(error) => tracing::error!("the configuration is not in effect: {}", chain(error)),
        }
        supervisor::reloaded(relay.address(), result.is_ok());
    }
}

/// Returns when the contents are other ones than were taken, and have been for one [`POLL`].
async fn changed(file: &Path, taken: &mut Contents, seen: &mut Contents) {
    loop {
        tokio::time::sleep(POLL).await;
        let now = read(file).await;
        if now != *taken && now == *seen {
            *taken = now;
            return;
        }
        *seen = now;
    }
}

async fn read(file: &Path) -> Contents {
    let file = file.to_owned();
    tokio::task::spawn_blocking(move || look(&file)).await.ok().flatten()
}

fn look(file: &Path) -> Contents {
    Some(Sha256::digest(std::fs::read(file).ok()?).into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn other_contents_count_wherever_they_come_from_and_the_same_ones_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let (file, beside) = (dir.path().join("flagpost.yaml"), dir.path().join("beside"));
        std::fs::write(&beside, "a").unwrap();
        std::os::unix::fs::symlink("beside", &file).unwrap();
        let mut taken = read(&file).await;
        let mut seen = taken;
        // The same bytes in another file.
        std::fs::write(dir.path().join("next"), "a").unwrap();
        std::fs::rename(dir.path().join("next"), &beside).unwrap();
        let unchanged = tokio::time::timeout(POLL * 4, changed(&file, &mut taken, &mut seen)).await;
        assert!(unchanged.is_err());
        let ways: [&dyn Fn(); 4] = [
            &|| std::fs::write(&beside, "b").unwrap(),
            &|| {
                std::fs::write(dir.path().join("next"), "c").unwrap();
                std::fs::remove_file(&file).unwrap();
                std::os::unix::fs::symlink("next", &file).unwrap();
            },
            &|| std::fs::remove_file(&file).unwrap(),
            &|| std::fs::write(&file, "d").unwrap(),
        ];
        for way in ways {
            way();
            changed(&file, &mut taken, &mut seen).await;
            assert_eq!(taken, look(&file));
        }
    }
}
