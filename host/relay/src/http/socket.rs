//! `server.mode: unixsocket`: the socket's file, from its making to its removal.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// Who may connect: this user and its group. Upstream leaves that to the process's mask, which usually means this user alone.
const MODE: u32 = 0o660;

/// The file of a listening socket; removed with it.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// By the end another relay may have put its own socket there.
    identity: Identity,
}

/// Device, inode, and when it was made: file systems give a freed inode to the next file.
type Identity = (u64, u64, i64, i64);

fn identity(path: &Path) -> io::Result<Identity> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino(), file.mtime(), file.mtime_nsec()))
}

/// Listens at `path`. A socket that an earlier process left there is removed, as upstream does; anything else stays, and is an error.
pub(crate) fn bind(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    match fs::symlink_metadata(path) {
        Ok(file) if file.file_type().is_socket() => fs::remove_file(path)?,
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is something else than a socket")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
    Ok((listener, SocketFile { path: path.to_owned(), identity: identity(path)? }))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = identity(&self.path).is_ok_and(|now| now == self.identity);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the socket's file could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn the_file_is_there_while_somebody_listens() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("relay.sock");
        let (first, file) = bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        drop(first);
        let (_second, other) = bind(&path).unwrap();
        drop(file);
        assert!(path.exists(), "it is another one's now");
        drop(other);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_is_no_socket_is_not_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("precious");
        fs::write(&path, "data").unwrap();
        assert_eq!(bind(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "data");
    }
}
