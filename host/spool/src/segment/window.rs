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

/// Which bytes are seen as zeros when the disk cannot read them, instead of failing the call.
#[derive(Clone, Debug)]
pub(crate) enum Forgives {
    /// These, which were given up before.
    GivenUp(Vec<Range<u64>>),
    /// Any.
    All,
}

impl Forgives {
    /// None.
    pub(crate) const NOTHING: Forgives = Forgives::GivenUp(Vec::new());

    fn forgives(&self, bytes: &Range<u64>) -> bool {
        match self {
            Forgives::All => true,
            Forgives::GivenUp(ranges) => ranges.iter().any(|range| range.start < bytes.end && bytes.start < range.end),
        }
    }
}

/// A view of one file. The file does not change meanwhile.
#[derive(Debug)]
pub(crate) struct Window<'a> {
    file: &'a dyn DiskFile,
    len: u64,
    buf: Vec<u8>,
    at: u64,
    forgives: Forgives,
    chunk: u64,
    /// Parts that the disk could not read; they are seen as zeros.
    pub(crate) unreadable: Vec<Range<u64>>,
    /// What the disk said of the last of them.
    error: Option<io::Error>,
}

impl<'a> Window<'a> {
    /// Fails where the disk cannot read what is needed, but for what is forgiven.
    pub(crate) fn new(file: &'a dyn DiskFile, forgives: Forgives) -> io::Result<Window<'a>> {
        Ok(Window { file, len: file.len()?, buf: Vec::new(), at: 0, forgives, chunk: CHUNK as u64, unreadable: Vec::new(), error: None })
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
            self.load(from, to - from, (to - from).max(self.chunk).min(self.len - from))?;
        }
        // The file may have been cut since its length was read.
        let start = ((from - self.at) as usize).min(self.buf.len());
        let end = ((to - self.at) as usize).min(self.buf.len());
        Ok(&self.buf[start..end])
    }

    /// Loads `n` bytes, of which the first `needed` are.
    fn load(&mut self, from: u64, needed: u64, n: u64) -> io::Result<()> {
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
            Err(error) => self.load_pages(from, needed, error),
        }
    }

    /// Page by page, up to one that cannot be read and is not forgiven.
    fn load_pages(&mut self, from: u64, needed: u64, error: io::Error) -> io::Result<()> {
        let size = self.buf.len() as u64;
        self.buf.fill(0);
        let mut at = 0;
        while at < size {
            let next = size.min(((from + at) / PAGE + 1) * PAGE - from);
            let page = &mut self.buf[at as usize..next as usize];
            if read_full(self.file, page, from + at).is_err() {
                let bytes = from + at..from + next;
                if self.forgives.forgives(&bytes) {
                    page.fill(0);
                    self.unreadable.push(bytes);
                } else if at >= needed {
                    self.buf.truncate(at as usize);
                    break;
                } else {
                    self.buf.clear();
                    return Err(error);
                }
            }
            at = next;
        }
        self.error = Some(error);
        Ok(())
    }

    /// The bytes up to `upto` that could not be read, if they are lost as far as it can be told: they are tried once more, and what is behind
    /// them can be read now. A disk that is away for a while fails there, too. `even_the_end`: where nothing is behind them, what is before
    /// them speaks for the disk.
    pub(crate) fn lost(&mut self, upto: u64, even_the_end: bool) -> io::Result<Vec<Range<u64>>> {
        let readable = |bytes: Range<u64>| {
            let mut buf = vec![0; (bytes.end - bytes.start) as usize];
            read_full(self.file, &mut buf, bytes.start).is_ok_and(|read| read == buf.len())
        };
        let bad: Vec<Range<u64>> = self.unreadable.iter().filter(|range| range.start < upto).cloned().collect();
        let (Some(first), Some(end)) = (bad.iter().map(|range| range.start).min(), bad.iter().map(|range| range.end).max()) else {
            return Ok(bad);
        };
        let still_bad = !bad.iter().any(|range| readable(range.clone()));
        let behind = end.next_multiple_of(PAGE);
        let vouched = match behind < self.len {
            true => readable(behind..(behind + PAGE).min(self.len)),
            false => even_the_end && first > 0 && readable(first.saturating_sub(PAGE)..first),
        };
        if still_bad && vouched {
            return Ok(bad);
        }
        Err(self.error.take().unwrap_or_else(|| io::Error::other("the disk could not read it")))
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
