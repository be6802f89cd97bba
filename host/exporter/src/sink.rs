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
    /// Nothing else can be written while a write hangs, so it is not held longer than for one: a few whole lines.
    fn write_lines(&self, lines: &[u8]) -> io::Result<()> {
        pieces(lines).try_for_each(|piece| io::stderr().lock().write_all(piece))
    }
}

/// A pipe takes so many bytes at once (PIPE_BUF): other writers cannot get in between.
const PIECE: usize = 4096;

/// Whole lines, as many as fit into a piece; a longer line is one of its own.
fn pieces(mut lines: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let end = match lines.len() {
            0 => return None,
            length if length <= PIECE => length,
            _ => match lines[..PIECE].iter().rposition(|&byte| byte == b'\n') {
                Some(end) => end + 1,
                None => lines.iter().position(|&byte| byte == b'\n').map_or(lines.len(), |end| end + 1),
            },
        };
        let (piece, rest) = lines.split_at(end);
        lines = rest;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_whole_lines_and_all_of_them() {
        let lines: Vec<u8> = (0..3_000).flat_map(|n| format!("{}\n", "x".repeat(n * 7919 % 6_000)).into_bytes()).collect();
        assert!(pieces(&lines).all(|piece| piece.ends_with(b"\n")));
        let one = |piece: &[u8]| piece.iter().filter(|&&byte| byte == b'\n').count() == 1;
        assert!(pieces(&lines).all(|piece| piece.len() <= PIECE || one(piece)));
        assert_eq!(pieces(&lines).collect::<Vec<_>>().concat(), lines);
        assert_eq!(pieces(b"half").collect::<Vec<_>>(), [b"half"]);
        assert_eq!(pieces(b"").count(), 0);
    }
}
