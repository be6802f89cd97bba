//! Between those who log and standard error: a bounded queue and a thread.
//!
//! Whoever reads standard error may stop reading. A thread that answers requests must not wait for them, so a line that finds the queue
//! full is dropped, counted, and the count is said as soon as lines pass again.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Most lines that wait.
const MOST_LINES: usize = 4096;

/// Most bytes that wait.
const MOST_BYTES: usize = 4 << 20;

/// The way to the thread that writes. Clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    sender: SyncSender<Item>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    waiting_bytes: AtomicUsize,
    dropped: AtomicU64,
}

enum Item {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

impl Queue {
    /// Starts the thread. `say` is told how many lines were dropped since it was last told, once they pass again.
    pub(super) fn start(out: impl Write + Send + 'static, say: fn(u64)) -> io::Result<Queue> {
        let (sender, items) = sync_channel(MOST_LINES);
        let counts = Arc::new(Counts::default());
        let queue = Queue { sender, counts: counts.clone() };
        thread::Builder::new().name("flagpost-log".to_owned()).spawn(move || write(&items, out, &counts, say))?;
        Ok(queue)
    }

    /// Lines that were dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }

    /// Waits until what was logged before is written, at most `within`.
    pub(super) fn flush(&self, within: Duration) {
        let (done, written) = sync_channel(1);
        // With a full queue nobody is reading: there is nothing to wait for.
        if self.sender.try_send(Item::Flush(done)).is_ok() {
            written.recv_timeout(within).ok();
        }
    }

    fn push(&self, line: &[u8]) {
        let waiting = self.counts.waiting_bytes.fetch_add(line.len(), Ordering::Relaxed);
        if waiting + line.len() > MOST_BYTES || self.sender.try_send(Item::Line(line.to_vec())).is_err() {
            self.counts.waiting_bytes.fetch_sub(line.len(), Ordering::Relaxed);
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write(items: &Receiver<Item>, mut out: impl Write, counts: &Counts, say: fn(u64)) {
    let mut said = 0;
    while let Ok(item) = items.recv() {
        match item {
            Item::Line(line) => {
                // Standard error may be closed: nothing is left to tell that to.
                drop(out.write_all(&line));
                counts.waiting_bytes.fetch_sub(line.len(), Ordering::Relaxed);
                let dropped = counts.dropped.load(Ordering::Relaxed);
                if dropped > said {
                    say(dropped - said);
                    said = dropped;
                }
            }
            Item::Flush(done) => drop(done.try_send(())),
        }
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Entry<'a>;

    fn make_writer(&'a self) -> Entry<'a> {
        Entry(self)
    }
}

/// Takes one event's line, which comes in one piece.
#[derive(Debug)]
pub(super) struct Entry<'a>(&'a Queue);

impl Write for Entry<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Mutex;
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    static TOLD: AtomicU64 = AtomicU64::new(0);

    /// Writes nothing before it is let.
    struct Stalled {
        gate: Receiver<()>,
        open: bool,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Stalled {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if !self.open {
                self.gate.recv().unwrap();
                self.open = true;
            }
            self.written.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn stalled() -> (Queue, Sender<()>, Arc<Mutex<Vec<u8>>>) {
        let ((open, gate), written) = (channel(), Arc::new(Mutex::default()));
        let tell = |dropped| {
            TOLD.fetch_add(dropped, Ordering::Relaxed);
        };
        let queue = Queue::start(Stalled { gate, open: false, written: Arc::clone(&written) }, tell).unwrap();
        (queue, open, written)
    }

    #[test]
    fn nobody_waits_for_a_reader_that_stalls_and_what_is_dropped_is_counted_and_told() {
        let (queue, open, written) = stalled();
        // Returns although nothing can be written.
        for n in 0..10_000 {
            queue.make_writer().write_all(format!("{n}\n").as_bytes()).unwrap();
        }
        assert!(queue.dropped() > 0);
        queue.flush(Duration::ZERO);
        open.send(()).unwrap();
        let dropped = queue.dropped();
        while written.lock().unwrap().iter().filter(|&&byte| byte == b'\n').count() as u64 + dropped < 10_000 {
            thread::yield_now();
        }
        queue.flush(Duration::from_secs(60));
        assert_eq!(TOLD.load(Ordering::Relaxed), dropped);
        let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        let numbers: Vec<u32> = text.lines().map(|line| line.parse().unwrap()).collect();
        assert!(numbers.is_sorted() && numbers.len() as u64 == 10_000 - dropped, "whole lines, in order");
    }

    #[test]
    fn long_lines_count_by_their_bytes() {
        let (queue, _open, _written) = stalled();
        for _ in 0..10 {
            queue.make_writer().write_all(&vec![b'x'; MOST_BYTES / 4]).unwrap();
        }
        assert_eq!(queue.dropped(), 6);
    }
}
