//! Reading from the log: a new batch, the lines of a planned one, one event.

use std::io;
use std::ops::Range;

use bytes::Bytes;
use flagpost_spool::{DropReason, EventLog, NumberRanges, Read, ReadError, ReadLimit, Run, StreamId};

use crate::ranges::Numbers;

/// What a cut found.
#[derive(Debug)]
pub(crate) enum Cut {
    /// This many events, and their lines.
    Events(u64, Vec<Bytes>),
    /// Events that cannot be had.
    Lost(Range<u64>, DropReason),
    /// Nothing is there yet.
    Nothing,
}

/// Reads the next batch from `from` on: as many events as there are within the limits. At least one, however large.
pub(crate) async fn cut(log: &dyn EventLog, stream: StreamId, from: u64, most: u64, bytes: usize) -> Result<Cut, ReadError> {
    let (mut count, mut size, mut lines) = (0, 0, Vec::new());
    while count < most && (count == 0 || size < bytes) {
        let limit = ReadLimit { events: usize::try_from(most - count).unwrap_or(usize::MAX), bytes: bytes.saturating_sub(size) };
        let found = match log.read(stream, from + count, limit).await? {
            Read::Events(run) if run.count > 0 => run,
            Read::Damaged(range) if count == 0 => return Ok(Cut::Lost(range, DropReason::Damaged)),
            Read::Gone(range) if count == 0 => return Ok(Cut::Lost(range, DropReason::Gone)),
            _ => break,
        };
        let more: usize = found.lines.iter().map(Bytes::len).sum();
        // A log returns at least one event; what does not fit any more is the next batch's.
        if count > 0 && size + more > bytes {
            break;
        }
        count += found.count as u64;
        size += more;
        lines.extend(found.lines);
    }
    Ok(if count == 0 { Cut::Nothing } else { Cut::Events(count, lines) })
}

/// The lines of planned events, and those of them that can no longer be had.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) lines: Vec<Bytes>,
    pub(crate) lost: Vec<(Range<u64>, DropReason)>,
}

/// Reads exactly `numbers`.
pub(crate) async fn load(log: &dyn EventLog, stream: StreamId, numbers: &NumberRanges) -> Result<Loaded, ReadError> {
    let mut loaded = Loaded::default();
    for wanted in spans(numbers) {
        let mut from = wanted.start;
        while from < wanted.end {
            let limit = ReadLimit { events: usize::try_from(wanted.end - from).unwrap_or(usize::MAX), bytes: usize::MAX };
            let (lost, reason) = match log.read(stream, from, limit).await? {
                Read::Events(run) if run.count > 0 => {
                    pick(&run, numbers, &mut loaded.lines);
                    from += run.count as u64;
                    continue;
                }
                Read::Damaged(range) => (range, DropReason::Damaged),
                Read::Gone(range) => (range, DropReason::Gone),
                // Planned, and not there yet: never given up, and never taken for other events' numbers.
                Read::Events(_) | Read::End => {
                    let why = "the log ends before the events of a batch under way do";
                    return Err(ReadError { stream, from, source: io::Error::new(io::ErrorKind::UnexpectedEof, why) });
                }
            };
            let until = lost.end.clamp(from + 1, wanted.end);
            loaded.lost.push((from..until, reason));
            from = until;
        }
    }
    Ok(loaded)
}

/// The line of one event, without its newline; `None` when it cannot be had.
pub(crate) async fn line(log: &dyn EventLog, stream: StreamId, number: u64) -> Result<Option<Vec<u8>>, ReadError> {
    let loaded = load(log, stream, &NumberRanges::of(number..number + 1)).await?;
    let line = loaded.lines.concat();
    Ok(if loaded.lost.is_empty() { Some(line.strip_suffix(b"\n").map(<[u8]>::to_vec).unwrap_or(line)) } else { None })
}

/// Ranges to read: neighbours that are close are read in one go.
fn spans(numbers: &NumberRanges) -> Vec<Range<u64>> {
    /// Reading a block for its other events costs nothing: this many fit into one.
    const CLOSE: u64 = 500;
    let mut spans: Vec<Range<u64>> = Vec::new();
    for range in &numbers.0 {
        match spans.last_mut() {
            Some(span) if range.start - span.end <= CLOSE => span.end = range.end,
            _ => spans.push(range.clone()),
        }
    }
    spans
}

/// Takes the lines of `numbers` out of a run.
fn pick(run: &Run, numbers: &NumberRanges, lines: &mut Vec<Bytes>) {
    let end = run.first + run.count as u64;
    let wanted = Numbers::from(&numbers.below(end), run.first);
    if wanted.count() == run.count as u64 {
        lines.extend(run.lines.iter().cloned());
        return;
    }
    let mut ranges = wanted.0.into_iter().peekable();
    let mut number = run.first;
    for chunk in &run.lines {
        let (mut at, mut taken) = (0, None);
        while at < chunk.len() {
            let length = chunk[at..].iter().position(|&byte| byte == b'\n').map_or(chunk.len() - at, |end| end + 1);
            while ranges.next_if(|range| range.end <= number).is_some() {}
            let wanted = ranges.peek().is_some_and(|range| range.contains(&number));
            match (wanted, taken) {
                (true, None) => taken = Some(at),
                (false, Some(start)) => {
                    lines.push(chunk.slice(start..at));
                    taken = None;
                }
                _ => {}
            }
            at += length;
            number += 1;
        }
        if let Some(start) = taken {
            lines.push(chunk.slice(start..));
        }
    }
}
