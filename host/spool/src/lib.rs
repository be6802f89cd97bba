//! The durable event log and its bookkeeping.
//!
//! Two halves. [`DiskLog`] (and [`MemoryLog`], the same without files) keeps events: it is written on the path of every request, so it is a
//! log of our own that does one thing. [`Ledger`] keeps the small rest (who reads what, how far, with which plan, dead letters) in SQLite, and is
//! never on that path. This page is about the log.
//!
//! # What it must do
//!
//! * An append returns once its events survive a crash of the machine. Many requests share one sync: a slow disk costs latency, not throughput.
//! * Every stream reads back exactly its own lines, in order, under dense numbers. Numbers are part of batch ids, so a number that was ever
//!   delivered must never name another event.
//! * Damage is local and countable: a bad byte costs at most one block, and the log says which numbers. It never stops the start, and
//!   nothing that is damaged is overwritten.
//! * Disk space comes back when readers are done, without compaction. Memory is bounded whatever the backlog.
//!
//! # Layout
//!
//! ```text
//! <buffer.path>/
//!   LOCK                      one relay at a time
//!   meta                      format and store id, four lines of text with a checksum
//!   0000000000000007.segment  segments, by sequence number
//!   0000000000000008.segment
//!   ...                       the ledger's files
//!
//! segment
//!   table                     every stream: id, name, next number, bytes so far
//!   table                     the same again
//!   block block block ...     events, group by group
//!   index                     what it holds and where; only when it was ended in good order
//!   zeros                     reserved space; only while it is written, or after a crash
//!
//! block                       one stream, consecutive numbers, at most 1,000 events and 256 KiB (one larger event alone)
//!   header                    78 bytes and the stream's name, checksum
//!   lines                     canonical JSON, as exporters get them
//!   trailer                   the header again
//! ```
//! Table, block and index are *records* and share the header, described byte by byte at the top of `block.rs`.
//! Three choices carry the rest:
//!
//! * **A segment's table is the law for older segments.** It says at which number each stream goes on. An older segment answers for the numbers
//!   from its own table up to the next one's: what it lacks of them is damaged, what it has beyond them was never acknowledged.
//! * **Blocks describe themselves**: store, segment, offset, stream (id and name), numbers, and how many bytes the stream had before. A file
//!   can be read without its table and its index, an old file or an event that quotes a block is never mistaken for one, and
//!   no stream's line can turn up in another.
//! * **Headers exist twice**, before and behind the lines. With one of them damaged nothing is lost; with the lines damaged it is known which
//!   numbers are.
//!
//! # Writing
//!
//! Requests join the newest waiting group (up to 4 MiB). One thread takes a group, packs it stream by stream into blocks, writes it with one
//! call per 4 MiB, calls `fdatasync` once, moves the heads, puts the blocks into the tail (the newest 8 MiB, the very bytes that were
//! written), and wakes everyone. After a sync it waits up to a quarter of that sync's time for the requests that it just released: else they
//! miss the next sync and every other group is nearly empty (64 clients at one event each: 63 requests per sync).
//!
//! A segment is begun with its tables, then file and directory are synced; only then it gets events. Its 64 MiB are reserved before the first
//! event, so a full disk says so between groups. Reserving is `fallocate` with the final length. Measured on ext4 with 28 kB per sync:
//! 4,450 syncs/s, against 4,100 when the file grows and 4,400 when the length is not set; files filled with zeros beforehand reach 6,400,
//! but write every byte twice and stop for 40 to 250 ms per segment. A segment that is full gets its index and is cut to its length.
//!
//! # When the disk refuses
//!
//! A write or sync that failed is never tried again on the same file: Linux marks the pages clean, and a second `fdatasync` would
//! succeed without having written them. The group is answered with [`AppendError::Disk`], the segment ends at its last durable block, and the next
//! group begins a new segment, whose table gives the numbers to other events. If no segment can be begun or reserved, each group is answered
//! with an error and the next one tries again: the log heals by itself. What the failed group left in the old file stays there, dead, until
//! that segment is removed; the segment after it is kept as long, because its table is what makes it dead.
//!
//! # Starting
//!
//! Sealed segments are taken at their index's word; the others, normally one, are scanned record by record. Where a header is damaged, the scan
//! looks for the next magic and finds the trailer. An older segment that cannot be read or opened does not stop the start: it answers for the
//! numbers between its neighbours, and readers find out. The last group of an unsealed segment may never have been acknowledged: if a block of it was
//! written in part (a whole sector of it or its trailer is zero, which no block has), that block and what follows is dropped in silence. If it is whole
//! but wrong, that is damage: its numbers are reported and never given again. What a killed process wrote and did not sync is synced before anybody sees it: else a power cut would
//! give the numbers of delivered events to others. [`DiskLogOptions::floors`] adds what the bookkeeping knows to have been delivered or
//! planned, for the case that the disk has lost what it had confirmed. Old files are never appended to: the first group
//! after a start begins a new segment. Nothing but trailing zeros is cut from a file.
//!
//! # Reading
//!
//! From the tail without touching the disk, else through a sparse index in memory (a point per 64 KiB of a stream, per 1 MiB of file, per 5 s)
//! on a thread for blocking work, with both checksums verified. No lock is held across an await or a disk access. Damage found by a reader is
//! recorded, counted, and answered with [`Read::Damaged`]. A segment that is not there any more is damage at once. What the disk cannot read is an
//! error, and damage only when it still cannot be read after a minute while the disk can read what is behind it in the same file: a reader
//! must not stand before a bad sector for ever, and a disk that is away for a while, or a file that nobody may open, must not cost an event. At the very end
//! of a file nothing is behind; there it takes an hour, and what is before it speaks for the disk.
//!
//! # Trimming
//!
//! Whole segments below all cursors are unlinked, in any order of age, then the directory is synced. The newest one stays, because its table
//! (or the one that follows from it) is where the numbers go on. When it is consumed, too, and half full or idle for 30 s, an empty successor is
//! begun, and it can go.
//!
//! # What is not promised
//!
//! * Anything from a disk that confirms syncs it has not done. It is noticed where later numbers show it.
//! * That an append which was answered with an error, or not at all, left nothing: its events may be there once after a crash. Clients
//!   that try again may produce duplicates.
//! * Loss of more than a byte at the very end of a store that was not closed: if header *and* trailer of the last block are unreadable, nothing
//!   says what it held.
//! * That events of a process that was killed outlive a sync that fails at the next start: that start ends with an error, and the one after
//!   it cannot know.
//! * A start when the newest unsealed segment has a sector that the disk cannot read: guessing the head could give numbers twice. Moving
//!   that file away gives its events up.
//! * Protection against someone who writes into the directory: checksums are not signatures.

mod block;
mod check;
#[cfg(test)]
mod conformance;
mod disk;
mod disk_log;
mod export;
mod head;
mod ledger;
mod lock;
mod log;
mod memory;
mod meta;
mod record;
mod recovery;
mod segment;
mod stats;
pub mod testing;

pub use check::{CheckReport, SegmentCheck, StreamCheck, check};
pub use disk::{Disk, DiskFile, RealDisk};
pub use disk_log::{Damage, DiskLog, DiskLogOptions, OpenReport};
pub use export::{ExportError, ExportReport, StreamExport, export};
pub use head::Follower;
pub use ledger::{
    BadLetterId, Ledger, LedgerError, LedgerReport, Letter, LetterChange, LetterFilter, LetterId, LetterOwner, LetterSummary, Rebuilt,
};
pub use lock::{Lock, LockError};
pub use log::{AppendError, Bounds, EventLog, Part, Pressure, Read, ReadError, ReadLimit, Run, SegmentInfo, StreamId};
pub use memory::MemoryLog;
pub use record::{
    ConsumerId, ConsumerRecord, DeadLetter, DropReason, Identity, NumberRanges, Plan, ReplayPlan, ReplaySettlement, Settlement,
};
pub use recovery::OpenError;
pub use segment::scan::Finding;
pub use stats::LogStats;
