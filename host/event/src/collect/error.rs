//! Requests that are refused as a whole, in upstream's words.

use crate::json::SyntaxError;

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

    /// `what` is `message=` and `internal=` at once.
    fn both(what: &str) -> Self {
        CollectError::Invalid(format!("code=400, message={what}, internal={what}"))
    }

    /// Nothing but white space.
    pub(super) fn blank() -> Self {
        CollectError::both("EOF")
    }

    /// `meta` is nested too deep: upstream has no such rule, the words are ours.
    pub(super) fn meta_too_deep(max_depth: usize) -> Self {
        CollectError::both(&format!("meta is nested deeper than {max_depth} arrays and objects"))
    }
}

impl From<SyntaxError> for CollectError {
    fn from(error: SyntaxError) -> Self {
        match error {
            SyntaxError::End => CollectError::both("unexpected EOF"),
            SyntaxError::Byte { offset, .. } => {
                CollectError::Invalid(format!("code=400, message=Syntax error: offset={offset}, error={error}, internal={error}"))
            }
        }
    }
}

/// JSON of another shape than a request's, as Go reports it.
pub(super) struct ShapeError<'a> {
    /// `events`, `meta`, or empty for the body itself.
    pub(super) field: &'static str,
    /// Go's name of the type that was expected.
    pub(super) expected: &'static str,
    /// `object`, `array`, `string`, `number`, `bool`, or `number` and its text.
    pub(super) got: &'a str,
    /// Bytes up to the end of a scalar, or up to and including an opening bracket.
    pub(super) offset: usize,
}

impl From<ShapeError<'_>> for CollectError {
    fn from(error: ShapeError<'_>) -> Self {
        let ShapeError { field, expected, got, offset } = error;
        let place = if field.is_empty() { "Go value".to_owned() } else { format!("Go struct field CollectEvalDataRequest.{field}") };
        CollectError::Invalid(format!(
            "code=400, message=Unmarshal type error: expected={expected}, got={got}, field={field}, offset={offset}, \
             internal=json: cannot unmarshal {got} into {place} of type {expected}"
        ))
    }
}
