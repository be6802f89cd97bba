//! `meta`: the small file that says what the directory is: the store's id and its format.
//!
//! ```text
//! flagpost store
//! format 1
//! id 1f2e3d4c
//! crc32c 89abcdef
//! ```
//! The checksum is over the lines before it. A later format keeps these four lines in front. A damaged file is no reason not to start: every
//! record names the store too.

use std::io;
use std::path::Path;

use crate::block::FORMAT;
use crate::disk::{Disk, read_full};

/// The file's name.
pub(crate) const META: &str = "meta";
const TEMPORARY: &str = "meta.new";
/// More than this is no meta file.
const MOST: u64 = 4096;

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meta {
    Absent,
    Damaged,
    Is { format: u32, store: u32 },
}

pub(crate) fn text(format: u32, store: u32) -> String {
    let lines = format!("flagpost store\nformat {format}\nid {store:08x}\n");
    format!("{lines}crc32c {:08x}\n", crc32c::crc32c(lines.as_bytes()))
}

pub(crate) fn parse(bytes: &[u8]) -> Option<Meta> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut rest = text;
    let mut line = || {
        let (line, after) = rest.split_once('\n')?;
        rest = after;
        Some(line)
    };
    (line()? == "flagpost store").then_some(())?;
    let format = line()?.strip_prefix("format ")?.parse().ok()?;
    let store = u32::from_str_radix(line()?.strip_prefix("id ")?, 16).ok()?;
    let crc = u32::from_str_radix(line()?.strip_prefix("crc32c ")?, 16).ok()?;
    let checked = text.find("crc32c ")?;
    (crc32c::crc32c(&bytes[..checked]) == crc).then_some(Meta::Is { format, store })
}

/// Reads the file.
pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> io::Result<Meta> {
    let file = match disk.open(&dir.join(META)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Meta::Absent),
        Err(error) => return Err(error),
    };
    let mut bytes = vec![0; file.len()?.min(MOST) as usize];
    let read = read_full(&*file, &mut bytes, 0)?;
    bytes.truncate(read);
    Ok(parse(&bytes).unwrap_or(Meta::Damaged))
}

/// Writes the file so that it is there whole or not at all. A damaged one is kept as `meta.damaged`.
pub(crate) fn write(disk: &dyn Disk, dir: &Path, store: u32, damaged: bool) -> io::Result<()> {
    if damaged {
        disk.rename(&dir.join(META), &dir.join("meta.damaged"))?;
    }
    let temporary = dir.join(TEMPORARY);
    match disk.unlink(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.create(&temporary)?;
    file.write_at(text(u32::from(FORMAT), store).as_bytes(), 0)?;
    file.sync_data()?;
    disk.rename(&temporary, &dir.join(META))?;
    disk.sync_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        assert_eq!(parse(text(1, 0x0012_abcd).as_bytes()), Some(Meta::Is { format: 1, store: 0x0012_abcd }));
        let later = format!("{}compression zstd\n", text(2, 7));
        assert_eq!(parse(later.as_bytes()), Some(Meta::Is { format: 2, store: 7 }), "lines after the four are the future's");
    }

    #[test]
    fn every_flipped_bit_is_noticed_or_means_the_same() {
        let good = text(1, 0x0012_abcd);
        for at in 0..good.len() * 8 {
            let mut bytes = good.clone().into_bytes();
            bytes[at / 8] ^= 1 << (at % 8);
            let parsed = parse(&bytes);
            assert!(parsed.is_none() || parsed == parse(good.as_bytes()), "bit {at}");
        }
    }
}
