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

    /// Whether a tracking event takes such a value; of fields that it does not have it takes any.
    fn fits_tracking(self, field: &Field<'_>) -> bool {
        match self {
            Name::Kind | Name::ContextKind | Name::UserKey | Name::Key => matches!(field, Field::Text(_)),
            Name::CreationDate => matches!(field, Field::Number(_)),
            Name::EvaluationContext | Name::TrackingEventDetails => matches!(field, Field::Object(_)),
            _ => true,
        }
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
        let mut spellings: Option<Vec<Spelling<'a>>> = None;
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
            if exactness != Match::Json || spellings.is_some() {
                let known = spellings.get_or_insert_with(|| event.spelled_exactly());
                known.push(Spelling { text: member.decode().into_owned(), name, field: field.clone() });
            }
            let index = name as usize;
            if exactness >= matches[index] {
                matches[index] = exactness;
                event.fields[index] = field;
            }
        }
        if event.tracking
            && let Some(spellings) = spellings
        {
            event.fold(spellings);
        }
        Ok(event)
    }

    /// What is known so far, when no name was spelled in another way yet.
    #[cold]
    fn spelled_exactly(&self) -> Vec<Spelling<'a>> {
        let known = Name::ALL.into_iter().zip(&self.fields).filter(|(_, field)| !matches!(field, Field::Null));
        known.map(|(name, field)| Spelling { text: name.as_str().to_owned(), name, field: field.clone() }).collect()
    }

    /// Tracking events reach upstream's fields by a second way: as a map whose keys are sorted, each assigned to the field that it names in
    /// any case. So the last in byte order wins, `null` leaves a string or a number as it is, and one value of a wrong type refuses the event.
    ///
    /// Upstream also merges objects that are assigned to one field; here the last one wins.
    #[cold]
    fn fold(&mut self, mut spellings: Vec<Spelling<'a>>) {
        spellings.sort_by(|a, b| a.text.cmp(&b.text));
        self.fields = [const { Field::Null }; NAMES.len()];
        let mut rest = spellings.into_iter().peekable();
        while let Some(Spelling { text, name, field }) = rest.next() {
            // Of one spelling the map keeps the last.
            let replaced = rest.peek().is_some_and(|next| next.text == text);
            let slot = &mut self.fields[name as usize];
            let kept = matches!(field, Field::Null) && !name.takes_containers();
            if !replaced && !kept && (matches!(slot, Field::Null) || name.fits_tracking(slot)) {
                *slot = field;
            }
        }
    }
}

/// A member as it was spelled.
struct Spelling<'a> {
    text: String,
    name: Name,
    field: Field<'a>,
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
