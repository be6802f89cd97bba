//! What goes together: the shard of a record, the group of a message.

use flagpost_event::{Event, EventKind, LineError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Upstream's constant: all of its records are on one shard.
const CONSTANT: &str = "default";

/// What goes together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Spread {
    /// A user's events, in their order.
    #[default]
    UserKey,
    /// All events: the constant `default`, as upstream has it.
    Default,
    /// No two: each event has a key of its own, and there is no order.
    Random,
}

impl Spread {
    /// The key of an event. A user key that the service would not take as it is (`fits`) is told by its digest.
    pub(crate) fn key(self, kind: EventKind, line: &[u8], id: &str, fits: fn(&str) -> bool) -> Result<String, LineError> {
        let user = Event::from_line(kind, line)?.into_keys().0;
        let digest = |text: &str| format!("sha256-{}", hex::encode(Sha256::digest(text)));
        Ok(match self {
            Spread::UserKey if user.is_empty() => CONSTANT.to_owned(),
            Spread::UserKey if fits(&user) => user.into_owned(),
            Spread::UserKey => digest(&user),
            Spread::Default => CONSTANT.to_owned(),
            // An id's own characters are few and its numbers follow each other: a digest is spread evenly and always fits.
            Spread::Random => digest(id),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_key_always_fits_and_is_the_same_for_the_same_user() {
        let short = |text: &str| text.len() < 5;
        let key = |spread: Spread, line: &str, id: &str| spread.key(EventKind::Feature, line.as_bytes(), id, short).unwrap();
        let (zoe, long) = (r#"{"userKey":"Zo\u00eb"}"#, r#"{"userKey":"longer"}"#);
        assert_eq!(key(Spread::UserKey, zoe, "1"), "Zoë");
        assert_eq!(key(Spread::UserKey, r#"{"userKey":""}"#, "1"), "default");
        assert_eq!(key(Spread::UserKey, long, "1"), key(Spread::UserKey, long, "2"));
        assert!(key(Spread::UserKey, long, "1").starts_with("sha256-") && key(Spread::UserKey, long, "1").len() == 71);
        assert_eq!([key(Spread::Default, zoe, "1"), key(Spread::Default, long, "2")], ["default", "default"]);
        assert_ne!(key(Spread::Random, zoe, "1"), key(Spread::Random, zoe, "2"));
        assert_eq!(key(Spread::Random, zoe, "1"), key(Spread::Random, long, "1"));
        let tracking = Spread::UserKey.key(EventKind::Tracking, br#"{"userKey":"t"}"#, "1", short).unwrap();
        assert_eq!(tracking, "t");
        assert!(Spread::UserKey.key(EventKind::Feature, b"nonsense", "1", short).is_err());
    }
}
