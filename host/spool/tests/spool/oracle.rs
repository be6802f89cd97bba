//! Knows every event that was ever appended and what became of it, and compares a log with that.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use flagpost_spool::{Damage, EventLog, Read, ReadLimit};

use crate::world::stream_name;

/// An event's line names its stream and is unique.
pub(crate) fn line(stream: usize, id: u64) -> String {
    format!("{{\"s\":{stream},\"id\":{id},\"pad\":\"{}\"}}\n", "p".repeat((id * 37 % 90) as usize))
}

#[derive(Debug, Default)]
struct Stream {
    /// Lines whose numbers were seen.
    placed: BTreeMap<u64, String>,
    /// Lines of requests that were answered with success, before their numbers were seen.
    promised: BTreeSet<String>,
    /// Lines of requests that were not answered, or with an error: each may be there once, or not.
    open: BTreeSet<String>,
    /// Everything below was given up.
    kept_from: u64,
    /// The lines in the order of their requests: those of one request must stay in it.
    order: HashMap<String, u64>,
}

/// The oracle.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    streams: BTreeMap<usize, Stream>,
    next: u64,
}

impl Oracle {
    /// New lines for a stream, not yet answered.
    pub(crate) fn submit(&mut self, stream: usize, count: usize) -> Vec<String> {
        let known = self.streams.entry(stream).or_default();
        let lines: Vec<String> = (0..count as u64).map(|n| line(stream, self.next + n)).collect();
        for (n, line) in lines.iter().enumerate() {
            known.order.insert(line.clone(), self.next + n as u64);
            known.open.insert(line.clone());
        }
        self.next += count as u64;
        lines
    }

    /// Their request was answered with success.
    pub(crate) fn promise(&mut self, stream: usize, lines: &[String]) {
        let known = self.streams.entry(stream).or_default();
        for line in lines {
            known.open.remove(line);
            known.promised.insert(line.clone());
        }
    }

    /// Everything below a number was given up.
    pub(crate) fn gave_up(&mut self, stream: usize, below: u64) {
        let known = self.streams.entry(stream).or_default();
        known.kept_from = known.kept_from.max(below);
    }

    /// How many lines were promised.
    pub(crate) fn promised(&self) -> usize {
        self.streams.values().map(|stream| stream.placed.len() + stream.promised.len()).sum()
    }

    /// How many lines were seen under a number.
    pub(crate) fn placed(&self) -> usize {
        self.streams.values().map(|stream| stream.placed.len()).sum()
    }

    /// Compares everything that the log holds. `damaged`: ranges that may be missing.
    pub(crate) async fn check(&mut self, log: &dyn EventLog, damaged: &[Damage]) -> Result<(), String> {
        for (&index, known) in &mut self.streams {
            known.check(log, index, damaged).await.map_err(|error| format!("{}: {error}", stream_name(index)))?;
        }
        Ok(())
    }
}

impl Stream {
    async fn check(&mut self, log: &dyn EventLog, index: usize, damaged: &[Damage]) -> Result<(), String> {
        let id = log.stream(&stream_name(index));
        let bounds = log.bounds(id);
        if let Some((last, line)) = self.placed.last_key_value()
            && bounds.head <= *last
        {
            return Err(format!("the head is {} and event {last} was there: {line}", bounds.head));
        }
        let mut from = bounds.oldest;
        let mut seen: BTreeMap<u64, String> = BTreeMap::new();
        let mut lost = Vec::new();
        while from < bounds.head {
            match log.read(id, from, ReadLimit { events: 777, bytes: 64 << 10 }).await.map_err(|error| format!("{error:?}"))? {
                Read::Events(run) => {
                    if run.first != from || run.count == 0 {
                        return Err(format!("asked for {from}, got {} events from {}", run.count, run.first));
                    }
                    let text = String::from_utf8(run.lines.concat()).map_err(|error| error.to_string())?;
                    let lines: Vec<&str> = text.split_inclusive('\n').collect();
                    if lines.len() != run.count {
                        return Err(format!("{} lines for {} events from {from}", lines.len(), run.count));
                    }
                    for line in lines {
                        seen.insert(from, line.to_owned());
                        from += 1;
                    }
                }
                Read::Damaged(range) | Read::Gone(range) if range.start != from || range.is_empty() => {
                    return Err(format!("asked for {from}, told of {range:?}"));
                }
                Read::Damaged(range) => {
                    from = range.end;
                    lost.push(range);
                }
                Read::Gone(range) if range.end <= self.kept_from => from = range.end,
                Read::Gone(range) => return Err(format!("{range:?} is gone and only events below {} were given up", self.kept_from)),
                Read::End => return Err(format!("end at {from} of {}", bounds.head)),
            }
        }
        let name = stream_name(index);
        for range in &lost {
            let covered =
                damaged.iter().any(|known| known.stream == name && known.numbers.start <= range.start && range.end <= known.numbers.end);
            if !covered {
                return Err(format!("{range:?} is damaged and was not reported: {damaged:?}"));
            }
        }
        self.compare(bounds.oldest, seen, &lost)
    }

    fn compare(&mut self, oldest: u64, seen: BTreeMap<u64, String>, lost: &[std::ops::Range<u64>]) -> Result<(), String> {
        for (number, line) in &self.placed {
            let excused = *number < self.kept_from || lost.iter().any(|range| range.contains(number));
            match seen.get(number) {
                Some(now) if now == line => {}
                Some(now) => return Err(format!("event {number} was {line} and is {now}")),
                None if excused => {}
                None => return Err(format!("event {number} is missing (oldest {oldest}): {line}")),
            }
        }
        let mut before = None;
        let mut seen_lines = BTreeSet::new();
        for (number, line) in seen {
            let Some(order) = self.order.get(&line) else { return Err(format!("event {number} was never appended: {line}")) };
            if !seen_lines.insert(line.clone()) {
                return Err(format!("event {number} is there twice: {line}"));
            }
            let fresh = !self.placed.contains_key(&number);
            if fresh && !self.promised.remove(&line) && !self.open.remove(&line) {
                return Err(format!("event {number} had another number before: {line}"));
            }
            // Requests of one batch may come in any order; two lines of one request differ by one.
            if let Some((before, _)) = before.filter(|(before, _)| *before == order + 1) {
                return Err(format!("event {number} comes after its successor {before}"));
            }
            before = Some((*order, number));
            self.placed.insert(number, line);
        }
        if lost.is_empty()
            && let Some(line) = self.promised.first()
        {
            return Err(format!("an acknowledged event is missing: {line}"));
        }
        Ok(())
    }
}
