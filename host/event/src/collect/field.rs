//! One event of a request as the client wrote it: the known fields, found in any order and any case, their types not yet judged.

use std::ops::Range;

use crate::json::{Bounds, Canonical, Fault, RawNumber, RawStr, Scanner, Soft, SyntaxError, Word};

/// The fields that an event of either kind may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Kind,
    ContextKind,
    UserKey,
    CreationDate,
    Key,
    Variation,
    Value,
    Default,
    Version,
    Source,
    Metadata,
    EvaluationContext,
    TrackingEventDetails,
}

/// In the order of [`Name`]: the JSON name, and the name of upstream's Go field, which its decoder of feature events prefers.
const NAMES: [(&str, &str); 13] = [
    ("kind", "Kind"),
    ("contextKind", "ContextKind"),
    ("userKey", "UserKey"),
    ("creationDate", "CreationDate"),
    ("key", "Key"),
    ("variation", "Variation"),
    ("value", "Value"),
    ("default", "Default"),
    ("version", "Version"),
    ("source", "Source"),
    ("metadata", "Metadata"),
    ("evaluationContext", "EvaluationContext"),
    ("trackingEventDetails", "TrackingEventDetails"),
];

/// How exactly a name was met. A better one wins over a worse one, a later one over an equal one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Match {
    AnyCase,
    Json,
    Go,
}

impl Name {
    const ALL: [Name; NAMES.len()] = [
        Name::Kind,
        Name::ContextKind,
        Name::UserKey,
        Name::CreationDate,
        Name::Key,
        Name::Variation,
        Name::Value,
        Name::Default,
        Name::Version,
        Name::Source,
        Name::Metadata,
        Name::EvaluationContext,
        Name::TrackingEventDetails,
    ];

    /// The JSON name.
    pub(super) fn as_str(self) -> &'static str {
        NAMES[self as usize].0
    }

    /// Whether the field takes arrays and objects, so that they are to be kept.
    fn takes_containers(self) -> bool {
        matches!(self, Name::Value | Name::Metadata | Name::EvaluationContext | Name::TrackingEventDetails)
    }

    #[inline]
    fn of(name: &RawStr<'_>) -> Option<(Name, Match)> {
        let exact = match name.plain() {
            Some(b"kind") => Name::Kind,
            Some(b"contextKind") => Name::ContextKind,
            Some(b"userKey") => Name::UserKey,
            Some(b"creationDate") => Name::CreationDate,
            Some(b"key") => Name::Key,
            Some(b"variation") => Name::Variation,
            Some(b"value") => Name::Value,
            Some(b"default") => Name::Default,
            Some(b"version") => Name::Version,
            Some(b"source") => Name::Source,
            Some(b"metadata") => Name::Metadata,
            Some(b"evaluationContext") => Name::EvaluationContext,
            Some(b"trackingEventDetails") => Name::TrackingEventDetails,
            _ => return Name::folded(name),
        };
        Some((exact, Match::Json))
    }

    #[cold]
    fn folded(name: &RawStr<'_>) -> Option<(Name, Match)> {
        let name = name.decode();
        let index = NAMES.iter().position(|(json, _)| json.eq_ignore_ascii_case(&name))?;
        let (json, go) = NAMES[index];
        let exactness = match &*name {
            text if text == go => Match::Go,
            text if text == json => Match::Json,
            _ => Match::AnyCase,
        };
        Some((Name::ALL[index], exactness))
    }
}

/// What a field holds.
#[derive(Clone, Debug)]
pub(super) enum Field<'a> {
    /// Not there, or `null`: upstream treats both alike.
    Null,
    Bool(bool),
    Text(RawStr<'a>),
    Number(RawNumber<'a>),
    /// Canonical text in [`Work::containers`]; empty where the field takes no object.
    Object(Range<usize>),
    /// As for objects.
    Array(Range<usize>),
    /// Sound, but cannot be kept.
    Unfit(Soft),
}

impl Field<'_> {
    /// The JSON type, for messages.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Field::Null => "null",
            Field::Bool(_) => "a boolean",
            Field::Text(_) => "a string",
            Field::Number(_) => "a number",
            Field::Object(_) => "an object",
            Field::Array(_) => "an array",
            Field::Unfit(_) => "a value that cannot be kept",
        }
    }
}

/// Working memory, kept from event to event.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) canonical: Canonical,
    /// Canonical text of the arrays and objects of one event.
    pub(super) containers: Vec<u8>,
}

/// An event's fields.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    fields: [Field<'a>; NAMES.len()],
    /// Whether the member spelled exactly `kind` is the string `tracking`: what upstream's dispatch looks at.
    pub(super) tracking: bool,
}

impl<'a> Fields<'a> {
    /// The fields of an event that is `null`.
    pub(super) fn none() -> Self {
        Fields { fields: [const { Field::Null }; NAMES.len()], tracking: false }
    }

    #[inline]
    pub(super) fn get(&self, name: Name) -> &Field<'a> {
        &self.fields[name as usize]
    }

    /// Reads an object; the scanner stands at its `{`, inside `open` containers.
    pub(super) fn read(scanner: &mut Scanner<'a>, open: usize, bounds: Bounds, work: &mut Work) -> Result<Self, SyntaxError> {
        let mut event = Fields::none();
        let mut matches = [Match::AnyCase; NAMES.len()];
        work.containers.clear();
        scanner.open();
        let mut first = true;
        while let Some(member) = scanner.member(first)? {
            first = false;
            let Some((name, exactness)) = Name::of(&member) else {
                scanner.skip(open + 1)?;
                continue;
            };
            let field = Field::read(scanner, open + 1, name, bounds, work)?;
            if name == Name::Kind && exactness == Match::Json {
                event.tracking = matches!(&field, Field::Text(text) if *text.decode() == *"tracking");
            }
            let index = name as usize;
            if exactness >= matches[index] {
                matches[index] = exactness;
                event.fields[index] = field;
            }
        }
        Ok(event)
    }
}

impl<'a> Field<'a> {
    #[inline]
    fn read(scanner: &mut Scanner<'a>, open: usize, name: Name, bounds: Bounds, work: &mut Work) -> Result<Self, SyntaxError> {
        Ok(match scanner.value()? {
            b'"' => Field::Text(scanner.string()?),
            b'-' | b'0'..=b'9' => Field::Number(scanner.number()?),
            bracket @ (b'{' | b'[') => {
                let start = work.containers.len();
                if name.takes_containers() {
                    match work.canonical.write(scanner, open, bounds, &mut work.containers) {
                        Ok(()) => {}
                        Err(Fault::Soft(soft)) => return Ok(Field::Unfit(soft)),
                        Err(Fault::Syntax(error)) => return Err(error),
                    }
                } else {
                    scanner.skip(open)?;
                }
                let text = start..work.containers.len();
                if bracket == b'{' { Field::Object(text) } else { Field::Array(text) }
            }
            _ => match scanner.word()? {
                Word::Null => Field::Null,
                Word::True => Field::Bool(true),
                Word::False => Field::Bool(false),
            },
        })
    }
}
