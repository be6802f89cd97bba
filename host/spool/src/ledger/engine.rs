//! The one place where statements run: transactions, coalesced cursors, and what happens when the file turns out to be damaged.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use flagpost_event::Clock;
use rusqlite::Connection;

use super::file::{self, Fault, Opened};
use super::mirror::Shared;
use super::{LedgerError, LedgerReport, Rebuilt, rows};

/// Owns the connection.
pub(crate) struct Engine {
    /// `None` between a damaged file and its successor.
    connection: Option<Connection>,
    /// `None`: in memory.
    path: Option<PathBuf>,
    clock: Arc<dyn Clock>,
    mirror: Shared,
}

impl Engine {
    /// Opens the database at `path`; a damaged one is set aside and begun anew.
    pub(crate) fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<(Engine, LedgerReport), LedgerError> {
        let (opened, rebuilt) = match file::open(path) {
            Ok(opened) => (opened, None),
            Err(Fault::Refused(error)) => return Err(error),
            Err(Fault::Damaged(why)) => {
                let rebuilt = file::set_aside(path, &why, clock.unix_millis())?;
                let mut opened = anew(path)?;
                file::mark_rebuilt(&mut opened).map_err(|source| disk(path, "beginning anew", source))?;
                (opened, Some(rebuilt))
            }
        };
        let report = LedgerReport { created: opened.created && rebuilt.is_none(), rebuilt };
        Ok((Engine::of(opened, Some(path.to_owned()), clock), report))
    }

    /// A database in memory.
    pub(crate) fn memory(clock: Arc<dyn Clock>) -> Result<Engine, LedgerError> {
        let opened = file::memory().map_err(|source| disk(Path::new(":memory:"), "opening it", source))?;
        Ok(Engine::of(opened, None, clock))
    }

    fn of(opened: Opened, path: Option<PathBuf>, clock: Arc<dyn Clock>) -> Engine {
        let mirror = Shared::default();
        *mirror.lock() = opened.mirror;
        Engine { connection: Some(opened.connection), path, clock, mirror }
    }

    /// What the engine keeps up to date.
    pub(crate) fn mirror(&self) -> &Shared {
        &self.mirror
    }

    /// Runs `statements` in one transaction, together with all cursors that wait to become durable.
    pub(crate) fn write<T>(
        &mut self,
        during: &'static str,
        statements: impl Fn(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, LedgerError> {
        let mirror = self.mirror.clone();
        self.sound(during, |connection| {
            let waiting = mirror.lock().dirty();
            let transaction = connection.transaction()?;
            for record in &waiting {
                rows::update(&transaction, record)?;
            }
            let value = statements(&transaction)?;
            transaction.commit()?;
            let cursors: Vec<_> = waiting.iter().map(|record| (record.id, record.cursor)).collect();
            mirror.lock().written(&cursors);
            Ok(value)
        })
    }

    /// Runs statements that change nothing.
    pub(crate) fn read<T>(
        &mut self,
        during: &'static str,
        statements: impl Fn(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, LedgerError> {
        self.sound(during, |connection| statements(connection))
    }

    /// Makes the waiting cursors durable.
    pub(crate) fn flush(&mut self) -> Result<(), LedgerError> {
        if self.mirror.lock().is_dirty() { self.write("writing cursors", |_| Ok(())) } else { Ok(()) }
    }

    /// Moves what was written into the database file.
    pub(crate) fn checkpoint(&mut self) -> Result<(), LedgerError> {
        if self.path.is_none() {
            return Ok(());
        }
        self.sound("moving changes into the database", |connection| file::checkpoint(connection))
    }

    /// Runs `statements` on a sound database: damage is answered by a new file with what memory knows, and a second try.
    fn sound<T>(&mut self, during: &'static str, statements: impl Fn(&mut Connection) -> rusqlite::Result<T>) -> Result<T, LedgerError> {
        let first = match &mut self.connection {
            Some(connection) => statements(connection),
            None => statements(self.begin_anew()?),
        };
        match first {
            Err(error) if file::is_damage(&error) && self.path.is_some() => {
                self.give_up(&error)?;
                statements(self.begin_anew()?)
            }
            other => other,
        }
        .map_err(|source| disk(self.path(), during, source))
    }

    fn give_up(&mut self, error: &rusqlite::Error) -> Result<Rebuilt, LedgerError> {
        // Closed first: closing moves the write-ahead log into the file of that name.
        self.connection = None;
        file::set_aside(self.path(), &error.to_string(), self.clock.unix_millis())
    }

    fn begin_anew(&mut self) -> Result<&mut Connection, LedgerError> {
        let path = self.path().to_owned();
        let mut opened = anew(&path)?;
        file::refill(&mut opened.connection, &self.mirror.lock()).map_err(|source| disk(&path, "beginning anew", source))?;
        self.mirror.lock().lose_marks();
        Ok(self.connection.insert(opened.connection))
    }

    fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(":memory:"))
    }
}

/// A new database where a damaged one was set aside.
fn anew(path: &Path) -> Result<Opened, LedgerError> {
    file::open(path).map_err(|fault| match fault {
        Fault::Refused(error) => error,
        Fault::Damaged(why) => disk(path, "beginning anew", rows::broken(why)),
    })
}

fn disk(path: &Path, during: &'static str, source: rusqlite::Error) -> LedgerError {
    LedgerError::Disk { path: path.to_owned(), during, source }
}
