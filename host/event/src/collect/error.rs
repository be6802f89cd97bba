//! Requests that are refused as a whole.

/// A request of which nothing was taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.message())]
pub enum CollectError {
    /// No `events`: upstream's plain 400.
    NoEvents,
    /// Not JSON, or JSON of another shape: upstream's 400, in its words.
    Invalid(String),
    /// Over a limit: 413.
    TooLarge(String),
}

impl CollectError {
    /// The HTTP status: 400 or 413.
    pub fn status(&self) -> u16 {
        match self {
            CollectError::NoEvents | CollectError::Invalid(_) => 400,
            CollectError::TooLarge(_) => 413,
        }
    }

    /// The text of the response's `message`.
    pub fn message(&self) -> String {
        match self {
            CollectError::NoEvents => "collectEvalData: invalid input data".to_owned(),
            CollectError::Invalid(why) => format!("collectEvalData: invalid input data {why}"),
            CollectError::TooLarge(why) => format!("collectEvalData: {why}"),
        }
    }
}
