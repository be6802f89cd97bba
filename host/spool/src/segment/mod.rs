//! A segment: one append-only file of records. Its name, its table of streams, its map, and how it is read.

pub(crate) mod codec;
pub(crate) mod map;
pub(crate) mod records;
pub(crate) mod scan;
pub(crate) mod table;
pub(crate) mod window;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

/// The name of segment `sequence`. Sixteen digits sort as numbers.
pub(crate) fn file_name(sequence: u64) -> String {
    format!("{sequence:016}.segment")
}

/// The sequence number of a segment's file name.
pub(crate) fn sequence_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".segment")?;
    if digits.len() < 16 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}
