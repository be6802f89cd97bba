//! The database file: opening, checking, setting a damaged one aside.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, Error, ErrorCode};

use super::mirror::{Mirror, Origin};
use super::{LedgerError, Rebuilt};
use super::{graves, rows};

/// The newest format that this program reads and writes.
pub(crate) const FORMAT: u64 = 2;

/// How long an operator's own SQLite session may hold the database before a write gives up.
const BUSY: Duration = Duration::from_secs(5);

/// A database as it was found.
pub(crate) struct Opened {
    pub(crate) connection: Connection,
    pub(crate) mirror: Mirror,
    pub(crate) created: bool,
}

/// Why a database could not be opened.
pub(crate) enum Fault {
    /// It is not what was written: setting it aside helps.
    Damaged(String),
    /// It is left as it is.
    Refused(LedgerError),
}

/// Opens or creates the database at `path` and reads all of it but the dead letters.
pub(crate) fn open(path: &Path) -> Result<Opened, Fault> {
    let fault = |source: Error| {
        // A damaged header can make SQLite treat a file as read-only that is not.
        let pretends = source.sqlite_error_code() == Some(ErrorCode::ReadOnly) && OpenOptions::new().write(true).open(path).is_ok();
        if is_environment(&source) && !pretends {
            Fault::Refused(LedgerError::Disk { path: path.to_owned(), during: "opening it", source })
        } else {
            Fault::Damaged(source.to_string())
        }
    };
    let connection = Connection::open(path).map_err(fault)?;
    prepare(&connection).map_err(fault)?;
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(fault)?;
    if verdict != "ok" {
        return Err(Fault::Damaged(verdict));
    }
    if connection.is_readonly("main").map_err(fault)? {
        return Err(fault(Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_READONLY), None)));
    }
    let created = is_empty(&connection).map_err(fault)?;
    if created {
        create(&connection, Origin::Created).map_err(fault)?;
        sync_directory(path).map_err(|error| {
            let source = Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR), Some(error.to_string()));
            Fault::Refused(LedgerError::Disk { path: path.to_owned(), during: "syncing its directory", source })
        })?;
    }
    let found = format(&connection).map_err(fault)?;
    if found > FORMAT {
        return Err(Fault::Refused(LedgerError::Newer { path: path.to_owned(), found, known: FORMAT }));
    }
    if found < FORMAT {
        migrate(&connection).map_err(fault)?;
    }
    let mirror = read(&connection).map_err(fault)?;
    Ok(Opened { connection, mirror, created })
}

/// From format 1, all or nothing.
fn migrate(connection: &Connection) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    transaction.execute_batch(rows::FROM_1_TO_2)?;
    rows::set_meta(&transaction, "format", &FORMAT.to_string())?;
    transaction.commit()?;
    checkpoint(connection)
}

/// A database without a file.
pub(crate) fn memory() -> rusqlite::Result<Opened> {
    let connection = Connection::open_in_memory()?;
    create(&connection, Origin::Created)?;
    let mirror = read(&connection)?;
    Ok(Opened { connection, mirror, created: true })
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))
}

fn create(connection: &Connection, origin: Origin) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    transaction.execute_batch(rows::SCHEMA)?;
    rows::set_meta(&transaction, "format", &FORMAT.to_string())?;
    rows::set_meta(&transaction, "origin", origin_text(origin))?;
    transaction.commit()?;
    checkpoint(connection)
}

/// Moves everything from the write-ahead log into the database, where damage is found out and not just cut off.
pub(crate) fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

fn format(connection: &Connection) -> rusqlite::Result<u64> {
    let text = rows::meta(connection, "format")?.ok_or_else(|| rows::broken("it names no format"))?;
    text.parse().map_err(|_| rows::broken(format!("its format is `{text}`")))
}

fn read(connection: &Connection) -> rusqlite::Result<Mirror> {
    let origin = match rows::meta(connection, "origin")?.as_deref() {
        Some("created") => Origin::Created,
        Some("rebuilt") => Origin::Rebuilt,
        Some("attached") => Origin::Attached,
        other => return Err(rows::broken(format!("its origin is {other:?}"))),
    };
    let mut mirror = Mirror::default();
    mirror.origin = origin;
    mirror.store = rows::meta(connection, "store")?;
    mirror.found.extend(rows::found(connection)?);
    mirror.names.extend(rows::names(connection)?);
    for record in rows::records(connection)? {
        mirror.put(record);
    }
    for (id, count) in graves::marks(connection)? {
        mirror.mark(id, count);
    }
    Ok(mirror)
}

/// Marks a database that replaces a damaged one.
pub(crate) fn mark_rebuilt(opened: &mut Opened) -> rusqlite::Result<()> {
    opened.mirror.origin = Origin::Rebuilt;
    rows::set_meta(&opened.connection, "origin", origin_text(Origin::Rebuilt))
}

/// Writes all of `mirror` into a new database: what memory knows outlives a file that was damaged under a running program.
pub(crate) fn refill(connection: &mut Connection, mirror: &Mirror) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for record in mirror.all() {
        rows::insert(&transaction, &record)?;
    }
    for (destination, &last) in &mirror.names {
        rows::set_name(&transaction, destination, last)?;
    }
    rows::set_found(&transaction, mirror.found.iter().map(|(stream, &head)| (stream, head)))?;
    rows::set_meta(&transaction, "origin", origin_text(mirror.origin))?;
    if let Some(store) = &mirror.store {
        rows::set_meta(&transaction, "store", store)?;
    }
    transaction.commit()?;
    checkpoint(connection)
}

fn origin_text(origin: Origin) -> &'static str {
    match origin {
        Origin::Created => "created",
        Origin::Rebuilt => "rebuilt",
        Origin::Attached => "attached",
    }
}

/// Renames the database and its companions to `<name>.damaged-<now>`.
pub(crate) fn set_aside(path: &Path, why: &str, now: u64) -> Result<Rebuilt, LedgerError> {
    let set_aside = with_suffix(path, &format!(".damaged-{now}"));
    for companion in ["", "-wal", "-shm"] {
        match fs::rename(with_suffix(path, companion), with_suffix(&set_aside, companion)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(LedgerError::SetAside { path: path.to_owned(), source: error });
            }
            _ => {}
        }
    }
    sync_directory(path).map_err(|source| LedgerError::SetAside { path: path.to_owned(), source })?;
    tracing::error!(
        path = %path.display(), set_aside = %set_aside.display(), why,
        "the bookkeeping is damaged: it was set aside and begins anew; exporters may deliver events twice, none is lost, and dead letters stay in the file that was set aside"
    );
    Ok(Rebuilt { set_aside, why: why.to_owned() })
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// SQLite syncs the directory for its write-ahead log, not for a database that it just created.
fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

/// Whether the error tells of the machine and not of the file's content.
fn is_environment(error: &Error) -> bool {
    use ErrorCode::{
        AuthorizationForStatementDenied, CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, FileLockingProtocolFailed, NoLargeFileSupport,
        OutOfMemory, PermissionDenied, ReadOnly, SystemIoFailure,
    };
    matches!(
        error.sqlite_error_code(),
        Some(
            AuthorizationForStatementDenied
                | CannotOpen
                | DatabaseBusy
                | DatabaseLocked
                | DiskFull
                | FileLockingProtocolFailed
                | NoLargeFileSupport
                | OutOfMemory
                | PermissionDenied
                | ReadOnly
                | SystemIoFailure
        )
    )
}

/// Whether the error tells of a damaged file, for a database that was sound when it was opened.
pub(crate) fn is_damage(error: &Error) -> bool {
    use Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnName, InvalidColumnType, Utf8Error};
    match error.sqlite_error_code() {
        // `Unknown` is SQLITE_ERROR: with fixed statements, a table or column that is no longer there.
        Some(code) => matches!(code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown),
        None => matches!(
            error,
            FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnName(..) | InvalidColumnType(..) | Utf8Error(..)
        ),
    }
}
