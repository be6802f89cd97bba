//! The statements: records to rows and back. Every row that decides what is delivered carries a checksum, because SQLite has none and a
//! flipped bit in a cursor would be a silent loss.

use std::fmt::Write as _;

use flagpost_event::{EventKind, StreamName};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::{ConsumerId, ConsumerRecord, Identity};

/// The tables. `gone` rows are kept because dead letters name them.
pub(crate) const SCHEMA: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL, sum INTEGER NOT NULL) STRICT;
CREATE TABLE consumers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    flag_set TEXT NOT NULL,
    exporter TEXT NOT NULL,
    kind TEXT NOT NULL,
    start INTEGER NOT NULL,
    cursor INTEGER NOT NULL,
    dead INTEGER NOT NULL,
    dropped TEXT NOT NULL,
    plan TEXT,
    orphaned_since INTEGER,
    gone INTEGER NOT NULL DEFAULT 0,
    sum INTEGER NOT NULL,
    replayed INTEGER NOT NULL DEFAULT 0,
    replays INTEGER NOT NULL DEFAULT 0,
    replay TEXT
) STRICT;
CREATE UNIQUE INDEX consumer_of ON consumers (flag_set, exporter, kind) WHERE gone = 0;
CREATE TABLE dead_letters (
    consumer INTEGER NOT NULL REFERENCES consumers (id),
    number INTEGER NOT NULL,
    event BLOB NOT NULL,
    reason TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    first_tried INTEGER NOT NULL,
    condemned_at INTEGER NOT NULL,
    batch TEXT NOT NULL DEFAULT '',
    marked INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (consumer, number)
) STRICT;
CREATE INDEX marked_letters ON dead_letters (consumer, number) WHERE marked = 1;
CREATE TABLE names (destination TEXT PRIMARY KEY NOT NULL, last INTEGER NOT NULL, sum INTEGER NOT NULL) STRICT;
CREATE TABLE found (flag_set TEXT NOT NULL, kind TEXT NOT NULL, head INTEGER NOT NULL, PRIMARY KEY (flag_set, kind)) STRICT;
";

/// From format 1 to 2: dead letters can be sent again. Rows of format 1 keep their checksums.
pub(crate) const FROM_1_TO_2: &str = "
ALTER TABLE consumers ADD COLUMN replayed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE consumers ADD COLUMN replays INTEGER NOT NULL DEFAULT 0;
ALTER TABLE consumers ADD COLUMN replay TEXT;
ALTER TABLE dead_letters ADD COLUMN batch TEXT NOT NULL DEFAULT '';
ALTER TABLE dead_letters ADD COLUMN marked INTEGER NOT NULL DEFAULT 0;
CREATE INDEX marked_letters ON dead_letters (consumer, number) WHERE marked = 1;
";

/// SQLite's integers are signed; event numbers and times stay far below 2^63.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(row: &Row<'_>, column: &str) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| broken(format!("{column} is negative")))
}

/// A row that cannot be what was written.
pub(crate) fn broken(why: impl Into<String>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Null, why.into().into())
}

fn json<T: serde::de::DeserializeOwned>(text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(|error| broken(error.to_string()))
}

fn to_json<T: serde::Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// CRC32C over the parts, each with its length.
fn checksum(parts: &[&str]) -> i64 {
    let mut text = String::new();
    for part in parts {
        // Writing to a String cannot fail.
        let _ignored = write!(text, "{}:{part};", part.len());
    }
    i64::from(crc32c::crc32c(text.as_bytes()))
}

fn record_sum(record: &ConsumerRecord, texts: &Texts) -> i64 {
    let (dropped, plan) = (&texts.dropped, texts.plan.as_deref());
    let since = record.orphaned_since.map_or_else(String::new, |since| since.to_string());
    let numbers = [record.start, record.cursor, record.dead].map(|number| number.to_string());
    let [start, cursor, dead] = [&numbers[0], &numbers[1], &numbers[2]];
    let Identity { flag_set, exporter } = &record.identity;
    let kind = record.stream.kind.as_str();
    let mut parts = vec![flag_set.as_str(), exporter, kind, start, cursor, dead, dropped, plan.unwrap_or(""), &since];
    let replayed = [record.replayed, record.replays].map(|number| number.to_string());
    if record.replayed > 0 || record.replays > 0 {
        // Only then: a row that never saw a replay has the sum that format 1 gave it.
        parts.extend([replayed[0].as_str(), &replayed[1], texts.replay.as_deref().unwrap_or("")]);
    }
    checksum(&parts)
}

/// The columns that are JSON.
struct Texts {
    dropped: String,
    plan: Option<String>,
    replay: Option<String>,
}

/// Inserts the record: with its own id, or with the next one when that is 0. Returns the id.
pub(crate) fn insert(connection: &Connection, record: &ConsumerRecord) -> rusqlite::Result<ConsumerId> {
    let texts = texts(record)?;
    let sum = record_sum(record, &texts);
    let id = (record.id.0 != 0).then_some(record.id.0);
    connection
        .prepare_cached(
            "INSERT INTO consumers (id, flag_set, exporter, kind, start, cursor, dead, dropped, plan, orphaned_since, sum, replayed, replays, \
             replay) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            id,
            record.identity.flag_set,
            record.identity.exporter,
            record.stream.kind.as_str(),
            signed(record.start),
            signed(record.cursor),
            signed(record.dead),
            texts.dropped,
            texts.plan,
            record.orphaned_since.map(signed),
            sum,
            signed(record.replayed),
            signed(record.replays),
            texts.replay
        ])?;
    Ok(ConsumerId(connection.last_insert_rowid()))
}

/// Writes all of the record that changes.
pub(crate) fn update(connection: &Connection, record: &ConsumerRecord) -> rusqlite::Result<()> {
    let texts = texts(record)?;
    let sum = record_sum(record, &texts);
    let changed = connection
        .prepare_cached(
            "UPDATE consumers SET start = ?, cursor = ?, dead = ?, dropped = ?, plan = ?, orphaned_since = ?, sum = ?, replayed = ?, \
             replays = ?, replay = ? WHERE id = ? AND gone = 0",
        )?
        .execute(params![
            signed(record.start),
            signed(record.cursor),
            signed(record.dead),
            texts.dropped,
            texts.plan,
            record.orphaned_since.map(signed),
            sum,
            signed(record.replayed),
            signed(record.replays),
            texts.replay,
            record.id.0
        ])?;
    if changed == 1 { Ok(()) } else { Err(broken(format!("the row of consumer {} is missing", record.id.0))) }
}

fn texts(record: &ConsumerRecord) -> rusqlite::Result<Texts> {
    Ok(Texts {
        dropped: to_json(&record.dropped)?,
        plan: record.plan.as_ref().map(to_json).transpose()?,
        replay: record.replay.as_ref().map(to_json).transpose()?,
    })
}

/// Takes the consumer out of the registry; its row stays for its dead letters.
pub(crate) fn forget(connection: &Connection, id: ConsumerId) -> rusqlite::Result<()> {
    connection.execute("UPDATE consumers SET gone = 1, plan = NULL, replay = NULL WHERE id = ?", [id.0]).map(drop)
}

/// All records of the registry.
pub(crate) fn records(connection: &Connection) -> rusqlite::Result<Vec<ConsumerRecord>> {
    let mut statement = connection.prepare("SELECT * FROM consumers WHERE gone = 0 ORDER BY id")?;
    let rows = statement.query_map([], record)?;
    rows.collect()
}

fn record(row: &Row<'_>) -> rusqlite::Result<ConsumerRecord> {
    let flag_set: String = row.get("flag_set")?;
    let texts = Texts { dropped: row.get("dropped")?, plan: row.get("plan")?, replay: row.get("replay")? };
    let since: Option<i64> = row.get("orphaned_since")?;
    let record = ConsumerRecord {
        id: ConsumerId(row.get("id")?),
        stream: StreamName::new(flag_set.as_str(), kind(&row.get::<_, String>("kind")?)?),
        identity: Identity { flag_set, exporter: row.get("exporter")? },
        start: unsigned(row, "start")?,
        cursor: unsigned(row, "cursor")?,
        dead: unsigned(row, "dead")?,
        replayed: unsigned(row, "replayed")?,
        replays: unsigned(row, "replays")?,
        dropped: json(&texts.dropped)?,
        plan: texts.plan.as_deref().map(json).transpose()?,
        replay: texts.replay.as_deref().map(json).transpose()?,
        orphaned_since: since.map(|since| u64::try_from(since).map_err(|_| broken("orphaned_since is negative"))).transpose()?,
    };
    if record_sum(&record, &texts) == row.get::<_, i64>("sum")? {
        Ok(record)
    } else {
        Err(broken(format!("the row of consumer {} does not match its checksum", record.id.0)))
    }
}

pub(super) fn kind(text: &str) -> rusqlite::Result<EventKind> {
    EventKind::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| broken(format!("`{text}` is no event kind")))
}

/// One of the facts about the database itself.
pub(crate) fn meta(connection: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    let row = connection
        .query_row("SELECT value, sum FROM meta WHERE key = ?", [key], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))
        .optional()?;
    match row {
        Some((value, sum)) if checksum(&[key, &value]) == sum => Ok(Some(value)),
        Some(_) => Err(broken(format!("meta `{key}` does not match its checksum"))),
        None => Ok(None),
    }
}

/// Sets one of the facts about the database itself.
pub(crate) fn set_meta(connection: &Connection, key: &str, value: &str) -> rusqlite::Result<()> {
    let insert = "INSERT OR REPLACE INTO meta (key, value, sum) VALUES (?, ?, ?)";
    connection.execute(insert, params![key, value, checksum(&[key, value])]).map(drop)
}

/// The name clock.
pub(crate) fn names(connection: &Connection) -> rusqlite::Result<Vec<(String, u64)>> {
    let mut statement = connection.prepare("SELECT destination, last, sum FROM names")?;
    let rows = statement.query_map([], |row| {
        let (destination, last): (String, u64) = (row.get("destination")?, unsigned(row, "last")?);
        let sum = checksum(&[&destination, &last.to_string()]);
        if sum == row.get::<_, i64>("sum")? { Ok((destination, last)) } else { Err(broken("the name clock does not match its checksum")) }
    })?;
    rows.collect()
}

/// Moves the name clock of a destination.
pub(crate) fn set_name(connection: &Connection, destination: &str, last: u64) -> rusqlite::Result<()> {
    let sum = checksum(&[destination, &last.to_string()]);
    let insert = "INSERT OR REPLACE INTO names (destination, last, sum) VALUES (?, ?, ?)";
    connection.prepare_cached(insert)?.execute(params![destination, signed(last), sum]).map(drop)
}

/// Streams that held events when the bookkeeping began anew.
pub(crate) fn found(connection: &Connection) -> rusqlite::Result<Vec<(StreamName, u64)>> {
    let mut statement = connection.prepare("SELECT flag_set, kind, head FROM found")?;
    let rows = statement.query_map([], |row| {
        let (flag_set, name): (String, String) = (row.get("flag_set")?, row.get("kind")?);
        Ok((StreamName::new(flag_set, kind(&name)?), unsigned(row, "head")?))
    })?;
    rows.collect()
}

/// Replaces the streams that held events when the bookkeeping began anew.
pub(crate) fn set_found<'a>(connection: &Connection, streams: impl Iterator<Item = (&'a StreamName, u64)>) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM found", [])?;
    for (stream, head) in streams {
        let insert = "INSERT INTO found (flag_set, kind, head) VALUES (?, ?, ?)";
        connection.execute(insert, params![&*stream.flag_set, stream.kind.as_str(), signed(head)])?;
    }
    Ok(())
}
