//! The id that a destination drops duplicates by.

use uuid::Uuid;

/// The namespace of events that flagpost delivers. Never changes: an event that waits through an update must keep its id.
const EVENTS: Uuid = Uuid::from_u128(0x3c9f_2d0e_77a4_4b1f_9a53_0e6d_c1b8_5f24);

/// The id of the event at a place of a batch: a UUID (version 5), because PostHog takes nothing else and Mixpanel at most 36 bytes.
pub fn event_id(batch: &str, index: usize) -> String {
    Uuid::new_v5(&EVENTS, format!("{batch}#{index}").as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::event_id;

    #[test]
    fn an_id_is_of_one_event_of_one_batch_and_never_changes() {
        assert_eq!(event_id("s-default-feature-1-3", 0), "a5683293-224b-5be5-9f05-ad4d26f8c0d3");
        assert_ne!(event_id("s-default-feature-1-3", 0), event_id("s-default-feature-1-3", 1));
        assert_ne!(event_id("s-default-feature-1-3", 0), event_id("s-default-feature-1-3.r1", 0));
        assert_eq!(event_id("s-default-feature-1-3", 999).len(), 36);
    }
}
