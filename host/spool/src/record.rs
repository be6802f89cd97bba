//! The records of the bookkeeping: who reads what, how far, with which plan.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use flagpost_event::{ObjectPlan, StreamName};
use serde::{Deserialize, Serialize};

/// What a cursor belongs to: an exporter's identity within its flag set. Its `name`, or `kind` and a hash of where its data goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// The flag set.
    pub flag_set: String,
    /// `name`, or `<kind>-<8 hex digits>`.
    pub exporter: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.flag_set, self.exporter)
    }
}

/// One consumer: an identity reading one stream. Its row in the bookkeeping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConsumerId(pub i64);

/// All that is durable about a consumer.
///
/// Conservation, from these numbers alone: `head - start = delivered + (head - cursor) + dead + sum(dropped)`, so
/// `delivered = (cursor - start) - dead - sum(dropped)`. A dead letter that is replayed leaves `dead` and so is delivered; one that an operator
/// drops goes from `dead` to `dropped`: each in the transaction that removes the letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerRecord {
    /// Its row.
    pub id: ConsumerId,
    /// Whose cursor it is.
    pub identity: Identity,
    /// What it reads.
    pub stream: StreamName,
    /// The stream's head when it was first seen: the first event it gets.
    pub start: u64,
    /// The first event that is not settled.
    pub cursor: u64,
    /// Events below the cursor that are in the dead letters.
    pub dead: u64,
    /// Events that were delivered out of the dead letters. They count as delivered.
    pub replayed: u64,
    /// Events below the cursor that were dropped, by reason.
    pub dropped: BTreeMap<DropReason, u64>,
    /// The batch under way, for bulk exporters and for whatever failed before.
    pub plan: Option<Plan>,
    /// The batch of dead letters that is being sent again.
    pub replay: Option<ReplayPlan>,
    /// The number of its last such batch: no number is given twice.
    pub replays: u64,
    /// Since when it is gone from the configuration, Unix milliseconds.
    pub orphaned_since: Option<u64>,
}

impl ConsumerRecord {
    /// Events delivered so far, computed from the numbers.
    pub fn delivered(&self) -> u64 {
        let lost: u64 = self.dropped.values().sum();
        (self.cursor - self.start).saturating_sub(self.dead).saturating_sub(lost)
    }

    /// The first number that nobody outside has seen: below it are events that were delivered, or that a batch under way has named to its
    /// destination. For [`DiskLogOptions::floors`](crate::DiskLogOptions::floors).
    pub fn floor(&self) -> u64 {
        let plans = self.plan.iter().flat_map(|plan| std::iter::once(plan).chain(&plan.behind));
        plans.map(|plan| plan.last.saturating_add(1)).fold(self.cursor, u64::max)
    }
}

/// Why an event was given up without being delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropReason {
    /// The exporter's `maxBacklog` was reached and `whenFull` says drop-oldest.
    Backlog,
    /// `buffer.maxBytes` was reached: the store as a whole is full.
    StoreFull,
    /// The stored bytes are damaged.
    Damaged,
    /// The exporter was gone from the configuration for longer than `buffer.keepRemoved`.
    Removed,
    /// The numbers are no longer held (a store that was replaced or rebuilt).
    Gone,
    /// Still there after `retry.maxElapsed`.
    Expired,
    /// An operator dropped it from the dead letters.
    DeadLetter,
}

impl DropReason {
    /// All of them.
    pub const ALL: [DropReason; 7] = [
        DropReason::Backlog,
        DropReason::StoreFull,
        DropReason::Damaged,
        DropReason::Removed,
        DropReason::Gone,
        DropReason::Expired,
        DropReason::DeadLetter,
    ];

    /// The metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            DropReason::Backlog => "backlog",
            DropReason::StoreFull => "store_full",
            DropReason::Damaged => "damaged",
            DropReason::Removed => "removed",
            DropReason::Gone => "gone",
            DropReason::Expired => "expired",
            DropReason::DeadLetter => "dead_letter",
        }
    }
}

/// A set of event numbers as sorted, disjoint, non-empty ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberRanges(pub Vec<Range<u64>>);

/// The batch under way. Durable before the first attempt (bulk) and after each partial failure; it wins over changed settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// First event of the batch.
    pub first: u64,
    /// Last event of the batch, inclusive.
    pub last: u64,
    /// The events of it that are neither delivered nor condemned.
    pub remaining: NumberRanges,
    /// How many partial failures there were: the k of `.r<k>` in the batch id; 0 for the whole batch.
    pub subset: u32,
    /// Where the batch goes, for exporters that write objects.
    pub object: Option<ObjectPlan>,
    /// Attempts begun; durable before each attempt from the second on.
    pub attempts: u32,
    /// Attempts that crashed the exporter.
    pub crashes: u32,
    /// When the first attempt was begun, Unix milliseconds.
    pub since: u64,
    /// Events condemned so far with the reason: dead-lettered when the cursor passes them.
    pub condemned: Vec<(u64, String)>,
    /// Ranges of the batch that were given up, by reason: counted when the cursor passes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given_up: Vec<(Range<u64>, DropReason)>,
    /// The part of `remaining` that subset `subset` names while the batch is suspect; `None`: it names all of `remaining`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trying: Option<NumberRanges>,
    /// While the batch is suspect: whether the exporter had delivered something else before `trying` was tried, so that a failure of it
    /// counts against its events.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub vouched: bool,
    /// Batches under way behind this one, in order: an unordered exporter has several, and a parked event lets later ones pass. One
    /// with nothing remaining was delivered already.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub behind: Vec<Plan>,
}

/// A batch of dead letters that is being sent again. Durable before each attempt: a crash repeats it under the same id, with the same object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayPlan {
    /// Its number among the consumer's replays: the n of `.d<n>` in the batch id.
    pub number: u64,
    /// Its events.
    pub numbers: NumberRanges,
    /// Where it goes, for exporters that write objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectPlan>,
    /// Attempts begun.
    pub attempts: u32,
    /// Attempts that crashed the exporter; one under way is among them until its outcome is known.
    pub crashes: u32,
}

/// What became of a batch of dead letters: everything in it becomes durable together or not at all.
#[derive(Clone, Debug, Default)]
pub struct ReplaySettlement {
    /// Delivered: they leave the dead letters.
    pub delivered: Vec<u64>,
    /// Refused again, and why: they stay, and are no longer marked to be sent.
    pub refused: Vec<(u64, String)>,
    /// Neither: they stay marked, and come in another batch.
    pub back: Vec<u64>,
    /// Attempts that were made with those that stay.
    pub attempts: u32,
    /// Now, in Unix milliseconds.
    pub at: u64,
    /// The batch under way from now on.
    pub plan: Option<ReplayPlan>,
}

/// A change of a consumer's position: everything in it becomes durable together or not at all.
#[derive(Clone, Debug, Default)]
pub struct Settlement {
    /// The new cursor.
    pub cursor: u64,
    /// Condemned events, all below the cursor or in the plan that is dropped.
    pub dead: Vec<DeadLetter>,
    /// Events given up, by reason.
    pub dropped: BTreeMap<DropReason, u64>,
    /// The plan from now on.
    pub plan: Option<Plan>,
}

/// A condemned event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its number in its stream.
    pub number: u64,
    /// Its canonical JSON, without newline.
    pub event: Vec<u8>,
    /// Why.
    pub reason: String,
    /// Attempts made with it, replays included.
    pub attempts: u32,
    /// When it was first tried, Unix milliseconds.
    pub first_tried: u64,
    /// When it was last condemned, Unix milliseconds.
    pub condemned_at: u64,
    /// The id of the batch that it was cut in; empty for letters of programs that did not keep it.
    pub batch: String,
    /// Whether it is marked to be sent again.
    pub marked: bool,
}
