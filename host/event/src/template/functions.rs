//! The functions a template can call: what they take and give, for the check at start.

use super::fields::Type;

/// A function's arguments and result.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signature {
    pub(super) name: &'static str,
    /// Fewest arguments, the one from the pipeline included.
    pub(super) least: usize,
    pub(super) most: usize,
    /// Whether a value of this type can be the argument of that index, from 0.
    pub(super) takes: fn(usize, Type) -> bool,
    /// The result, by the arguments' types.
    pub(super) gives: fn(&[Type]) -> Type,
}

/// The function that quotes a CSV field.
pub(super) const CSV: &str = "csv";

const ANY: usize = usize::MAX;

const FUNCTIONS: &[Signature] = &[
    Signature { name: "and", least: 1, most: ANY, takes: anything, gives: one_of },
    Signature { name: "or", least: 1, most: ANY, takes: anything, gives: one_of },
    Signature { name: "not", least: 1, most: 1, takes: anything, gives: boolean },
    Signature { name: "print", least: 0, most: ANY, takes: printable, gives: text },
    Signature { name: "println", least: 0, most: ANY, takes: printable, gives: text },
    Signature { name: "printf", least: 1, most: ANY, takes: format, gives: text },
    Signature { name: "html", least: 0, most: ANY, takes: printable, gives: text },
    Signature { name: "js", least: 0, most: ANY, takes: printable, gives: text },
    Signature { name: "urlquery", least: 0, most: ANY, takes: printable, gives: text },
    Signature { name: "len", least: 1, most: 1, takes: measured, gives: integer },
    Signature { name: "index", least: 1, most: ANY, takes: indexed, gives: element },
    Signature { name: "slice", least: 1, most: 4, takes: sliced, gives: first },
    Signature { name: "eq", least: 2, most: ANY, takes: printable, gives: boolean },
    Signature { name: "ne", least: 2, most: 2, takes: printable, gives: boolean },
    Signature { name: "lt", least: 2, most: 2, takes: ordered, gives: boolean },
    Signature { name: "le", least: 2, most: 2, takes: ordered, gives: boolean },
    Signature { name: "gt", least: 2, most: 2, takes: ordered, gives: boolean },
    Signature { name: "ge", least: 2, most: 2, takes: ordered, gives: boolean },
    // Ours.
    Signature { name: "json", least: 1, most: 1, takes: printable, gives: text },
    Signature { name: CSV, least: 1, most: 1, takes: printable, gives: text },
];

/// The function of that name.
pub(super) fn find(name: &str) -> Option<&'static Signature> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

/// For messages.
pub(super) fn list() -> String {
    let names: Vec<_> = FUNCTIONS.iter().map(|function| function.name).collect();
    names.join(", ")
}

/// Whether Go cannot compare values of these types, whatever they are.
pub(super) fn incomparable(a: Type, b: Type) -> bool {
    let known = |ty| matches!(ty, Type::Text | Type::Int | Type::Float | Type::Bool | Type::Map);
    known(a) && known(b) && a != b
}

fn anything(_: usize, _: Type) -> bool {
    true
}

/// Go prints the whole event as a struct, which nobody can want in a line.
fn printable(_: usize, ty: Type) -> bool {
    ty != Type::Event
}

fn format(index: usize, ty: Type) -> bool {
    if index == 0 { matches!(ty, Type::Text | Type::Any) } else { ty != Type::Event }
}

fn measured(_: usize, ty: Type) -> bool {
    matches!(ty, Type::Text | Type::Map | Type::Any)
}

fn indexed(index: usize, ty: Type) -> bool {
    match index {
        0 => matches!(ty, Type::Text | Type::Map | Type::Any),
        _ => matches!(ty, Type::Text | Type::Int | Type::Any),
    }
}

fn sliced(index: usize, ty: Type) -> bool {
    match index {
        0 => matches!(ty, Type::Text | Type::Any),
        _ => matches!(ty, Type::Int | Type::Any),
    }
}

fn ordered(_: usize, ty: Type) -> bool {
    matches!(ty, Type::Text | Type::Int | Type::Float | Type::Any)
}

fn first(types: &[Type]) -> Type {
    types.first().copied().unwrap_or(Type::Any)
}

fn one_of(types: &[Type]) -> Type {
    if types.iter().all(|ty| *ty == first(types)) { first(types) } else { Type::Any }
}

fn boolean(_: &[Type]) -> Type {
    Type::Bool
}

fn text(_: &[Type]) -> Type {
    Type::Text
}

fn integer(_: &[Type]) -> Type {
    Type::Int
}

/// A text's element is a byte, as a number.
fn element(types: &[Type]) -> Type {
    match types {
        [ty] => *ty,
        [Type::Text, _] => Type::Int,
        _ => Type::Any,
    }
}
