//! What ClickHouse says. Its HTTP status says little (older servers answer 500 to everything), its own code says what it was.

use flagpost_sdk::{ExportError, Reply, misconfigured, rejected};

/// Of the operator: unknown table (60), database (81), column (16), setting (115), user (192), wrong or missing password (193, 194, 516), access
/// (497), read-only user (164), syntax (62), no such function (46), another number of columns (20), missing columns (10, 44, 47).
const MISCONFIGURED: &[u32] = &[10, 16, 20, 44, 46, 47, 60, 62, 81, 115, 164, 192, 193, 194, 497, 516];

/// Of the rows: what cannot be read as the column's type (6, 25, 26, 27, 33, 38, 41, 53, 69, 70, 72, 117, 321, 349, 376, 441), is too large for it
/// (131), not in its enumeration (36, 49 in old servers, 691) or against a constraint (469).
const REJECTED: &[u32] = &[6, 25, 26, 27, 33, 36, 38, 41, 49, 53, 69, 70, 72, 117, 131, 321, 349, 376, 441, 469, 691];

/// The outcome of an insert.
pub fn of(reply: &Reply) -> Result<(), ExportError> {
    let Some(code) = code(reply) else { return reply.delivered() };
    let shown = reply.shown();
    if code == 115 && shown.contains("insert_deduplication_token") {
        return Err(misconfigured(format!("{shown}: a server before 22.2; write `deduplicate: false` into `config`")));
    }
    // Said with the code of wrong data, but no event is guilty of it.
    if code == 117 && shown.contains("Unknown field") {
        return Err(misconfigured(format!("{shown}: add the column, or write `skipUnknownColumns: true` into `config`")));
    }
    if MISCONFIGURED.contains(&code) {
        return Err(misconfigured(shown));
    }
    if REJECTED.contains(&code) {
        return Err(rejected(shown));
    }
    // Everything else passes: memory, too many parts, a keeper that is away, a disk that is full.
    Err(reply.again())
}

/// ClickHouse's own code of an error, out of the header of newer servers or the text: `Code: 117, e.displayText() = …`, `Code: 117. DB::…`.
fn code(reply: &Reply) -> Option<u32> {
    if let Some(code) = reply.header("x-clickhouse-exception-code") {
        return code.trim().parse().ok();
    }
    let (_, rest) = reply.body.split_once("Code: ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
