//! `flagpost spool …`: looks into a store, in whatever condition it is, without changing it.

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use flagpost_event::StreamName;
use flagpost_spool::{ExportError, RealDisk};

use super::{chain, complain, say};

/// Says what is there. Damage is a failure: scripts ask by the exit code.
pub(crate) fn check(path: &Path) -> ExitCode {
    match flagpost_spool::check(path, &RealDisk) {
        Ok(report) if !report.is_store() => no_store(path),
        Ok(report) => {
            say(report.to_string().trim_end());
            if report.is_healthy() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            complain(chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn no_store(path: &Path) -> ExitCode {
    complain(format_args!("{}: no store of flagpost's: name the directory that `buffer.path` names", path.display()));
    ExitCode::FAILURE
}

/// Prints every event that can be read; what was written and what is missing goes to standard error.
pub(crate) fn export(path: &Path, only: Option<&StreamName>) -> ExitCode {
    if flagpost_spool::check(path, &RealDisk).is_ok_and(|report| !report.is_store()) {
        return no_store(path);
    }
    let mut out = BufWriter::with_capacity(1 << 20, io::stdout().lock());
    let exported = flagpost_spool::export(path, &RealDisk, only, &mut out);
    let exported = exported.and_then(|report| out.flush().map_err(ExportError::Write).map(|()| report));
    match exported {
        Ok(report) => {
            complain(report.to_string().trim_end());
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(chain(&error));
            ExitCode::FAILURE
        }
    }
}
