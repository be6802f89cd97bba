//! What a template can name: the Go fields and methods of upstream's events.

use crate::EventKind;

/// What is known of a value before there is an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// The event itself, the dot at the beginning.
    Event,
    Text,
    Int,
    Float,
    Bool,
    /// An object: its members are of any type.
    Map,
    /// The word `nil`.
    Nil,
    /// Whatever the event brings.
    Any,
}

impl Type {
    /// Go's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Type::Event => "event",
            Type::Text => "string",
            Type::Int => "int",
            Type::Float => "float64",
            Type::Bool => "bool",
            Type::Map => "map",
            Type::Nil => "nil",
            Type::Any => "any",
        }
    }
}

/// A field, or a method without arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) ty: Type,
    /// The only kind of event that has it.
    only: Option<EventKind>,
}

impl Field {
    /// Whether events of `kind` have it.
    pub(super) fn is_of(&self, kind: EventKind) -> bool {
        self.only.is_none_or(|only| only == kind)
    }
}

const fn both(name: &'static str, ty: Type) -> Field {
    Field { name, ty, only: None }
}

const fn feature(name: &'static str, ty: Type) -> Field {
    Field { name, ty, only: Some(EventKind::Feature) }
}

const fn tracking(name: &'static str, ty: Type) -> Field {
    Field { name, ty, only: Some(EventKind::Tracking) }
}

/// In the order in which messages list them.
pub(super) const FIELDS: &[Field] = &[
    both("Kind", Type::Text),
    both("ContextKind", Type::Text),
    both("UserKey", Type::Text),
    both("CreationDate", Type::Int),
    both("FormattedDate", Type::Text),
    both("Key", Type::Text),
    feature("Variation", Type::Text),
    feature("Value", Type::Any),
    feature("Default", Type::Bool),
    feature("Version", Type::Text),
    feature("Source", Type::Text),
    feature("Metadata", Type::Map),
    tracking("EvaluationContext", Type::Map),
    tracking("TrackingDetails", Type::Map),
    feature("ConvertValueForParquet", Type::Text),
    both("GetKey", Type::Text),
    both("GetUserKey", Type::Text),
    both("GetCreationDate", Type::Int),
];

/// The field of that name, of any kind.
pub(super) fn find(name: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.name == name)
}

/// For messages: the fields of a kind.
pub(super) fn list(kind: EventKind) -> String {
    let names: Vec<_> =
        FIELDS.iter().filter(|field| field.is_of(kind) && !field.name.starts_with("Get")).map(|field| format!(".{}", field.name)).collect();
    names.join(", ")
}
