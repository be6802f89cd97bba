//! What can go wrong with the bookkeeping.

use std::path::PathBuf;

use crate::ConsumerId;

/// A change or a read of the bookkeeping that did not happen. Nothing was changed, in memory or on disk; damage is not an error (see
/// [`LedgerReport`](crate::LedgerReport)).
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A newer program wrote it.
    #[error(
        "the bookkeeping `{}` has format {found}, and this program knows formats up to {known}: start the newer program again, or give \
         this one another `buffer.path`",
        path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// The format that was found.
        found: u64,
        /// The newest format that this program knows.
        known: u64,
    },
    /// The disk or the system refused. It may work again later.
    #[error("the bookkeeping `{}` could not be used ({during})", path.display())]
    Disk {
        /// The database.
        path: PathBuf,
        /// What was being done.
        during: &'static str,
        /// SQLite's answer.
        #[source]
        source: rusqlite::Error,
    },
    /// The database is damaged and could not be set aside.
    #[error("the bookkeeping `{}` is damaged and could not be set aside", path.display())]
    SetAside {
        /// The database.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The system gave it no thread.
    #[error("the bookkeeping got no thread of its own")]
    Thread(#[source] std::io::Error),
    /// No such consumer: never registered, or forgotten.
    #[error("consumer {} is not in the bookkeeping", .0.0)]
    Unknown(ConsumerId),
    /// A settlement whose numbers do not add up: a defect of the caller, refused so that it cannot become durable.
    #[error("the settlement of consumer {} is refused: {why}", id.0)]
    Unsound {
        /// Whose.
        id: ConsumerId,
        /// Which rule it breaks.
        why: String,
    },
    /// [`Ledger::close`](crate::Ledger::close) was called.
    #[error("the bookkeeping is closed")]
    Closed,
}

/// What opening the bookkeeping found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerReport {
    /// There was no bookkeeping; it was created.
    pub created: bool,
    /// It was damaged, set aside, and created anew. Consumers start at the oldest event: duplicates, no loss.
    pub rebuilt: Option<Rebuilt>,
}

/// A damaged database that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// Where the damaged file is now.
    pub set_aside: PathBuf,
    /// What was wrong with it.
    pub why: String,
}
