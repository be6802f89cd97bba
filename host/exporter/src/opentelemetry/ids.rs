//! Trace and span ids that are an event's own: the same in every batch and every attempt that holds it.

use sha2::{Digest, Sha256};

/// What was hashed once stays so: another scheme needs another word here.
const SCHEME: &str = "flagpost span 1 ";

/// The trace id and the span id of the event with that id ([`flagpost_event::EventBatch::event_ids`]).
pub(super) fn ids(event: &str) -> ([u8; 16], [u8; 8]) {
    let hash = Sha256::new().chain_update(SCHEME).chain_update(event).finalize();
    let (mut trace, mut span) = ([0; 16], [0; 8]);
    trace.copy_from_slice(&hash[..16]);
    span.copy_from_slice(&hash[16..24]);
    (trace, span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_of_an_event_never_change() {
        let (trace, span) = ids("0a1b2c3d-default.feature-42");
        assert_eq!((hex::encode(trace), hex::encode(span)), ("46589fb44d817b2bd34eb9c1cc141d7a".to_owned(), "8e2fe7e56e5f4856".to_owned()));
        assert_ne!(ids("0a1b2c3d-default.feature-43").0, trace);
    }
}
