//! Where the `log` exporter writes.

use std::fmt::Debug;
use std::io::{self, Write};

/// Takes whole lines. Independent of the program's log level: upstream's `log` exporter falls silent under `logLevel: warn`.
pub trait LineSink: Debug + Send + Sync + 'static {
    /// Writes `lines`, each ended by `\n`. May block.
    fn write_lines(&self, lines: &[u8]) -> io::Result<()>;
}

/// Standard error, where upstream writes.
#[derive(Clone, Copy, Debug, Default)]
pub struct StderrLines;

impl LineSink for StderrLines {
    fn write_lines(&self, lines: &[u8]) -> io::Result<()> {
        io::stderr().lock().write_all(lines)
    }
}
