//! What a failed system call means for a batch.

use std::io::{Error, ErrorKind};
use std::path::Path;

use crate::ExportError;

/// Nothing will change until somebody changes it: permissions, names, what stands where a directory should be. All else may pass, a full
/// disk too.
pub(super) fn failed(what: &str, path: &Path, error: &Error) -> ExportError {
    let reason = format!("cannot {what} {}: {error}", path.display());
    match error.kind() {
        ErrorKind::PermissionDenied
        | ErrorKind::ReadOnlyFilesystem
        | ErrorKind::NotFound
        // Something that is no directory stands where one is needed.
        | ErrorKind::AlreadyExists
        | ErrorKind::NotADirectory
        | ErrorKind::IsADirectory
        | ErrorKind::InvalidFilename
        | ErrorKind::Unsupported => ExportError::misconfigured(format!("{reason}: check `outputDir` and `filename`")),
        _ => ExportError::retryable(reason),
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn only_what_an_operator_must_change_is_misconfigured() {
        let table = [
            (Errno::NOSPC, false),
            (Errno::DQUOT, false),
            (Errno::IO, false),
            (Errno::MFILE, false),
            (Errno::STALE, false),
            (Errno::ACCESS, true),
            (Errno::PERM, true),
            (Errno::ROFS, true),
            (Errno::NOENT, true),
            (Errno::NOTDIR, true),
            (Errno::EXIST, true),
            (Errno::ISDIR, true),
            (Errno::NAMETOOLONG, true),
        ];
        for (errno, misconfigured) in table {
            let error = failed("write", Path::new("/out/x"), &Error::from(errno));
            assert_eq!(matches!(error, ExportError::Misconfigured { .. }), misconfigured, "{errno:?}");
            assert_eq!(matches!(error, ExportError::Retryable { .. }), !misconfigured, "{errno:?}");
            assert!(error.to_string().contains(&Error::from(errno).to_string()), "{error}");
        }
    }
}
