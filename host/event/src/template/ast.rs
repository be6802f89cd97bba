//! A parsed template.

use std::sync::Arc;

/// A part of a template.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Text(String),
    /// `{{ pipeline }}`: prints, unless it declares or assigns.
    Action(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
    /// `{{ template "name" pipeline }}`.
    Call {
        name: String,
        offset: usize,
        pipe: Option<Pipe>,
    },
    Break,
    Continue,
}

/// `if`, `with` or `range`, its body and its `else`.
#[derive(Clone, Debug)]
pub(super) struct Branch {
    pub(super) pipe: Pipe,
    pub(super) body: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

/// Commands, each the last argument of the next; and the variables that get the result.
#[derive(Clone, Debug)]
pub(super) struct Pipe {
    /// In bytes of the template.
    pub(super) offset: usize,
    /// With their dollars.
    pub(super) variables: Vec<String>,
    /// `=` instead of `:=`.
    pub(super) assigns: bool,
    pub(super) commands: Vec<Command>,
}

/// An operand, or a function and its arguments; never empty.
#[derive(Clone, Debug)]
pub(super) struct Command {
    pub(super) operands: Vec<Expr>,
}

/// An operand.
#[derive(Clone, Debug)]
pub(super) struct Expr {
    /// In bytes of the template.
    pub(super) offset: usize,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Dot,
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Arc<str>),
    /// A function of [`functions`](super::functions).
    Function(&'static str),
    /// An operand and the fields behind it; the dot for `.A.B`, a variable for `$x.A`.
    Fields(Box<Expr>, Vec<String>),
    /// With its dollar.
    Variable(String),
    Pipe(Box<Pipe>),
    /// A field that events of this kind do not have; an error when it is reached.
    Absent(&'static str),
}
