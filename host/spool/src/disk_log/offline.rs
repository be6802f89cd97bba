//! Reading a store that nobody has open, however damaged it is. Changes nothing.

use std::io;
use std::path::{Path, PathBuf};

use flagpost_event::StreamName;

use super::reader::{self, FromDisk, OnDisk, Plan, Unreadable};
use super::state::State;
use crate::disk::Disk;
use crate::log::{Read, ReadError, ReadLimit, StreamId};
use crate::recovery::{self, OpenError};
use crate::segment::file_name;

/// What is read at once.
const LIMIT: ReadLimit = ReadLimit { events: 10_000, bytes: 4 << 20 };

/// A store to read.
#[derive(Debug)]
pub(crate) struct Offline<'a> {
    disk: &'a dyn Disk,
    dir: PathBuf,
    store: u32,
    state: State,
}

impl<'a> Offline<'a> {
    pub(crate) fn open(disk: &'a dyn Disk, dir: &Path) -> Result<Offline<'a>, OpenError> {
        let recovered = recovery::load(disk, dir, true)?;
        let store = recovered.store.unwrap_or_default();
        Ok(Offline { disk, dir: dir.to_owned(), store, state: State::restore(recovered, 0) })
    }

    pub(crate) fn streams(&self) -> Vec<(StreamId, StreamName)> {
        self.state.streams.iter().map(|(id, stream)| (*id, stream.name.clone())).collect()
    }

    /// The first number that is held.
    pub(crate) fn oldest(&self, stream: StreamId) -> u64 {
        self.state.bounds(stream).oldest
    }

    pub(crate) fn read(&self, stream: StreamId, from: u64) -> Result<Read, ReadError> {
        match reader::plan(&self.state, stream, from, LIMIT) {
            Plan::Done(read) => Ok(read),
            Plan::Disk(read) => {
                let path = self.dir.join(file_name(read.sequence));
                let read = FromDisk { unknown: false, ..read };
                match reader::from_disk(self.disk, &path, self.store, &read, LIMIT, Unreadable::Damaged) {
                    Ok(OnDisk::Read(found, _)) => Ok(found),
                    Err(source) if source.kind() == io::ErrorKind::InvalidData => Err(ReadError { stream, from, source }),
                    // A segment that cannot be opened: everything in it.
                    Err(_) | Ok(OnDisk::Learned(_)) => Ok(Read::Damaged(read.from..read.stop)),
                }
            }
        }
    }
}
