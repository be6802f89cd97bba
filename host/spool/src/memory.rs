//! The event log without files: `buffer.type: memory`. The same promises but one: nothing survives the process.
//!
//! Bounded: an append that would exceed the bound is refused whole. Appending, reading and trimming run in the calling task. Blocks are
//! copies, so that trimming gives memory back however large the request was that they came in.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use flagpost_event::{Clock, StreamName};

use crate::head::Followers;
use crate::{AppendError, Bounds, EventLog, Follower, Part, Pressure, Read, ReadError, ReadLimit, Run, SegmentInfo, StreamId};

/// Most events of a block, as on disk.
const BLOCK_EVENTS: u64 = 1_000;

/// Most bytes of a block, as on disk; one larger event alone is a block.
const BLOCK_BYTES: usize = 256 << 10;

/// What a block costs beside its lines.
const BLOCK_COST: u64 = (size_of::<Block>() + 32) as u64;

/// What a budget sees as one segment.
const SEGMENT_BYTES: u64 = 1 << 20;

/// An event log in memory.
#[derive(Debug)]
pub struct MemoryLog {
    bound: u64,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    streams: Vec<Stream>,
    held: u64,
    closed: bool,
}

#[derive(Debug)]
struct Stream {
    name: StreamName,
    blocks: VecDeque<Block>,
    head: u64,
    /// Bytes of all lines ever appended.
    bytes: u64,
    /// Every event below was given up by the caller, also where its block is still held.
    keep_from: u64,
    followers: Followers,
}

/// Consecutive events; the event after its last one is the next block's first, or the head.
#[derive(Debug)]
struct Block {
    first: u64,
    count: u64,
    /// Bytes of the stream before the block.
    before: u64,
    appended_at: u64,
    lines: Bytes,
}

impl Block {
    fn end(&self) -> u64 {
        self.first + self.count
    }

    fn cost(&self) -> u64 {
        self.lines.len() as u64 + BLOCK_COST
    }

    /// Where the line of event `number` begins in the block.
    fn offset(&self, number: u64) -> usize {
        end_of_lines(&self.lines, number.saturating_sub(self.first))
    }
}

/// The offset behind the first `count` lines.
fn end_of_lines(lines: &[u8], count: u64) -> usize {
    let mut end = 0;
    for _ in 0..count {
        end += end_of_line(&lines[end..]);
    }
    end
}

/// The offset behind the first line.
fn end_of_line(lines: &[u8]) -> usize {
    lines.iter().position(|&byte| byte == b'\n').map_or(lines.len(), |at| at + 1)
}

impl Stream {
    fn bounds(&self) -> Bounds {
        Bounds { oldest: self.blocks.front().map_or(self.head, |block| block.first), head: self.head }
    }

    /// The block that holds `number`.
    fn block(&self, number: u64) -> Option<(usize, &Block)> {
        let at = self.blocks.partition_point(|block| block.end() <= number);
        self.blocks.get(at).filter(|block| block.first <= number).map(|block| (at, block))
    }
}

/// Cuts lines into blocks: how many events, how many bytes.
fn cut(mut lines: &[u8]) -> Vec<(u64, usize)> {
    let mut blocks = Vec::new();
    while !lines.is_empty() {
        let (mut count, mut bytes) = (0, 0);
        while bytes < lines.len() && count < BLOCK_EVENTS {
            let line = end_of_line(&lines[bytes..]);
            if count > 0 && bytes + line > BLOCK_BYTES {
                break;
            }
            count += 1;
            bytes += line;
        }
        blocks.push((count, bytes));
        lines = &lines[bytes..];
    }
    blocks
}

impl MemoryLog {
    /// A log that holds at most `bound` bytes (`buffer.maxBytes`). `clock` says when events were appended.
    pub fn new(bound: u64, clock: Arc<dyn Clock>) -> MemoryLog {
        MemoryLog { bound, clock, state: Mutex::default() }
    }

    /// Per stream how many events are held above what was given up: what the end of the process loses.
    pub fn unsettled(&self) -> Vec<(StreamName, u64)> {
        let state = self.state();
        let count = |stream: &Stream| stream.head - stream.bounds().oldest.max(stream.keep_from).min(stream.head);
        state.streams.iter().map(|stream| (stream.name.clone(), count(stream))).filter(|(_, count)| *count > 0).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn stream_mut(&mut self, id: StreamId) -> Option<&mut Stream> {
        self.streams.get_mut(id.0 as usize)
    }

    fn stream(&self, id: StreamId) -> Option<&Stream> {
        self.streams.get(id.0 as usize)
    }

    fn push(&mut self, part: &Part, cuts: &[(u64, usize)], now: u64) {
        let Some(stream) = self.streams.get_mut(part.stream.0 as usize) else { return };
        let mut at = 0;
        for &(count, bytes) in cuts {
            let lines = Bytes::copy_from_slice(&part.lines[at..at + bytes]);
            let block = Block { first: stream.head, count, before: stream.bytes, appended_at: now, lines };
            at += bytes;
            stream.head += count;
            stream.bytes += bytes as u64;
            self.held += block.cost();
            stream.blocks.push_back(block);
        }
        stream.followers.moved(stream.head);
    }
}

#[async_trait]
impl EventLog for MemoryLog {
    fn stream(&self, name: &StreamName) -> StreamId {
        let mut state = self.state();
        let index = state.streams.iter().position(|stream| stream.name == *name).unwrap_or_else(|| {
            let followers = Followers::new(1);
            let stream = Stream { name: name.clone(), blocks: VecDeque::new(), head: 1, bytes: 0, keep_from: 1, followers };
            state.streams.push(stream);
            state.streams.len() - 1
        });
        StreamId(u32::try_from(index).unwrap_or(u32::MAX))
    }

    fn streams(&self) -> Vec<(StreamId, StreamName)> {
        (0..).map(StreamId).zip(self.state().streams.iter().map(|stream| stream.name.clone())).collect()
    }

    async fn append(&self, parts: Vec<Part>) -> Result<(), AppendError> {
        let cuts: Vec<_> = parts.iter().map(|part| cut(&part.lines)).collect();
        let cost = cuts.iter().flatten().map(|&(_, bytes)| bytes as u64 + BLOCK_COST).sum::<u64>();
        let now = self.clock.unix_millis();
        let mut state = self.state();
        if state.closed {
            return Err(AppendError::Closed);
        }
        if cost > self.bound {
            return Err(AppendError::TooLarge { bound: self.bound });
        }
        if state.held + cost > self.bound {
            return Err(AppendError::Full { bound: self.bound });
        }
        for (part, cuts) in parts.iter().zip(&cuts) {
            state.push(part, cuts, now);
        }
        Ok(())
    }

    fn bounds(&self, stream: StreamId) -> Bounds {
        self.state().stream(stream).map_or(Bounds { oldest: 1, head: 1 }, Stream::bounds)
    }

    fn follow(&self, stream: StreamId) -> Follower {
        self.state().stream_mut(stream).map_or_else(|| Followers::new(1).follow(), |stream| stream.followers.follow())
    }

    async fn read(&self, stream: StreamId, from: u64, limit: ReadLimit) -> Result<Read, ReadError> {
        let state = self.state();
        let Some(stream) = state.stream(stream) else { return Ok(Read::End) };
        let oldest = stream.bounds().oldest;
        if from < oldest {
            return Ok(Read::Gone(from..oldest));
        }
        let Some((start, _)) = stream.block(from) else { return Ok(Read::End) };
        let mut run = Run { first: from, count: 0, lines: Vec::new() };
        let mut bytes = 0;
        for block in stream.blocks.range(start..) {
            let begin = block.offset(from);
            let mut end = begin;
            let mut taken = 0;
            while end < block.lines.len() && run.count + taken < limit.events.max(1) {
                let line = end_of_line(&block.lines[end..]);
                if run.count + taken > 0 && bytes + line > limit.bytes {
                    break;
                }
                end += line;
                bytes += line;
                taken += 1;
            }
            if taken > 0 {
                run.lines.push(block.lines.slice(begin..end));
                run.count += taken;
            }
            if end < block.lines.len() {
                break;
            }
        }
        Ok(Read::Events(run))
    }

    fn bytes_before(&self, stream: StreamId, number: u64) -> u64 {
        let state = self.state();
        let Some(stream) = state.stream(stream) else { return 0 };
        match stream.block(number) {
            Some((_, block)) => block.before + block.offset(number) as u64,
            None if number >= stream.head => stream.bytes,
            None => stream.blocks.front().map_or(stream.bytes, |block| block.before),
        }
    }

    fn number_within(&self, stream: StreamId, bytes: u64) -> u64 {
        let state = self.state();
        let Some(stream) = state.stream(stream) else { return 1 };
        let at = stream.blocks.partition_point(|block| stream.bytes - block.before > bytes);
        stream.blocks.get(at).map_or(stream.head, |block| block.first)
    }

    fn appended_at(&self, stream: StreamId, number: u64) -> Option<u64> {
        self.state().stream(stream)?.block(number).map(|(_, block)| block.appended_at)
    }

    async fn trim(&self, keep_from: &[(StreamId, u64)]) {
        let mut state = self.state();
        for &(id, number) in keep_from {
            let Some(stream) = state.streams.get_mut(id.0 as usize) else { continue };
            stream.keep_from = stream.keep_from.max(number);
            let below = stream.blocks.partition_point(|block| block.end() <= number);
            let freed: u64 = stream.blocks.drain(..below).map(|block| block.cost()).sum();
            if stream.blocks.capacity() > 4 * stream.blocks.len() + 64 {
                stream.blocks.shrink_to_fit();
            }
            state.held -= freed;
        }
    }

    fn segments(&self) -> Vec<SegmentInfo> {
        let state = self.state();
        let mut segments: Vec<(u64, SegmentInfo)> = Vec::new();
        for (id, stream) in (0..).map(StreamId).zip(&state.streams) {
            let mut open = false;
            for block in &stream.blocks {
                match segments.last_mut().filter(|_| open) {
                    Some((_, segment)) => {
                        segment.bytes += block.cost();
                        segment.holds[0].1.end = block.end();
                    }
                    None => {
                        let segment = SegmentInfo { bytes: block.cost(), holds: vec![(id, block.first..block.end())] };
                        segments.push((block.appended_at, segment));
                    }
                }
                open = segments.last().is_some_and(|(_, segment)| segment.bytes < SEGMENT_BYTES);
            }
        }
        segments.sort_by_key(|(appended_at, _)| *appended_at);
        segments.into_iter().map(|(_, segment)| segment).collect()
    }

    fn pressure(&self) -> Pressure {
        let held_bytes = self.state().held;
        Pressure { queued_bytes: 0, queue_age: Duration::ZERO, held_bytes, free_bytes: None }
    }

    async fn close(&self) {
        self.state().closed = true;
        for (stream, events) in self.unsettled() {
            tracing::warn!(%stream, events, "the event log was in memory only: these events are lost");
        }
    }
}
