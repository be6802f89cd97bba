//! Compiled artefacts on disk.
//!
//! A `.cwasm` is machine code: whoever can write one into the cache runs code in the relay. So: the directory is the relay's alone (0700;
//! one that others may write to is refused), it is never the drop-in directory, and every entry carries a MAC under a key that is made at
//! first use and readable by the relay's user only (0600). The MAC covers what the entry was compiled *from* (the file's SHA-256), what
//! it was compiled *for* (the engine's compatibility hash) and the code: a renamed, cut, flipped or forged entry is not loaded but
//! compiled anew, with a warning. What this does not protect from: someone who is the relay's user already.
//!
//! ```text
//! <dir>/key                                32 random bytes
//! <dir>/<sha256 of .wasm>-<compat>.cwasm   "FPCW\x01", 32 bytes HMAC-SHA256, the artefact
//! <dir>/tmp-<process>-*                    being written or compiled; removed at start when that process is gone
//! ```

mod key;
mod trusted;

use std::fs;
use std::hash::{Hash, Hasher};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use rustix::process::{Pid, test_kill_process};
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use key::Key;

/// First bytes of an entry: name and layout version.
const MAGIC: &[u8; 5] = b"FPCW\x01";
const MAC_BYTES: usize = 32;

/// Entries kept for this engine; the oldest beyond are removed. A Python component's artefact has 37 MB.
const MAX_ENTRIES: usize = 64;

/// SHA-256 of a plugin's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Digest(Sha256::digest(bytes).into())
    }

    pub(crate) fn hex(&self) -> String {
        hex::encode(self.0)
    }
}

/// The directory, opened.
#[derive(Debug)]
pub(crate) struct Cache {
    dir: PathBuf,
    key: Key,
    compat: String,
}

/// The cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CacheError {
    #[error("{action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "{} can be written by others (mode {mode:o}): compiled plugins in it would be code of anyone's; run `chmod 700` on it",
        path.display()
    )]
    Shared { path: PathBuf, mode: u32 },
    #[error("{} belongs to user {owner}, not to the relay's user {me}: compiled plugins in it would be theirs to write", path.display())]
    Foreign { path: PathBuf, owner: u32, me: u32 },
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CacheError {
    move |source| CacheError::Io { action, path: path.to_owned(), source }
}

impl Cache {
    /// Opens or makes the directory and its key, and removes what no longer serves: leftovers, and entries of other engine versions.
    pub(crate) fn open(dir: &Path, engine: &Engine) -> Result<Self, CacheError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io_error("cannot make", dir))?;
        let facts = fs::metadata(dir).map_err(io_error("cannot read the mode of", dir))?;
        if facts.mode() & 0o022 != 0 {
            return Err(CacheError::Shared { path: dir.to_owned(), mode: facts.mode() & 0o7777 });
        }
        let me = rustix::process::geteuid().as_raw();
        if facts.uid() != me {
            return Err(CacheError::Foreign { path: dir.to_owned(), owner: facts.uid(), me });
        }
        let path = dir.join("key");
        let key = Key::open(&path).map_err(io_error("cannot use the cache's key", &path))?;
        let cache = Cache { dir: dir.to_owned(), key, compat: compatibility(engine) };
        cache.sweep();
        Ok(cache)
    }

    /// Where temporary files go.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The component that was compiled from the file with this digest, for this engine. `None`: compile it.
    pub(crate) fn load(&self, engine: &Engine, digest: &Digest) -> Option<Component> {
        let path = self.entry(digest);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(why) if why.kind() == io::ErrorKind::NotFound => return None,
            Err(why) => {
                tracing::warn!(path = %path.display(), error = %why, "a compiled plugin cannot be read and is compiled anew");
                return None;
            }
        };
        let loaded = self.verify(digest, &bytes).and_then(|artefact| artefact.load(engine).map_err(|why| format!("{why:#}")));
        match loaded {
            Ok(component) => Some(component),
            Err(why) => {
                tracing::warn!(path = %path.display(), error = why, "a compiled plugin is not loaded and is compiled anew");
                None
            }
        }
    }

    /// Takes what the relay's own compiler made from the file with this digest: loads it, and keeps it for the next start. Failing to
    /// keep it is only warned of.
    pub(crate) fn take(&self, engine: &Engine, digest: &Digest, artefact: &[u8]) -> wasmtime::Result<Component> {
        let component = trusted::Artefact::just_compiled(artefact).load(engine)?;
        if let Err(why) = self.store(digest, artefact) {
            let path = self.entry(digest);
            tracing::warn!(path = %path.display(), error = %why, "a compiled plugin is not kept: it is compiled again at the next start");
        }
        Ok(component)
    }

    fn verify<'a>(&self, digest: &Digest, bytes: &'a [u8]) -> Result<trusted::Artefact<'a>, String> {
        let (mac, artefact) = bytes
            .strip_prefix(MAGIC)
            .and_then(|rest| rest.split_at_checked(MAC_BYTES))
            .ok_or_else(|| "it is no entry of this cache's layout".to_owned())?;
        self.mac(digest, artefact)
            .verify_slice(mac)
            .map_err(|_| "its MAC is wrong: it is damaged, or this relay did not write it".to_owned())?;
        Ok(trusted::Artefact::verified(artefact))
    }

    fn store(&self, digest: &Digest, artefact: &[u8]) -> io::Result<()> {
        let temp = self.dir.join(format!("tmp-{}-{:016x}", std::process::id(), rand::random::<u64>()));
        let written = (|| {
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temp)?;
            file.write_all(MAGIC)?;
            file.write_all(&self.mac(digest, artefact).finalize().into_bytes())?;
            file.write_all(artefact)?;
            // No sync: a torn entry fails its MAC and is compiled again.
            fs::rename(&temp, self.entry(digest))
        })();
        if written.is_err() {
            drop(fs::remove_file(&temp));
        }
        self.evict();
        written
    }

    fn mac(&self, digest: &Digest, artefact: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new(&self.key.block().into());
        mac.update(MAGIC);
        mac.update(&digest.0);
        mac.update(self.compat.as_bytes());
        mac.update(artefact);
        mac
    }

    fn entry(&self, digest: &Digest) -> PathBuf {
        self.dir.join(format!("{}-{}.cwasm", digest.hex(), self.compat))
    }

    fn sweep(&self) {
        let suffix = format!("-{}.cwasm", self.compat);
        for path in self.files() {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            // A compiler may be writing a temporary one for another process.
            let foreign = name.ends_with(".cwasm") && !name.ends_with(&suffix) && !is_temp(&path);
            if foreign || is_abandoned(name, &path) {
                drop(fs::remove_file(&path));
            }
        }
    }

    fn evict(&self) {
        let mut entries: Vec<_> = self
            .files()
            .filter(|path| path.extension().is_some_and(|extension| extension == "cwasm") && !is_temp(path))
            .filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path)))
            .collect();
        entries.sort();
        let surplus = entries.len().saturating_sub(MAX_ENTRIES);
        for (_, path) in entries.drain(..surplus) {
            drop(fs::remove_file(&path));
        }
    }

    fn files(&self) -> impl Iterator<Item = PathBuf> {
        fs::read_dir(&self.dir).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()))
    }
}

/// The engine's compatibility hash as 16 hex digits, from a hasher that is the same in every build of Rust's library.
fn compatibility(engine: &Engine) -> String {
    struct Stable(Sha256);
    impl Hasher for Stable {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            let digest = self.0.clone().finalize();
            digest.iter().take(8).fold(0, |hash, &byte| hash << 8 | u64::from(byte))
        }
    }
    let mut hasher = Stable(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests;

/// What the names of files begin with that are being written.
const TEMP: &str = "tmp-";

fn is_temp(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(TEMP))
}

/// Longer than a compilation may take.
const OLD: Duration = Duration::from_secs(3600);

/// Whether a file was being written by a process that is gone. An author's commands share one directory, and may run at the same time.
pub(crate) fn is_abandoned(name: &str, path: &Path) -> bool {
    let Some(rest) = name.strip_prefix(TEMP) else { return false };
    let owner = rest.strip_prefix("key-").unwrap_or(rest).split('-').next().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
    let lives = owner.is_some_and(|owner| {
        owner.as_raw_nonzero().get().unsigned_abs() != std::process::id() && test_kill_process(owner) != Err(rustix::io::Errno::SRCH)
    });
    let age = fs::metadata(path).and_then(|facts| facts.modified()).ok().and_then(|then| then.elapsed().ok());
    !lives || age.is_some_and(|age| age > OLD)
}
