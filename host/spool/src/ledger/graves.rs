//! The statements about dead letters.

use rusqlite::{Connection, OptionalExtension, Row, ToSql, named_params, params};

use super::letters::{Letter, LetterFilter, LetterId, LetterOwner};
use super::rows::{kind, signed, unsigned};
use crate::{ConsumerId, DeadLetter, Identity, NumberRanges};
use flagpost_event::StreamName;

/// What a filter means, and everything that a letter is shown with.
const CHOSEN: &str = "
FROM dead_letters d JOIN consumers c ON c.id = d.consumer
WHERE (:ids IS NULL OR d.consumer || '-' || d.number IN (SELECT value FROM json_each(:ids)))
  AND (:flag_set IS NULL OR c.flag_set = :flag_set)
  AND (:exporter IS NULL OR c.exporter = :exporter)
  AND (:kind IS NULL OR c.kind = :kind)
  AND (:reason IS NULL OR instr(d.reason, :reason) > 0)
  AND (:marked = 0 OR d.marked = 1)
  AND (d.consumer, d.number) > (:after_consumer, :after_number)";

const OWNER: &str = "c.id AS owner, c.flag_set, c.exporter, c.kind, c.gone";

/// Keeps a dead letter.
pub(super) fn bury(connection: &Connection, id: ConsumerId, letter: &DeadLetter) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO dead_letters (consumer, number, event, reason, attempts, first_tried, condemned_at, batch, marked) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            id.0,
            signed(letter.number),
            letter.event,
            letter.reason,
            letter.attempts,
            signed(letter.first_tried),
            signed(letter.condemned_at),
            letter.batch,
            letter.marked
        ])
        .map(drop)
}

fn letter(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    Ok(DeadLetter {
        number: unsigned(row, "number")?,
        event: row.get("event")?,
        reason: row.get("reason")?,
        attempts: row.get("attempts")?,
        first_tried: unsigned(row, "first_tried")?,
        condemned_at: unsigned(row, "condemned_at")?,
        batch: row.get("batch")?,
        marked: row.get("marked")?,
    })
}

fn owner(row: &Row<'_>) -> rusqlite::Result<LetterOwner> {
    let flag_set: String = row.get("flag_set")?;
    Ok(LetterOwner {
        id: ConsumerId(row.get("owner")?),
        stream: StreamName::new(flag_set.as_str(), kind(&row.get::<_, String>("kind")?)?),
        identity: Identity { flag_set, exporter: row.get("exporter")? },
        gone: row.get("gone")?,
    })
}

/// Dead letters of one consumer in the order of their numbers, from above `after`.
pub(super) fn letters(connection: &Connection, id: ConsumerId, after: u64, limit: usize) -> rusqlite::Result<Vec<DeadLetter>> {
    let mut statement =
        connection.prepare_cached("SELECT * FROM dead_letters WHERE consumer = ? AND number > ? ORDER BY number LIMIT ?")?;
    let rows = statement.query_map(params![id.0, signed(after), most(limit)], letter)?;
    rows.collect()
}

/// How many dead letters of one consumer are kept.
pub(super) fn count(connection: &Connection, id: ConsumerId) -> rusqlite::Result<u64> {
    let count = "SELECT count(*) AS kept FROM dead_letters WHERE consumer = ?";
    connection.query_row(count, [id.0], |row| unsigned(row, "kept"))
}

/// Runs a query over the chosen letters, in the order of their ids from above `after`.
fn chosen<T>(
    connection: &Connection,
    filter: &LetterFilter,
    after: Option<LetterId>,
    (what, order): (&str, &str),
    row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    let ids = (!filter.ids.is_empty()).then(|| filter.ids.iter().map(LetterId::to_string).collect::<Vec<_>>());
    let ids = ids.map(|ids| serde_json::to_string(&ids)).transpose();
    let ids = ids.map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let kind = filter.kind.map(|kind| kind.as_str());
    let (after_consumer, after_number) = after.map_or((i64::MIN, 0), |id| (id.consumer.0, signed(id.number)));
    let mut statement = connection.prepare_cached(&format!("SELECT {what} {CHOSEN} {order}"))?;
    let parameters: &[(&str, &dyn ToSql)] = named_params! {
        ":ids": ids, ":flag_set": filter.flag_set, ":exporter": filter.exporter, ":kind": kind, ":reason": filter.reason_contains,
        ":marked": filter.marked,
        ":after_consumer": after_consumer, ":after_number": after_number,
    };
    let rows = statement.query_map(parameters, row)?;
    rows.collect()
}

/// The chosen letters: at most `limit`, and no more than `bytes` of events unless one alone is larger.
pub(super) fn page(
    connection: &Connection,
    filter: &LetterFilter,
    after: Option<LetterId>,
    limit: usize,
    bytes: usize,
) -> rusqlite::Result<Vec<Letter>> {
    let what = format!("d.*, {OWNER}");
    let order = format!("ORDER BY d.consumer, d.number LIMIT {}", most(limit));
    let (mut size, mut first) = (0, true);
    // Those that do not fit are not kept in memory.
    let page = chosen(connection, filter, after, (&what, &order), |row| {
        size += row.get_ref("event")?.as_blob().map_or(0, <[u8]>::len);
        let fits = std::mem::replace(&mut first, false) || size <= bytes;
        Ok(if fits { Some(Letter { owner: owner(row)?, letter: letter(row)? }) } else { None })
    })?;
    Ok(page.into_iter().map_while(|letter| letter).collect())
}

/// A letter that something is to be done with.
pub(super) struct Candidate {
    pub(super) id: LetterId,
    /// Its consumer is no longer in the registry.
    pub(super) gone: bool,
    /// Its event could not be read when it was condemned.
    pub(super) empty: bool,
}

/// The chosen letters, without what they hold.
pub(super) fn candidates(
    connection: &Connection,
    filter: &LetterFilter,
    after: Option<LetterId>,
    limit: usize,
) -> rusqlite::Result<Vec<Candidate>> {
    let what = "d.consumer, d.number, c.gone, length(d.event) = 0 AS empty";
    let order = format!("ORDER BY d.consumer, d.number LIMIT {}", most(limit));
    chosen(connection, filter, after, (what, &order), |row| {
        let id = LetterId { consumer: ConsumerId(row.get("consumer")?), number: unsigned(row, "number")? };
        Ok(Candidate { id, gone: row.get("gone")?, empty: row.get("empty")? })
    })
}

/// A reason of chosen letters of one consumer: how many, how many of them are marked, the oldest and the newest condemnation.
pub(super) struct Group {
    pub(super) owner: LetterOwner,
    pub(super) reason: String,
    pub(super) count: u64,
    pub(super) marked: u64,
    pub(super) oldest: u64,
    pub(super) newest: u64,
}

/// The chosen letters by consumer and reason, the most frequent reason of each consumer first.
pub(super) fn groups(connection: &Connection, filter: &LetterFilter) -> rusqlite::Result<Vec<Group>> {
    let what = format!(
        "{OWNER}, d.reason, count(*) AS kept, sum(d.marked) AS marked, min(d.condemned_at) AS oldest, max(d.condemned_at) AS newest"
    );
    chosen(connection, filter, None, (&what, "GROUP BY d.consumer, d.reason ORDER BY d.consumer, kept DESC, d.reason"), |row| {
        Ok(Group {
            owner: owner(row)?,
            reason: row.get("reason")?,
            count: unsigned(row, "kept")?,
            marked: unsigned(row, "marked")?,
            oldest: unsigned(row, "oldest")?,
            newest: unsigned(row, "newest")?,
        })
    })
}

/// How many letters are marked, by consumer.
pub(super) fn marks(connection: &Connection) -> rusqlite::Result<Vec<(ConsumerId, u64)>> {
    let mut statement = connection.prepare("SELECT consumer, count(*) AS marks FROM dead_letters WHERE marked = 1 GROUP BY consumer")?;
    let rows = statement.query_map([], |row| Ok((ConsumerId(row.get("consumer")?), unsigned(row, "marks")?)))?;
    rows.collect()
}

/// Marks one letter to be sent again; whether it was not before.
pub(super) fn mark(connection: &Connection, id: LetterId) -> rusqlite::Result<bool> {
    let update = "UPDATE dead_letters SET marked = 1 WHERE consumer = ? AND number = ? AND marked = 0";
    connection.prepare_cached(update)?.execute(params![id.consumer.0, signed(id.number)]).map(|count| count == 1)
}

/// Takes back the mark of one letter; whether it had one.
pub(super) fn unmark(connection: &Connection, id: LetterId) -> rusqlite::Result<bool> {
    let update = "UPDATE dead_letters SET marked = 0 WHERE consumer = ? AND number = ? AND marked = 1";
    connection.prepare_cached(update)?.execute(params![id.consumer.0, signed(id.number)]).map(|count| count == 1)
}

/// The first marked letters of a consumer: as many as fit into `bytes`, at least one.
pub(super) fn marked(connection: &Connection, id: ConsumerId, events: usize, bytes: usize) -> rusqlite::Result<Vec<DeadLetter>> {
    let select = "SELECT * FROM dead_letters WHERE consumer = ? AND marked = 1 ORDER BY number LIMIT ?";
    let mut statement = connection.prepare_cached(select)?;
    let mut rows = statement.query(params![id.0, most(events)])?;
    let (mut letters, mut size) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let letter = letter(row)?;
        size += letter.event.len() + 1;
        if size > bytes && !letters.is_empty() {
            break;
        }
        letters.push(letter);
    }
    Ok(letters)
}

/// Those of these letters that are there, in the order of their numbers.
pub(super) fn of(connection: &Connection, id: ConsumerId, numbers: &NumberRanges) -> rusqlite::Result<Vec<DeadLetter>> {
    let select = "SELECT * FROM dead_letters WHERE consumer = ? AND number >= ? AND number < ? ORDER BY number";
    let mut statement = connection.prepare_cached(select)?;
    let mut letters = Vec::new();
    for range in &numbers.0 {
        for found in statement.query_map(params![id.0, signed(range.start), signed(range.end)], letter)? {
            letters.push(found?);
        }
    }
    Ok(letters)
}

/// Removes one dead letter. `None`: it was not there; else whether it was marked.
pub(super) fn exhume(connection: &Connection, id: LetterId) -> rusqlite::Result<Option<bool>> {
    let delete = "DELETE FROM dead_letters WHERE consumer = ? AND number = ? RETURNING marked";
    connection.prepare_cached(delete)?.query_row(params![id.consumer.0, signed(id.number)], |row| row.get("marked")).optional()
}

/// A letter was refused again: no longer marked. Whether it was.
pub(super) fn refuse(connection: &Connection, id: LetterId, reason: &str, attempts: u32, at: u64) -> rusqlite::Result<bool> {
    let was_marked = unmark(connection, id)?;
    let update = "UPDATE dead_letters SET reason = ?, attempts = attempts + ?, condemned_at = ? WHERE consumer = ? AND number = ?";
    connection.prepare_cached(update)?.execute(params![reason, attempts, signed(at), id.consumer.0, signed(id.number)])?;
    Ok(was_marked)
}

/// Attempts were made with a letter.
pub(super) fn tried(connection: &Connection, id: LetterId, attempts: u32) -> rusqlite::Result<()> {
    let update = "UPDATE dead_letters SET attempts = attempts + ? WHERE consumer = ? AND number = ?";
    connection.prepare_cached(update)?.execute(params![attempts, id.consumer.0, signed(id.number)]).map(drop)
}

fn most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
