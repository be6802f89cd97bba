//! The rules of every log, on a real disk, with segments so small that reads, rolls and trims happen.

use std::sync::Arc;

use flagpost_event::SystemClock;
use tempfile::TempDir;

use super::*;
use crate::disk::RealDisk;

async fn small() -> (DiskLog, TempDir) {
    open(64 << 10, 8 << 10)
}

fn open(segment_bytes: u64, tail_bytes: usize) -> (DiskLog, TempDir) {
    let dir = TempDir::new().unwrap();
    let options = DiskLogOptions { segment_bytes, tail_bytes, ..DiskLogOptions::new(dir.path(), 7) };
    let (log, report) = DiskLog::open(options, Arc::new(RealDisk), Arc::new(SystemClock)).unwrap();
    assert!(report.created);
    (log, dir)
}

mod sectors;
mod space;

mod on_small_segments {
    crate::conformance::conforms!(super::small);
}

mod on_default_sizes {
    async fn usual() -> (crate::DiskLog, tempfile::TempDir) {
        super::open(64 << 20, 8 << 20)
    }
    crate::conformance::conforms!(usual);
}
