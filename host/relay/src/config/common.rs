//! The keys that every exporter has, whatever its kind.

use flagpost_delivery::{DEFAULT_FLUSH_INTERVAL, DEFAULT_MAX_EVENTS, Policy, RetryPolicy, WhenFull};
use flagpost_event::EventKind;
use flagpost_settings::{Millis, Node, Problems, Size, Span, join};
use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// The keys of every exporter, whatever its kind.
#[derive(Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Common {
    /// Mandatory. The kind of exporter.
    #[serde(rename = "kind")]
    #[schemars(with = "String")]
    _kind: IgnoredAny,
    /// What its place in the log belongs to: the same name goes on there. Unique in its flag set.
    #[schemars(extend("x-default" = "the kind and a hash of where the data goes"))]
    pub(crate) name: Option<String>,
    /// The events it gets: `feature`, `tracking` or `all`.
    pub(crate) event_type: EventType,
    /// How long events wait for a batch to fill, in milliseconds or with a unit; 0 is the default. Without effect on kinds that send at once.
    pub(crate) flush_interval: Millis,
    /// How many events make a batch; 0 is the default. Without effect on kinds that send at once.
    pub(crate) max_event_in_memory: u32,
    /// Most events in one call of the exporter.
    #[schemars(extend("x-default" = "what the kind takes"))]
    pub(crate) max_events_per_call: Option<u32>,
    /// Whether the next batch waits for the one before. `false` lets several be under way where the exporter can: `limits.instances` of a
    /// plugin.
    #[schemars(extend("x-default" = "what the kind needs"))]
    pub(crate) ordered: Option<bool>,
    /// When a batch that failed is sent again.
    pub(crate) retry: Retry,
    /// How much may wait for this exporter.
    #[schemars(extend("x-default" = "half of `buffer.maxBytes`, all of it for an only exporter"))]
    pub(crate) max_backlog: Option<Size>,
    /// What happens then: `drop-oldest` gives up its oldest events, counted; `block` answers requests with 429.
    pub(crate) when_full: Full,
}

impl Default for Common {
    fn default() -> Self {
        Common {
            _kind: IgnoredAny,
            name: None,
            event_type: EventType::Feature,
            flush_interval: Millis(DEFAULT_FLUSH_INTERVAL),
            max_event_in_memory: u32::try_from(DEFAULT_MAX_EVENTS).unwrap_or(u32::MAX),
            max_events_per_call: None,
            ordered: None,
            retry: Retry::default(),
            max_backlog: None,
            when_full: Full::DropOldest,
        }
    }
}

#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum EventType {
    Feature,
    Tracking,
    All,
}

impl EventType {
    pub(crate) fn kinds(self) -> Vec<EventKind> {
        match self {
            EventType::Feature => vec![EventKind::Feature],
            EventType::Tracking => vec![EventKind::Tracking],
            EventType::All => EventKind::ALL.to_vec(),
        }
    }
}

/// The time before the next attempt doubles from `initial` to `max`, with jitter.
#[derive(Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Retry {
    /// Before the second attempt.
    initial: Span,
    /// The longest.
    max: Span,
    /// How long one batch is tried before its events are given up, counted as `expired`; 0s: for ever.
    max_elapsed: Span,
}

impl Default for Retry {
    fn default() -> Self {
        let policy = RetryPolicy::default();
        Retry { initial: Span(policy.initial), max: Span(policy.max), max_elapsed: Span(policy.max_elapsed.unwrap_or_default()) }
    }
}

#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Full {
    DropOldest,
    Block,
}

impl Common {
    /// How batches are cut, retried and given up; `budget` is the default of `maxBacklog`.
    pub(crate) fn policy(&self, budget: u64, path: &str, node: &Node, problems: &mut Problems) -> Policy {
        let retry = RetryPolicy {
            initial: self.retry.initial.0,
            max: self.retry.max.0,
            max_elapsed: Some(self.retry.max_elapsed.0).filter(|span| !span.is_zero()),
        };
        if retry.initial > retry.max {
            let place = node.get("retry").map_or(&node.place, |entry| &entry.place);
            problems.error(join(path, "retry"), place, "`initial` is longer than `max`", "make `max` the longer one");
        }
        Policy {
            // 0 is upstream's way of writing the default.
            max_events: if self.max_event_in_memory == 0 { DEFAULT_MAX_EVENTS } else { self.max_event_in_memory as usize },
            flush_interval: Some(self.flush_interval.0).filter(|span| !span.is_zero()).unwrap_or(DEFAULT_FLUSH_INTERVAL),
            retry,
            max_backlog: self.max_backlog.map_or(budget, |size| size.0),
            when_full: match self.when_full {
                Full::DropOldest => WhenFull::DropOldest,
                Full::Block => WhenFull::Block,
            },
            max_events_per_call: self.max_events_per_call.filter(|&events| events > 0).map(|events| events as usize),
            ordered: self.ordered,
        }
    }
}
