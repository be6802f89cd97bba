//! Events that were not accepted, counted by cause, a few in detail.

/// Why the collector dropped one event of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropCause {
    /// A field has a JSON type that upstream does not take either.
    WrongType,
    /// The encoded event is over the limit.
    TooLarge,
    /// A value is nested deeper than the limit.
    TooDeep,
    /// A number is beyond the range of a 64-bit float.
    NumberRange,
}

impl DropCause {
    /// All causes, in the order in which they are reported.
    pub const ALL: [DropCause; 4] = [DropCause::WrongType, DropCause::TooLarge, DropCause::TooDeep, DropCause::NumberRange];

    /// The metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            DropCause::WrongType => "wrong_type",
            DropCause::TooLarge => "too_large",
            DropCause::TooDeep => "too_deep",
            DropCause::NumberRange => "number_range",
        }
    }
}

/// One dropped event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Its place in the request's `events`, from 0.
    pub index: usize,
    /// Why.
    pub cause: DropCause,
    /// Which field, what was expected. Holds none of the event's values.
    pub detail: String,
}

/// All dropped events of a request: counts of all, details of the first [`Drops::MAX_DETAILS`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    counts: [u64; DropCause::ALL.len()],
    details: Vec<Dropped>,
}

impl Drops {
    /// How many are kept in detail.
    pub const MAX_DETAILS: usize = 20;

    /// How many events were dropped.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How many for `cause`.
    pub fn count(&self, cause: DropCause) -> u64 {
        self.counts[cause as usize]
    }

    /// The first ones.
    pub fn details(&self) -> &[Dropped] {
        &self.details
    }

    pub(crate) fn add(&mut self, index: usize, cause: DropCause, detail: impl FnOnce() -> String) {
        self.counts[cause as usize] += 1;
        if self.details.len() < Self::MAX_DETAILS {
            self.details.push(Dropped { index, cause, detail: detail() });
        }
    }
}
