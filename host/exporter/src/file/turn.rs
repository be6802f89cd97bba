//! One writer at a time per file, in the whole process.
//!
//! A call that hangs in the kernel goes on after its attempt was given up; the next attempt must not write beside it. Several exporters may
//! also append to one file.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::ExportError;

static TAKEN: Mutex<Option<HashSet<PathBuf>>> = Mutex::new(None);

/// The right to write to a path, until dropped.
pub(super) struct Turn(PathBuf);

impl Turn {
    /// Takes the turn, or says that another has it: waiting would pile up threads behind a disk that hangs.
    pub(super) fn take(path: &Path) -> Result<Turn, ExportError> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        if !taken.get_or_insert_default().insert(path.clone()) {
            return Err(ExportError::retryable(format!("an earlier attempt or another exporter is still writing {}", path.display())));
        }
        Ok(Turn(path))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        taken.get_or_insert_default().remove(&self.0);
    }
}
