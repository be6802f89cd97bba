//! Trace and span ids that are an event's own: the same in every batch and every attempt that holds it.

use sha2::{Digest, Sha256};

/// What was hashed once stays so: another scheme needs another word here.
const SCHEME: &str = "flagpost span 1";

/// The trace id and the span id of the event with that id ([`flagpost_event::EventBatch::event_ids`]), as sent by that exporter: two exporters
/// of one event, to one collector maybe, make two spans.
pub(super) fn ids(exporter: &str, event: &str) -> ([u8; 16], [u8; 8]) {
    let hash = Sha256::digest(format!("{SCHEME} {exporter} {event}"));
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
        let (trace, span) = ids("mine", "0a1b2c3d-default.feature-42");
        let expected = ("a5ba4fcc29d27cbebbb5e28dba2bcac9", "20599433706a245e");
        assert_eq!((hex::encode(trace).as_str(), hex::encode(span).as_str()), expected);
        assert_ne!(ids("mine", "0a1b2c3d-default.feature-43").0, trace);
        assert_ne!(ids("other", "0a1b2c3d-default.feature-42").0, trace);
    }
}
