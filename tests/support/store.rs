//! A look into a store that no program has open.

use std::fs;
use std::sync::Arc;

use flagpost_event::SystemClock;
use flagpost_spool::Ledger;
use tempfile::TempDir;

use crate::Setup;

/// The bookkeeping as a relay that ended or was killed left it, opened from a copy.
#[derive(Debug)]
pub struct Books {
    /// The copy.
    pub ledger: Ledger,
    _copy: TempDir,
}

/// Opens a copy of the store's bookkeeping.
pub fn books(setup: &Setup) -> Books {
    let copy = tempfile::tempdir().unwrap();
    let mut database = None;
    for entry in fs::read_dir(setup.store()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.contains(".sqlite") && !name.ends_with("-shm") && !name.contains(".damaged-") {
            fs::copy(&path, copy.path().join(&name)).unwrap();
            if name.ends_with(".sqlite") {
                database = Some(copy.path().join(&name));
            }
        }
    }
    let (ledger, report) = Ledger::open(&database.expect("a store has a database"), Arc::new(SystemClock)).unwrap();
    assert_eq!(report.rebuilt, None, "it is sound");
    Books { ledger, _copy: copy }
}
