//! The key that entries are authenticated with.

use std::fmt;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

/// 32 random bytes that never leave the directory and the process.
pub(super) struct Key([u8; 32]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Key {
    /// Reads the key, or makes it. One that others may read, or of another length, is replaced: all entries are then compiled anew.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if let Some(key) = Self::read(path)? {
            return Ok(key);
        }
        let key = Key(rand::random());
        let temp = path.with_file_name(format!("tmp-key-{}-{:016x}", std::process::id(), rand::random::<u64>()));
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temp)?;
        file.write_all(&key.0)?;
        fs::rename(&temp, path)?;
        Ok(key)
    }

    fn read(path: &Path) -> io::Result<Option<Self>> {
        let file = match fs::File::open(path) {
            Ok(file) => file,
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(why) => return Err(why),
        };
        let facts = file.metadata()?;
        let mut bytes = Vec::new();
        file.take(33).read_to_end(&mut bytes)?;
        match <[u8; 32]>::try_from(bytes) {
            Ok(bytes) if facts.mode() & 0o077 == 0 && facts.uid() == rustix::process::geteuid().as_raw() => Ok(Some(Key(bytes))),
            _ => {
                let path = path.display();
                tracing::warn!(%path, "the cache's key was readable by others or damaged: a new one is made, plugins are compiled anew");
                Ok(None)
            }
        }
    }

    /// The key as HMAC-SHA256 takes it: a block of 64 bytes, filled with zeroes (RFC 2104).
    pub(super) fn block(&self) -> [u8; 64] {
        let mut block = [0; 64];
        block[..32].copy_from_slice(&self.0);
        block
    }
}
