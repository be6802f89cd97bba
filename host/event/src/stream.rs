//! Names of streams: (flag set, event kind).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The two kinds of events; upstream's `eventType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// One flag evaluation.
    Feature,
    /// One call of OpenFeature's `track`.
    Tracking,
}

impl EventKind {
    /// Both kinds, in the order in which they are reported.
    pub const ALL: [EventKind; 2] = [EventKind::Feature, EventKind::Tracking];

    /// `"feature"` or `"tracking"`.
    pub fn as_str(self) -> &'static str {
        match self {
            EventKind::Feature => "feature",
            EventKind::Tracking => "tracking",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A stream's name. Written `default/feature`: the flag set, a slash, the kind.
///
/// A flag set is a tenant: a line that crosses streams is a breach.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamName {
    /// The flag set the events belong to.
    pub flag_set: Arc<str>,
    /// The kind of every event in the stream.
    pub kind: EventKind,
}

impl StreamName {
    /// The stream of `kind` in `flag_set`.
    pub fn new(flag_set: impl Into<Arc<str>>, kind: EventKind) -> Self {
        StreamName { flag_set: flag_set.into(), kind }
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.flag_set, self.kind)
    }
}

/// The text is not `<flag set>/feature` or `<flag set>/tracking`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a stream's name: expected `<flag set>/feature` or `<flag set>/tracking`")]
pub struct StreamNameError(String);

impl FromStr for StreamName {
    type Err = StreamNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let kind = |name| EventKind::ALL.into_iter().find(|kind| kind.as_str() == name);
        match text.rsplit_once('/').map(|(flag_set, name)| (flag_set, kind(name))) {
            Some((flag_set, Some(kind))) if !flag_set.is_empty() => Ok(StreamName::new(flag_set, kind)),
            _ => Err(StreamNameError(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_as_it_was_written() {
        for text in ["default/feature", "acme/tracking", "a/b/feature"] {
            assert_eq!(text.parse::<StreamName>().map(|name| name.to_string()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "feature", "/feature", "acme/", "acme/Feature"] {
            assert!(text.parse::<StreamName>().is_err(), "{text}");
        }
    }
}
