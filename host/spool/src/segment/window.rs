//! A moving view of a file, so that scanning a segment takes a few megabytes of memory whatever the segment's size.

use std::io;
use std::ops::Range;

use crate::disk::{DiskFile, read_full};

/// What is read at once.
const CHUNK: usize = 1024 * 1024;
/// What is read at once when little is wanted.
const CHUNK_LEAST: u64 = 64 * 1024;
/// What a disk fails to read whole.
const PAGE: u64 = 4096;

/// A view of one file. The file does not change meanwhile.
#[derive(Debug)]
pub(crate) struct Window<'a> {
    file: &'a dyn DiskFile,
    len: u64,
    buf: Vec<u8>,
    at: u64,
    tolerant: bool,
    chunk: u64,
    /// Parts that the disk could not read; they are seen as zeros.
    pub(crate) unreadable: Vec<Range<u64>>,
}

impl<'a> Window<'a> {
    /// `tolerant`: bytes that the disk cannot read are seen as zeros instead of failing the call.
    pub(crate) fn new(file: &'a dyn DiskFile, tolerant: bool) -> io::Result<Window<'a>> {
        Ok(Window { file, len: file.len()?, buf: Vec::new(), at: 0, tolerant, chunk: CHUNK as u64, unreadable: Vec::new() })
    }

    /// Only about so many bytes are wanted: reads less at once.
    pub(crate) fn expect(&mut self, bytes: usize) {
        self.chunk = (bytes as u64).saturating_add(CHUNK_LEAST).min(CHUNK as u64);
    }

    /// The file's length.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Up to `n` bytes from `from` on; fewer only at the end of the file.
    pub(crate) fn view(&mut self, from: u64, n: u64) -> io::Result<&[u8]> {
        let from = from.min(self.len);
        let to = from.saturating_add(n).min(self.len);
        if from < self.at || to > self.at + self.buf.len() as u64 {
            self.load(from, (to - from).max(self.chunk).min(self.len - from))?;
        }
        // The file may have been cut since its length was read.
        let start = ((from - self.at) as usize).min(self.buf.len());
        let end = ((to - self.at) as usize).min(self.buf.len());
        Ok(&self.buf[start..end])
    }

    fn load(&mut self, from: u64, n: u64) -> io::Result<()> {
        let size = usize::try_from(n).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        self.at = from;
        self.buf = vec![0; size];
        match read_full(self.file, &mut self.buf, from) {
            Ok(read) => {
                // Shorter than it said: somebody cut the file.
                self.buf.truncate(read);
                if read < size {
                    self.len = self.len.min(from + read as u64);
                }
                Ok(())
            }
            Err(_) if self.tolerant => {
                self.load_pages(from);
                Ok(())
            }
            Err(error) => {
                self.buf.clear();
                Err(error)
            }
        }
    }

    fn load_pages(&mut self, from: u64) {
        let size = self.buf.len() as u64;
        self.buf.fill(0);
        let mut at = 0;
        while at < size {
            let next = size.min(((from + at) / PAGE + 1) * PAGE - from);
            let page = &mut self.buf[at as usize..next as usize];
            if read_full(self.file, page, from + at).is_err() {
                page.fill(0);
                self.unreadable.push(from + at..from + next);
            }
            at = next;
        }
    }

    /// The length without the zeros at the end.
    pub(crate) fn len_without_zeros(&mut self) -> io::Result<u64> {
        let mut end = self.len;
        while end > 0 {
            let start = end.saturating_sub(CHUNK as u64);
            let view = self.view(start, end - start)?;
            if let Some(last) = view.iter().rposition(|byte| *byte != 0) {
                return Ok(start + last as u64 + 1);
            }
            end = start;
        }
        Ok(0)
    }
}
