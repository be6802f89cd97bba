//! Bringing JSON text into canonical form in one pass: each object is written as it comes, and only an unsorted one is sorted afterwards.

use std::ops::Range;

use super::error::{Fault, Soft};
use super::scan::{Scanner, Word};

/// How much a value may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Deepest nesting of arrays and objects; also bounds the recursion.
    pub(crate) depth: usize,
    /// Most bytes of canonical text.
    pub(crate) bytes: usize,
}

/// The working memory, kept from value to value.
#[derive(Debug, Default)]
pub(crate) struct Canonical {
    /// Members of all objects that are open, innermost last.
    members: Vec<Member>,
    /// Decoded names of those members whose canonical name is not the name itself.
    names: Vec<u8>,
    sorted: Vec<u8>,
}

/// A member that is written already.
#[derive(Clone, Debug)]
struct Member {
    name: Name,
    /// `"name":value` in the output.
    text: Range<usize>,
}

/// Where a member's decoded name is; names are sorted by it.
#[derive(Clone, Debug)]
enum Name {
    InText(Range<usize>),
    Decoded(Range<usize>),
}

impl Canonical {
    /// Appends the canonical form of the next value. After a soft fault nothing is appended and the scanner stands behind the value, which
    /// was inside `open` containers.
    pub(crate) fn write(&mut self, scanner: &mut Scanner<'_>, open: usize, bounds: Bounds, out: &mut Vec<u8>) -> Result<(), Fault> {
        let (before, start) = (*scanner, out.len());
        let result = Writer { work: self, end: start.saturating_add(bounds.bytes) }.value(scanner, bounds.depth, out);
        self.members.clear();
        self.names.clear();
        if let Err(Fault::Soft(_)) = result {
            out.truncate(start);
            *scanner = before;
            scanner.skip(open)?;
        }
        result
    }
}

struct Writer<'w> {
    work: &'w mut Canonical,
    /// The output may not grow beyond this.
    end: usize,
}

impl Writer<'_> {
    /// Recurses at most `depth` deep.
    fn value(&mut self, scanner: &mut Scanner<'_>, depth: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        match scanner.value()? {
            b'"' => scanner.string()?.write(out),
            b'{' | b'[' if depth == 0 => return Err(Fault::Soft(Soft::TooDeep)),
            b'{' => self.object(scanner, depth - 1, out)?,
            b'[' => {
                scanner.open();
                out.push(b'[');
                let start = out.len();
                while scanner.element(out.len() == start)? {
                    if out.len() > start {
                        out.push(b',');
                    }
                    self.value(scanner, depth - 1, out)?;
                }
                out.push(b']');
            }
            b'-' | b'0'..=b'9' => {
                let number = scanner.number()?;
                if !number.write(out) {
                    let end = scanner.position();
                    return Err(Fault::Soft(Soft::NumberRange { start: end - number.raw.len(), end }));
                }
            }
            _ => out.extend_from_slice(match scanner.word()? {
                Word::Null => b"null",
                Word::True => b"true",
                Word::False => b"false",
            }),
        }
        if out.len() > self.end { Err(Fault::Soft(Soft::TooLong)) } else { Ok(()) }
    }

    fn object(&mut self, scanner: &mut Scanner<'_>, depth: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        let (first_member, first_name) = (self.work.members.len(), self.work.names.len());
        let mut ascending = true;
        scanner.open();
        out.push(b'{');
        let start = out.len();
        while let Some(name) = scanner.member(out.len() == start)? {
            if out.len() > start {
                out.push(b',');
            }
            let text = out.len();
            name.write(out);
            let name = match name.plain() {
                Some(_) => Name::InText(text + 1..out.len() - 1),
                None => {
                    let at = self.work.names.len();
                    self.work.names.extend_from_slice(name.decode().as_bytes());
                    Name::Decoded(at..self.work.names.len())
                }
            };
            out.push(b':');
            self.value(scanner, depth, out)?;
            if ascending && let Some(last) = self.work.members[first_member..].last() {
                ascending = self.work.name(&last.name, out) < self.work.name(&name, out);
            }
            self.work.members.push(Member { name, text: text..out.len() });
        }
        if !ascending {
            self.work.sort(first_member, start, out);
        }
        self.work.members.truncate(first_member);
        self.work.names.truncate(first_name);
        out.push(b'}');
        Ok(())
    }
}

impl Canonical {
    fn name<'t>(&'t self, name: &Name, out: &'t [u8]) -> &'t [u8] {
        match name {
            Name::InText(range) => &out[range.clone()],
            Name::Decoded(range) => &self.names[range.clone()],
        }
    }

    /// Writes the members from `first_member` on again, sorted, from `start` on. Of equal names the last wins.
    fn sort(&mut self, first_member: usize, start: usize, out: &mut Vec<u8>) {
        let mut members = self.members.split_off(first_member);
        members.sort_by(|a, b| self.name(&a.name, out).cmp(self.name(&b.name, out)));
        let mut sorted = std::mem::take(&mut self.sorted);
        sorted.clear();
        for (index, member) in members.iter().enumerate() {
            let next = members.get(index + 1);
            if next.is_some_and(|next| self.name(&next.name, out) == self.name(&member.name, out)) {
                continue;
            }
            if !sorted.is_empty() {
                sorted.push(b',');
            }
            sorted.extend_from_slice(&out[member.text.clone()]);
        }
        out.truncate(start);
        out.extend_from_slice(&sorted);
        self.sorted = sorted;
    }
}
