//! [`SimDisk`].

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::files::{Files, reseed};
use crate::disk::{Disk, DiskFile};

/// What goes wrong, and when. Calls are counted from the disk's beginning: every method of [`Disk`] and [`DiskFile`] is one.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// The first call that fails.
    pub at: u64,
    /// How many calls fail from there on.
    pub calls: u64,
    /// What they say: [`io::ErrorKind::StorageFull`] fails only what takes space.
    pub error: io::ErrorKind,
}

/// A disk in memory. It tells apart what was written from what is durable: [`SimDisk::crash`] keeps of the rest what a seed says. Clones share
/// the disk.
#[derive(Clone, Debug)]
pub struct SimDisk {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    files: Files,
    random: StdRng,
    calls: u64,
    /// Calls from this one on fail: the machine is off.
    power_cut_at: Option<u64>,
    faults: Vec<Fault>,
    /// Files and bytes of them that cannot be read.
    unreadable: Vec<(PathBuf, Range<u64>)>,
    /// Files that cannot be opened.
    refused: Vec<PathBuf>,
    sync_works: bool,
    capacity: u64,
}

/// What a call does to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    TakesSpace,
    Other,
}

impl SimDisk {
    /// An empty disk of 1 GiB.
    pub fn new(seed: u64) -> SimDisk {
        SimDisk::with(Files::default(), StdRng::seed_from_u64(seed), true)
    }

    fn with(files: Files, random: StdRng, sync_works: bool) -> SimDisk {
        let inner = Inner {
            files,
            random,
            calls: 0,
            power_cut_at: None,
            faults: Vec::new(),
            unreadable: Vec::new(),
            refused: Vec::new(),
            sync_works,
            capacity: 1 << 30,
        };
        SimDisk { inner: Arc::new(Mutex::new(inner)) }
    }

    /// The same disk, but every sync is a lie: it says yes and does nothing.
    pub fn without_sync(seed: u64) -> SimDisk {
        SimDisk::with(Files::default(), StdRng::seed_from_u64(seed), false)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts the power at call `at`: it and all later ones fail. A write that it hits may be there in part.
    pub fn cut_power_at(&self, at: u64) {
        self.inner().power_cut_at = Some(at);
    }

    /// Makes calls fail.
    pub fn fail(&self, fault: Fault) {
        self.inner().faults.push(fault);
    }

    /// Calls so far.
    pub fn calls(&self) -> u64 {
        self.inner().calls
    }

    /// How much all files together may take.
    pub fn set_capacity(&self, bytes: u64) {
        self.inner().capacity = bytes;
    }

    /// Cuts the power now, and says what disk is there when it comes back. This one stays off.
    pub fn crash(&self) -> SimDisk {
        let mut inner = self.inner();
        inner.power_cut_at = Some(0);
        let mut random = StdRng::seed_from_u64(reseed(&mut inner.random));
        let mut files = inner.files.clone();
        files.crash(&mut random);
        let after = SimDisk::with(files, random, inner.sync_works);
        after.inner().unreadable.clone_from(&inner.unreadable);
        after.inner().refused.clone_from(&inner.refused);
        after
    }

    /// A copy of the disk as it is seen now; both go on apart.
    pub fn copy(&self) -> SimDisk {
        let inner = self.inner();
        SimDisk::with(inner.files.clone(), StdRng::seed_from_u64(0), inner.sync_works)
    }

    /// The disk after its process was killed: everything that was written is seen, and what was not synced may still be lost. This one
    /// stays as it is.
    pub fn killed(&self) -> SimDisk {
        let mut inner = self.inner();
        let random = StdRng::seed_from_u64(reseed(&mut inner.random));
        SimDisk::with(inner.files.clone(), random, inner.sync_works)
    }

    /// Puts a file there as if it had always been.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        self.inner().files.put(path, bytes.to_vec());
    }

    /// Every file and its bytes.
    pub fn contents(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let inner = self.inner();
        let bytes = |path| inner.files.find(path).and_then(|inode| inner.files.inodes.get(&inode)).map(|inode| inode.seen.clone());
        inner.files.names().map(|path| (path.clone(), bytes(path).unwrap_or_default())).collect()
    }

    /// Flips bits of one byte.
    pub fn flip(&self, path: &Path, at: usize, mask: u8) {
        self.inner().files.flip(path, at, mask);
    }

    /// Makes bytes of a file unreadable from now on, as a bad sector does.
    pub fn spoil(&self, path: &Path, bytes: Range<u64>) {
        self.inner().unreadable.push((path.to_owned(), bytes));
    }

    /// Makes a file impossible to open from now on, as wrong rights do.
    pub fn refuse_to_open(&self, path: &Path) {
        self.inner().refused.push(path.to_owned());
    }

    /// Removes a file for good, as somebody's hand does.
    pub fn lose(&self, path: &Path) {
        self.inner().files.lose(path);
    }

    /// Makes all files and bytes readable again.
    pub fn heal(&self) {
        let mut inner = self.inner();
        inner.unreadable.clear();
        inner.refused.clear();
    }

    fn file(&self, inode: u64) -> Arc<dyn DiskFile> {
        Arc::new(SimFile { disk: self.clone(), inode })
    }
}

impl Inner {
    /// Counts a call; the error that it ends with, if any.
    fn call(&mut self, call: Call) -> io::Result<()> {
        let at = self.calls;
        self.calls += 1;
        if self.power_cut_at.is_some_and(|cut| at >= cut) {
            return Err(io::Error::other("the machine is off"));
        }
        let hit = self.faults.iter().find(|fault| at >= fault.at && at - fault.at < fault.calls);
        match hit {
            Some(fault) if fault.error != io::ErrorKind::StorageFull || call == Call::TakesSpace => {
                Err(io::Error::new(fault.error, "injected"))
            }
            _ => Ok(()),
        }
    }

    fn space_for(&self, bytes: u64) -> io::Result<()> {
        if self.files.bytes() + bytes > self.capacity {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn find(&self, path: &Path) -> io::Result<u64> {
        self.files.find(path).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for SimDisk {
    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        self.inner().call(Call::TakesSpace)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut inner = self.inner();
        inner.call(Call::TakesSpace)?;
        if inner.files.find(path).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = inner.files.create(path);
        drop(inner);
        Ok(self.file(inode))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut inner = self.inner();
        inner.call(Call::Other)?;
        if inner.refused.iter().any(|refused| refused == path) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let inode = inner.find(path)?;
        drop(inner);
        Ok(self.file(inode))
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        let mut inner = self.inner();
        inner.call(Call::Other)?;
        let inode = inner.find(path)?;
        inner.files.inodes.entry(inode).or_default().set_len(len);
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut inner = self.inner();
        inner.call(Call::Other)?;
        let inside = inner.files.names().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        inner.call(Call::TakesSpace)?;
        inner.find(from)?;
        inner.files.rename(from, to);
        Ok(())
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        inner.call(Call::Other)?;
        inner.find(path)?;
        inner.files.unlink(path);
        Ok(())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        inner.call(Call::TakesSpace)?;
        if inner.sync_works {
            inner.files.sync_names();
        }
        Ok(())
    }

    fn free_bytes(&self, _dir: &Path) -> io::Result<u64> {
        let mut inner = self.inner();
        inner.call(Call::Other)?;
        Ok(inner.capacity.saturating_sub(inner.files.bytes()))
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    inode: u64,
}

impl DiskFile for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut inner = self.disk.inner();
        inner.call(Call::Other)?;
        let asked = offset..offset + buf.len() as u64;
        let hit = |(path, bad): &(PathBuf, Range<u64>)| {
            inner.files.find(path) == Some(self.inode) && bad.start < asked.end && asked.start < bad.end
        };
        if inner.unreadable.iter().any(hit) {
            return Err(io::Error::other("a bad sector"));
        }
        let bytes = inner.files.inodes.get(&self.inode).map_or(&[][..], |inode| &inode.seen);
        let bytes = bytes.get(offset as usize..).unwrap_or_default();
        let n = bytes.len().min(buf.len());
        buf[..n].copy_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut inner = self.disk.inner();
        let answer = inner.call(Call::TakesSpace);
        let at_cut = inner.power_cut_at.filter(|cut| inner.calls > *cut).map(|cut| inner.calls - 1 == cut);
        let inode = inner.files.inodes.entry(self.inode).or_default();
        if answer.is_err() {
            // A write that failed has written anything up to all of it; the one that the power cut hit is torn later.
            match at_cut {
                Some(false) => {}
                Some(true) => inode.write(offset, bytes),
                None => inode.write(offset, &bytes[..bytes.len() / 2]),
            }
            return answer;
        }
        let grows = (offset + bytes.len() as u64).saturating_sub(inode.seen.len() as u64);
        inner.space_for(grows)?;
        inner.files.inodes.entry(self.inode).or_default().write(offset, bytes);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut inner = self.disk.inner();
        let answer = inner.call(Call::TakesSpace);
        let off = inner.power_cut_at.is_some_and(|cut| inner.calls > cut);
        let Inner { files, random, sync_works, .. } = &mut *inner;
        let inode = files.inodes.entry(self.inode).or_default();
        match answer {
            Ok(()) if *sync_works => inode.sync(),
            Err(_) if !off => inode.fail_sync(random),
            _ => {}
        }
        answer
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let mut inner = self.disk.inner();
        inner.call(Call::TakesSpace)?;
        let inode = inner.files.inodes.entry(self.inode).or_default();
        let grows = len.saturating_sub(inode.seen.len() as u64);
        inner.space_for(grows)?;
        if grows > 0 {
            inner.files.inodes.entry(self.inode).or_default().set_len(len);
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let mut inner = self.disk.inner();
        inner.call(Call::Other)?;
        Ok(inner.files.inodes.get(&self.inode).map_or(0, |inode| inode.seen.len() as u64))
    }
}
