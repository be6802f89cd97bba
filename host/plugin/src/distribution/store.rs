//! What was fetched, on disk: a relay starts without its registry.
//!
//! ```text
//! <cache>/images/<sha256>.json     a manifest, named by its digest
//! <cache>/images/<sha256>.wasm     a component, named by its digest
//! <cache>/images/<sha256>.tag      of a tag's full name: the digest of the manifest that it led to last
//! ```
//!
//! Nothing in it is trusted: manifests and components are compared with their names whenever they are read, and what does not fit is fetched
//! again. A tag's last digest is the one thing that the directory says by itself; it is used only while the registry cannot be asked.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::manifest::is_sha256;
use super::{DistributionError, ImageReference};
use crate::cache::{Digest, is_abandoned};

/// Files of each sort that are kept; the ones that were used longest ago go first.
const MOST: usize = 64;

/// The directory. Made when there is something to keep.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    directory: PathBuf,
}

impl Store {
    pub(crate) fn new(cache: &Path) -> Self {
        Store { directory: cache.join("images") }
    }

    /// The manifest with this digest.
    pub(super) fn manifest(&self, digest: &str) -> Option<Vec<u8>> {
        self.read(digest, "json")
    }

    /// The component with this digest.
    pub(super) fn component(&self, digest: &str) -> Option<Vec<u8>> {
        self.read(digest, "wasm")
    }

    /// Where a tag led to last.
    pub(super) fn tag(&self, reference: &ImageReference) -> Option<String> {
        let text = fs::read_to_string(self.file(&name_of(reference), "tag")).ok()?;
        is_sha256(text.trim()).then(|| text.trim().to_owned())
    }

    pub(super) fn keep_manifest(&self, bytes: &[u8]) -> Result<(), DistributionError> {
        self.keep(hex(bytes).as_str(), "json", bytes)
    }

    pub(super) fn keep_component(&self, bytes: &[u8]) -> Result<(), DistributionError> {
        self.keep(hex(bytes).as_str(), "wasm", bytes)
    }

    pub(super) fn keep_tag(&self, reference: &ImageReference, digest: &str) -> Result<(), DistributionError> {
        self.keep(&name_of(reference), "tag", digest.as_bytes())
    }

    fn file(&self, name: &str, sort: &str) -> PathBuf {
        self.directory.join(format!("{name}.{sort}"))
    }

    /// A file that is what its name says. It counts as used.
    fn read(&self, digest: &str, sort: &str) -> Option<Vec<u8>> {
        let path = self.file(digest, sort);
        let bytes = fs::read(&path).ok()?;
        if hex(&bytes) != digest {
            tracing::warn!(path = %path.display(), "a file of the cache of images is damaged and is fetched again");
            return None;
        }
        // Best effort: it only decides what goes first.
        drop(File::options().append(true).open(&path).and_then(|file| file.set_modified(now())));
        Some(bytes)
    }

    fn keep(&self, name: &str, sort: &str, bytes: &[u8]) -> Result<(), DistributionError> {
        let path = self.file(name, sort);
        self.write(&path, bytes).map_err(|source| DistributionError::Cache { path, source })?;
        self.evict(sort);
        Ok(())
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let scratch = self.directory.join(format!("tmp-{}-{:016x}", std::process::id(), rand::random::<u64>()));
        let written = (|| {
            let mut file = File::options().write(true).create_new(true).mode(0o600).open(&scratch)?;
            file.write_all(bytes)?;
            // It may be needed while the registry is away, so it must outlive a power cut.
            file.sync_all()?;
            fs::rename(&scratch, path)
        })();
        if written.is_err() {
            drop(fs::remove_file(&scratch));
        }
        written
    }

    /// Removes what is too much of a sort, and what processes that are gone left half written.
    fn evict(&self, sort: &str) {
        let all: Vec<_> = fs::read_dir(&self.directory).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
        let left = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).is_some_and(|name| is_abandoned(name, path));
        for path in all.iter().filter(|path| left(path)) {
            drop(fs::remove_file(path));
        }
        let of_sort = |path: &PathBuf| path.extension().is_some_and(|extension| extension == sort);
        let files = all.into_iter().filter(of_sort);
        let mut files: Vec<_> = files.filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path))).collect();
        files.sort();
        let surplus = files.len().saturating_sub(MOST);
        for (_, path) in files.drain(..surplus) {
            drop(fs::remove_file(path));
        }
    }
}

/// The disk's own time, beside the times that it gave to the other files.
#[expect(clippy::disallowed_methods, reason = "compared with times of files only")]
fn now() -> SystemTime {
    SystemTime::now()
}

fn hex(bytes: &[u8]) -> String {
    Digest::of(bytes).hex()
}

fn name_of(reference: &ImageReference) -> String {
    hex(reference.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_and_a_damaged_file_is_not_believed() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        let digest = hex(b"component");
        assert_eq!(store.component(&digest), None);
        store.keep_component(b"component").unwrap();
        assert_eq!(store.component(&digest).as_deref(), Some(&b"component"[..]));
        assert_eq!(store.manifest(&digest), None, "another sort");
        fs::write(directory.path().join(format!("images/{digest}.wasm")), "komponent").unwrap();
        assert_eq!(store.component(&digest), None);
    }

    #[test]
    fn a_tag_is_remembered_by_its_full_name() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        let (one, two) = ("oci://ghcr.io/a/b:1".parse().unwrap(), "oci://ghcr.io/a/b:2".parse().unwrap());
        store.keep_tag(&one, &"ab".repeat(32)).unwrap();
        assert_eq!((store.tag(&one), store.tag(&two)), (Some("ab".repeat(32)), None));
        fs::write(store.file(&name_of(&two), "tag"), "../../etc/passwd").unwrap();
        assert_eq!(store.tag(&two), None);
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        let bytes = |number: usize| format!("component {number}").into_bytes();
        for number in 0..MOST {
            store.keep_component(&bytes(number)).unwrap();
            let file = File::options().append(true).open(store.file(&hex(&bytes(number)), "wasm")).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1000 + number as u64)).unwrap();
        }
        assert!(store.component(&hex(&bytes(0))).is_some(), "it is used now");
        store.keep_component(&bytes(MOST)).unwrap();
        assert!(store.component(&hex(&bytes(1))).is_none(), "it was used longest ago");
        assert!(store.component(&hex(&bytes(0))).is_some() && store.component(&hex(&bytes(MOST))).is_some());
    }
}
