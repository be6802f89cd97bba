//! Rules that hold for any input, for `crate::fuzzing`.

use super::inflate::{Encoding, inflate as inflated};
use super::room::Room;

/// What is inflated is within its limit, and the room for it was asked for and is given back.
pub(crate) fn inflate(input: &[u8]) {
    let [encoding, limit, body @ ..] = input else { return };
    let encoding = [Encoding::Gzip, Encoding::Deflate, Encoding::Zstd][usize::from(*encoding) % 3];
    let limit = usize::from(*limit) * 64;
    let room = Room::new(1 << 20);
    let mut hold = room.hold();
    if let Ok(text) = inflated(encoding, body, limit, &mut hold) {
        assert!(text.len() <= limit);
        assert!(room.counts().0 >= text.capacity() as u64, "held without being asked for");
    }
    drop(hold);
    assert_eq!(room.counts().0, 0);
}
