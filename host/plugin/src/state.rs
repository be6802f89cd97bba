//! The interface `key-value`: a little state of one exporter's plugin, on disk, within its quota.
//!
//! One SQLite file per exporter below `<buffer.path>/state`, so that a plugin that fills or damages its own costs nobody else anything, and an
//! operator can look into it, copy it, or delete it. It belongs to the exporter's identity, not to the plugin's file: a replacement goes on
//! with it.
//!
//! A value that was set survives the process. `synchronous=NORMAL`: a machine that loses its power may lose the last moments of it; a
//! plugin that writes in a loop must not make the event log, which shares the disk, wait for its syncs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use crate::StateQuota;
use crate::text::bytes as readable;

/// Bytes of a key.
const MAX_KEY: usize = 1 << 10;

/// Keys of one answer of `list-keys`.
const MAX_LISTED: u32 = 1000;

/// Bytes of a file name's part; longer ones end in a digest.
const MAX_NAME: usize = 120;

/// Why nothing was read or changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StateError {
    #[error("the plugin may keep no state; to grant it, add to this exporter: state: {{ maxBytes: 1MiB, maxKeys: 1000 }}")]
    Denied,
    #[error("{0}")]
    Quota(String),
    #[error("{0}")]
    Other(String),
}

/// One exporter's state.
#[derive(Clone)]
pub(crate) struct State(Option<Arc<Inner>>);

struct Inner {
    path: PathBuf,
    quota: StateQuota,
    /// Opened by the first use.
    connection: Mutex<Option<Connection>>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("State").field(&self.0.as_ref().map(|inner| &inner.path)).finish()
    }
}

impl State {
    /// Nothing is granted.
    pub(crate) fn denied() -> Self {
        State(None)
    }

    /// The state of the exporter `name` in `flag_set`, below `dir`.
    pub(crate) fn new(dir: &Path, flag_set: &str, name: &str, quota: StateQuota) -> Self {
        let path = dir.join(part(flag_set)).join(format!("{}.sqlite", part(name)));
        State(Some(Arc::new(Inner { path, quota, connection: Mutex::default() })))
    }

    pub(crate) async fn get(&self, key: String) -> Result<Option<Vec<u8>>, StateError> {
        self.run(move |_, connection| {
            let value = "SELECT value FROM state WHERE key = ?1";
            Ok(connection.prepare_cached(value)?.query_row([key.as_bytes()], |row| row.get(0)).optional()?)
        })
        .await
    }

    pub(crate) async fn set(&self, key: String, value: Vec<u8>) -> Result<(), StateError> {
        if key.len() > MAX_KEY {
            return Err(StateError::Other(format!("a key has at most {MAX_KEY} bytes, this one has {}", key.len())));
        }
        self.run(move |quota, connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let others = "SELECT COUNT(*), COALESCE(SUM(LENGTH(key) + LENGTH(value)), 0) FROM state WHERE key <> ?1";
            let (keys, held): (i64, i64) =
                transaction.prepare_cached(others)?.query_row([key.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?;
            // What is counted and summed is never negative.
            let (keys, held) = (u64::try_from(keys).unwrap_or(0), u64::try_from(held).unwrap_or(0));
            let wanted = held + (key.len() + value.len()) as u64;
            if keys + 1 > quota.max_keys {
                return Err(Failed::Quota(format!("more than {} keys (state.maxKeys)", quota.max_keys)));
            }
            if wanted > quota.max_bytes {
                let (wanted, most) = (readable(wanted), readable(quota.max_bytes));
                return Err(Failed::Quota(format!("{wanted} of state, at most {most} are granted (state.maxBytes)")));
            }
            let replace = "INSERT OR REPLACE INTO state (key, value) VALUES (?1, ?2)";
            transaction.prepare_cached(replace)?.execute(params![key.as_bytes(), value])?;
            Ok(transaction.commit()?)
        })
        .await
    }

    pub(crate) async fn delete(&self, key: String) -> Result<(), StateError> {
        self.run(move |_, connection| {
            connection.prepare_cached("DELETE FROM state WHERE key = ?1")?.execute([key.as_bytes()])?;
            Ok(())
        })
        .await
    }

    pub(crate) async fn keys(&self, prefix: String) -> Result<Vec<String>, StateError> {
        self.run(move |_, connection| {
            let query = "SELECT key FROM state WHERE key >= ?1 AND SUBSTR(key, 1, LENGTH(?1)) = ?1 ORDER BY key LIMIT ?2";
            let mut query = connection.prepare_cached(query)?;
            let rows = query.query_map(params![prefix.as_bytes(), MAX_LISTED], |row| row.get::<_, Vec<u8>>(0))?;
            rows.map(|key| Ok(String::from_utf8_lossy(&key?).into_owned())).collect()
        })
        .await
    }

    /// Runs one step, off the threads that guests run on.
    async fn run<T: Send + 'static>(
        &self,
        step: impl FnOnce(StateQuota, &mut Connection) -> Result<T, Failed> + Send + 'static,
    ) -> Result<T, StateError> {
        let inner = Arc::clone(self.0.as_ref().ok_or(StateError::Denied)?);
        let stepped = tokio::task::spawn_blocking(move || {
            let mut connection = inner.connection.lock().unwrap_or_else(PoisonError::into_inner);
            let open = match &mut *connection {
                Some(open) => open,
                closed => closed.insert(inner.open()?),
            };
            step(inner.quota, open).map_err(|failed| match failed {
                Failed::Quota(text) => StateError::Quota(text),
                Failed::Disk(why) => {
                    // What is wrong with it may be gone with the next try.
                    *connection = None;
                    inner.failed(&why)
                }
            })
        });
        stepped.await.unwrap_or_else(|why| Err(StateError::Other(why.to_string())))
    }
}

/// Why a step did not end well.
enum Failed {
    Quota(String),
    Disk(rusqlite::Error),
}

impl From<rusqlite::Error> for Failed {
    fn from(why: rusqlite::Error) -> Self {
        Failed::Disk(why)
    }
}

impl Inner {
    fn open(&self) -> Result<Connection, StateError> {
        if let Some(dir) = self.path.parent() {
            std::fs::create_dir_all(dir).map_err(|why| self.failed(&why))?;
        }
        let open = || -> rusqlite::Result<Connection> {
            let connection = Connection::open(&self.path)?;
            connection.busy_timeout(Duration::from_secs(2))?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            connection.execute("CREATE TABLE IF NOT EXISTS state (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID", [])?;
            Ok(connection)
        };
        open().map_err(|why| self.failed(&why))
    }

    /// The guest is not told where the host keeps things; the log is.
    fn failed(&self, why: &dyn fmt::Display) -> StateError {
        tracing::error!(path = %self.path.display(), "the state of a plugin cannot be used: {why}");
        StateError::Other(format!("the state cannot be used: {why}"))
    }
}

/// A name as part of a file's: what is no letter, digit, `-`, `_` or `.` as `%XX`, so that different names are different files.
fn part(name: &str) -> String {
    let mut out = String::new();
    for (at, byte) in name.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => out.push(char::from(byte)),
            b'.' if at > 0 => out.push('.'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    if out.len() > MAX_NAME {
        let digest = crate::cache::Digest::of(name.as_bytes()).hex();
        out.truncate(MAX_NAME);
        out = format!("{out}-{}", &digest[..16]);
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const QUOTA: StateQuota = StateQuota { max_bytes: 40, max_keys: 3 };

    #[tokio::test]
    async fn values_are_kept_listed_taken_away_and_there_again_after_a_restart() {
        let temp = tempfile::tempdir().unwrap();
        let state = State::new(temp.path(), "default", "acme", QUOTA);
        assert_eq!(state.get("a".into()).await, Ok(None));
        for (key, value) in [("b", "2"), ("a", "1"), ("ab", "3"), ("a", "one")] {
            state.set(key.into(), value.into()).await.unwrap();
        }
        assert_eq!(state.keys("a".into()).await.unwrap(), ["a", "ab"]);
        assert_eq!(state.keys(String::new()).await.unwrap(), ["a", "ab", "b"]);
        state.delete("ab".into()).await.unwrap();
        state.delete("never there".into()).await.unwrap();
        drop(state);
        let state = State::new(temp.path(), "default", "acme", QUOTA);
        assert_eq!(state.get("a".into()).await.unwrap().unwrap(), b"one");
        assert_eq!(state.keys(String::new()).await.unwrap(), ["a", "b"]);
        assert_eq!(State::new(temp.path(), "default", "other", QUOTA).keys(String::new()).await.unwrap(), [""; 0], "a file of its own");
        assert_eq!(State::new(temp.path(), "acme", "acme", QUOTA).keys(String::new()).await.unwrap(), [""; 0], "a flag set of its own");
    }

    #[tokio::test]
    async fn the_quota_holds_for_keys_and_bytes_and_leaves_what_was_there() {
        let temp = tempfile::tempdir().unwrap();
        let state = State::new(temp.path(), "default", "acme", QUOTA);
        state.set("a".into(), vec![0; 30]).await.unwrap();
        let error = state.set("b".into(), vec![0; 9]).await.unwrap_err();
        assert_eq!(error, StateError::Quota("41 B of state, at most 40 B are granted (state.maxBytes)".to_owned()));
        // In place of what was there it fits.
        state.set("a".into(), vec![1; 36]).await.unwrap();
        for key in ["b", "c"] {
            state.set(key.into(), Vec::new()).await.unwrap();
        }
        assert_eq!(state.set("d".into(), Vec::new()).await, Err(StateError::Quota("more than 3 keys (state.maxKeys)".to_owned())));
        assert_eq!(state.get("a".into()).await.unwrap().unwrap(), vec![1; 36]);
        assert!(matches!(state.set("k".repeat(2000), Vec::new()).await, Err(StateError::Other(_))));
    }

    #[tokio::test]
    async fn nothing_is_kept_unless_it_is_granted_and_the_refusal_says_how() {
        let error = State::denied().get("a".into()).await.unwrap_err();
        assert_eq!(error, StateError::Denied);
        assert!(error.to_string().contains("state: { maxBytes: 1MiB, maxKeys: 1000 }"), "{error}");
    }

    #[test]
    fn different_names_are_different_files_and_none_leaves_the_directory() {
        let table = [("acme", "acme"), ("a/b", "a%2Fb"), ("..", "%2E."), ("a b.c", "a%20b.c"), ("é", "%C3%A9"), ("", "")];
        for (name, expected) in table {
            assert_eq!(part(name), expected);
        }
        let (one, two) = (part(&"x/".repeat(100)), part(&format!("{}y", "x/".repeat(99))));
        assert!(one.len() < 200 && one != two && !one.contains('/'));
    }
}
