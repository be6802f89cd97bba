//! What a simulated disk holds: what programs see, what is durable, and what lies between.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{Rng, RngExt};

/// What a disk writes whole.
const SECTOR: u64 = 512;

/// A change of a file that is not durable yet.
#[derive(Clone, Debug)]
enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    Length(u64),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Change::Write { offset, bytes } => {
                let end = *offset as usize + bytes.len();
                if to.len() < end {
                    to.resize(end, 0);
                }
                to[*offset as usize..end].copy_from_slice(bytes);
            }
            Change::Length(len) if *len as usize <= to.len() => to.truncate(*len as usize),
            Change::Length(len) => {
                // `resize` is slow without optimisation, and tests are.
                let mut longer = vec![0; *len as usize];
                longer[..to.len()].copy_from_slice(to);
                *to = longer;
            }
        }
    }

    /// The sectors of it that a crash happens to leave, or all of it.
    fn torn(&self, random: &mut StdRng, keep: f64) -> Vec<Change> {
        let Change::Write { offset, bytes } = self else {
            return if random.random_bool(keep) { vec![self.clone()] } else { Vec::new() };
        };
        let mut kept = Vec::new();
        let mut from = 0;
        while from < bytes.len() {
            let to = bytes.len().min(((offset + from as u64) / SECTOR + 1) as usize * SECTOR as usize - *offset as usize);
            if random.random_bool(keep) {
                kept.push(Change::Write { offset: offset + from as u64, bytes: bytes[from..to].to_vec() });
            }
            from = to;
        }
        kept
    }
}

/// A file's contents, apart from its name.
#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    pub(super) seen: Vec<u8>,
    durable: Vec<u8>,
    changes: Vec<Change>,
}

impl Inode {
    pub(super) fn holding(bytes: Vec<u8>) -> Inode {
        Inode { seen: bytes.clone(), durable: bytes, changes: Vec::new() }
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        self.change(Change::Write { offset, bytes: bytes.to_vec() });
    }

    pub(super) fn set_len(&mut self, len: u64) {
        self.change(Change::Length(len));
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.seen);
        self.changes.push(change);
    }

    pub(super) fn sync(&mut self) {
        for change in self.changes.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// A sync that failed: the pages are clean now and were never written. A later sync will not write them either.
    pub(super) fn fail_sync(&mut self, random: &mut StdRng) {
        for change in std::mem::take(&mut self.changes) {
            for part in change.torn(random, 0.5) {
                part.apply(&mut self.durable);
            }
        }
    }

    /// What is left after a crash.
    fn crash(&mut self, random: &mut StdRng) {
        let changes = std::mem::take(&mut self.changes);
        match random.random_range(0..4) {
            // Nothing that was not synced.
            0 => {}
            // Everything.
            1 => changes.iter().for_each(|change| change.apply(&mut self.durable)),
            // The first so many, and a part of the next.
            2 => {
                let whole = random.random_range(0..=changes.len());
                changes[..whole].iter().for_each(|change| change.apply(&mut self.durable));
                for part in changes.get(whole).iter().flat_map(|change| change.torn(random, 0.5)) {
                    part.apply(&mut self.durable);
                }
            }
            // Any sectors in any order.
            _ => {
                let keep = [0.1, 0.5, 0.9][random.random_range(0..3)];
                for part in changes.iter().flat_map(|change| change.torn(random, keep)).collect::<Vec<_>>() {
                    part.apply(&mut self.durable);
                }
            }
        }
        self.seen = self.durable.clone();
    }
}

/// A change of names that is not durable yet.
#[derive(Clone, Debug)]
enum Naming {
    Create(PathBuf, u64),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf, u64),
}

impl Naming {
    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Naming::Create(path, inode) => {
                names.insert(path.clone(), *inode);
            }
            Naming::Unlink(path) => {
                names.remove(path);
            }
            Naming::Rename(from, to, inode) => {
                if names.get(from) == Some(inode) {
                    names.remove(from);
                }
                names.insert(to.clone(), *inode);
            }
        }
    }
}

/// All files of a disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Files {
    pub(super) inodes: BTreeMap<u64, Inode>,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    changes: Vec<Naming>,
    last: u64,
}

impl Files {
    pub(super) fn find(&self, path: &Path) -> Option<u64> {
        self.names.get(path).copied()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &PathBuf> {
        self.names.keys()
    }

    /// A file that was always there.
    pub(super) fn put(&mut self, path: &Path, bytes: Vec<u8>) {
        self.last += 1;
        self.inodes.insert(self.last, Inode::holding(bytes));
        self.names.insert(path.to_owned(), self.last);
        self.durable_names.insert(path.to_owned(), self.last);
    }

    /// A file that is not there any more, durably.
    pub(super) fn lose(&mut self, path: &Path) {
        self.names.remove(path);
        self.durable_names.remove(path);
    }

    pub(super) fn create(&mut self, path: &Path) -> u64 {
        self.last += 1;
        self.inodes.insert(self.last, Inode::default());
        self.name(Naming::Create(path.to_owned(), self.last));
        self.last
    }

    pub(super) fn unlink(&mut self, path: &Path) {
        self.name(Naming::Unlink(path.to_owned()));
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) {
        if let Some(inode) = self.find(from) {
            self.name(Naming::Rename(from.to_owned(), to.to_owned(), inode));
        }
    }

    fn name(&mut self, change: Naming) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    pub(super) fn sync_names(&mut self) {
        for change in self.changes.drain(..) {
            change.apply(&mut self.durable_names);
        }
    }

    /// What is left after a crash: of the changes of names any, of the bytes what the inodes say.
    pub(super) fn crash(&mut self, random: &mut StdRng) {
        let keep = [0.0, 0.5, 1.0][random.random_range(0..3)];
        for change in std::mem::take(&mut self.changes) {
            if random.random_bool(keep) {
                change.apply(&mut self.durable_names);
            }
        }
        self.names = self.durable_names.clone();
        let reachable: Vec<u64> = self.names.values().copied().collect();
        self.inodes.retain(|inode, _| reachable.contains(inode));
        self.inodes.values_mut().for_each(|inode| inode.crash(random));
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.inodes.values().map(|inode| inode.seen.len() as u64).sum()
    }

    /// Flips one bit of a file.
    pub(super) fn flip(&mut self, path: &Path, at: usize, mask: u8) {
        let inode = self.find(path).and_then(|inode| self.inodes.get_mut(&inode));
        if let Some(inode) = inode.filter(|inode| at < inode.seen.len()) {
            inode.seen[at] ^= mask;
            inode.durable = inode.seen.clone();
        }
    }
}

/// A seed of a crash's random choices.
pub(super) fn reseed(random: &mut StdRng) -> u64 {
    random.next_u64()
}
