//! Static types: what is wrong with a template whatever the events are.
//!
//! Go finds these mistakes when it executes a template, for each event anew. Here a walk over the parsed template knows the type of every
//! field, follows it through variables, `with`, `range` and calls, and complains where *no* event could be written. What depends on the
//! event (a member of an object, a `value`) has the type `Any`, about which nothing is said.
//!
//! One mistake is none: a field of the *other* kind of events inside a branch, as in `{{ if eq .Kind "tracking" }}{{ .TrackingDetails }}`.
//! Such a template serves both kinds. The field is replaced by an operand that fails, so that an event that gets there is refused, as in Go.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::ast::{Branch, Command, Expr, Kind, Node, Pipe};
use super::error::TemplateError;
use super::fields::{self, Type};
use super::functions::{self, CSV, Signature};
use crate::EventKind;

/// Deepest nesting of calls of defined templates.
const MAX_CALLS: usize = 50;

/// What a walk over a template knows.
pub(super) struct Checker<'t> {
    /// The template's text, for positions.
    pub(super) text: &'t str,
    pub(super) kind: EventKind,
    /// Whether printed values are quoted as CSV fields.
    pub(super) quote: bool,
    /// Templates defined inside.
    pub(super) defined: HashMap<String, Vec<Node>>,
    /// Fields that are read.
    pub(super) used: BTreeSet<&'static str>,
    variables: Vec<(String, Type)>,
    /// Variables that are assigned to somewhere: they may be of any type anywhere.
    assigned: HashSet<String>,
    branches: usize,
    calls: Vec<(String, Type)>,
}

type Checked<T> = Result<T, TemplateError>;

impl<'t> Checker<'t> {
    pub(super) fn new(text: &'t str, kind: EventKind, quote: bool, defined: HashMap<String, Vec<Node>>) -> Self {
        let mut assigned = HashSet::new();
        for body in defined.values() {
            find_assigned(body, &mut assigned);
        }
        Checker { text, kind, quote, defined, used: BTreeSet::new(), variables: Vec::new(), assigned, branches: 0, calls: Vec::new() }
    }

    /// Checks the body of the template itself.
    pub(super) fn root(&mut self, body: &mut [Node]) -> Checked<()> {
        find_assigned(body, &mut self.assigned);
        self.variables = vec![("$".to_owned(), Type::Event)];
        self.list(body, Type::Event)?;
        // What is never called is wrong all the same.
        let names: Vec<String> = self.defined.keys().cloned().collect();
        names.iter().try_for_each(|name| self.call(name, Type::Any))
    }

    fn error<T>(&self, offset: usize, message: impl Into<String>) -> Checked<T> {
        Err(TemplateError::at(self.text, offset, message))
    }

    fn list(&mut self, nodes: &mut [Node], dot: Type) -> Checked<()> {
        nodes.iter_mut().try_for_each(|node| self.node(node, dot))
    }

    fn node(&mut self, node: &mut Node, dot: Type) -> Checked<()> {
        match node {
            Node::Action(pipe) => {
                let ty = self.pipe(pipe, dot)?;
                if !pipe.variables.is_empty() {
                    return Ok(());
                }
                if ty == Type::Event {
                    let known = fields::list(self.kind);
                    return self.error(pipe.offset, format!("the whole event cannot be printed: name fields ({known})"));
                }
                if self.quote {
                    let quote = Expr { offset: pipe.offset, kind: Kind::Function(CSV) };
                    pipe.commands.push(Command { operands: vec![quote] });
                }
                Ok(())
            }
            Node::If(branch) => self.branch(branch, dot, |_, _, _| Ok(dot)),
            Node::With(branch) => self.branch(branch, dot, |_, _, ty| Ok(ty)),
            Node::Range(branch) => self.branch(branch, dot, Self::iterated),
            Node::Call { name, offset, pipe } => {
                let dot = match pipe {
                    Some(pipe) => self.pipe(pipe, dot)?,
                    None => Type::Nil,
                };
                if !self.defined.contains_key(name) {
                    return self.error(*offset, format!("template {name:?} not defined"));
                }
                self.call(name, dot)
            }
            Node::Text(_) | Node::Break | Node::Continue => Ok(()),
        }
    }

    /// `if`, `with`, `range`; `inner` gives the dot of the body from the pipeline's type.
    fn branch(&mut self, branch: &mut Branch, dot: Type, inner: impl FnOnce(&mut Self, &Branch, Type) -> Checked<Type>) -> Checked<()> {
        let depth = self.variables.len();
        let ty = self.pipe(&mut branch.pipe, dot)?;
        let inside = inner(self, branch, ty)?;
        self.branches += 1;
        let before_body = self.variables.len();
        self.list(&mut branch.body, inside)?;
        self.variables.truncate(before_body);
        self.list(&mut branch.otherwise, dot)?;
        self.branches -= 1;
        self.variables.truncate(depth);
        Ok(())
    }

    /// The type of what `range` goes over; its variables get theirs.
    fn iterated(&mut self, branch: &Branch, ty: Type) -> Checked<Type> {
        let declared = &branch.pipe.variables;
        let (index, element) = match ty {
            Type::Map => (Type::Text, Type::Any),
            Type::Int if declared.len() < 2 => (Type::Int, Type::Int),
            Type::Int => return self.error(branch.pipe.offset, "a number is gone through with one variable, not two"),
            Type::Any => (Type::Any, Type::Any),
            other => return self.error(branch.pipe.offset, format!("range can't iterate over a value of type {}", other.name())),
        };
        if !branch.pipe.assigns {
            let types: &[Type] = if declared.len() > 1 { &[index, element] } else { &[element] };
            let first = self.variables.len() - declared.len().min(self.variables.len());
            for (variable, ty) in self.variables[first..].iter_mut().zip(types) {
                variable.1 = if self.assigned.contains(&variable.0) { Type::Any } else { *ty };
            }
        }
        Ok(element)
    }

    /// A template defined inside, called with a dot of that type.
    fn call(&mut self, name: &str, dot: Type) -> Checked<()> {
        let Some(mut body) = self.defined.get(name).cloned() else { return Ok(()) };
        let call = (name.to_owned(), dot);
        if self.calls.contains(&call) || self.calls.len() >= MAX_CALLS {
            return Ok(());
        }
        if dot == Type::Event {
            self.use_all();
        }
        self.calls.push(call);
        let variables = std::mem::replace(&mut self.variables, vec![("$".to_owned(), dot)]);
        let quote = std::mem::replace(&mut self.quote, false);
        let result = self.list(&mut body, dot);
        self.variables = variables;
        self.quote = quote;
        self.calls.pop();
        result
    }

    fn pipe(&mut self, pipe: &mut Pipe, dot: Type) -> Checked<Type> {
        let mut last = None;
        for command in &mut pipe.commands {
            last = Some(self.command(command, dot, last)?);
        }
        let ty = last.unwrap_or(Type::Nil);
        for name in &pipe.variables {
            if pipe.assigns {
                if !self.variables.iter().any(|(known, _)| known == name) {
                    return self.error(pipe.offset, format!("undefined variable {name}"));
                }
                self.escapes(ty);
            } else {
                let ty = if self.assigned.contains(name) { self.escapes(ty) } else { ty };
                self.variables.push((name.clone(), ty));
            }
        }
        Ok(ty)
    }

    fn command(&mut self, command: &mut Command, dot: Type, piped: Option<Type>) -> Checked<Type> {
        let Some((first, arguments)) = command.operands.split_first_mut() else { return Ok(Type::Nil) };
        let offset = first.offset;
        match &mut first.kind {
            Kind::Function(name) => return self.function(offset, name, arguments, dot, piped),
            Kind::Fields(inner, fields) if let Kind::Function(name) = inner.kind => {
                let ty = self.function(offset, name, arguments, dot, piped)?;
                return fields.iter().try_fold(ty, |ty, field| self.member(offset, ty, field).map(|(ty, _)| ty));
            }
            _ => {}
        }
        if piped.is_some() || !arguments.is_empty() {
            return self.error(offset, "can't give arguments to what is no function");
        }
        if matches!(first.kind, Kind::Nil) {
            return self.error(offset, "nil is not a command");
        }
        self.expression(first, dot)
    }

    fn function(&mut self, offset: usize, name: &str, arguments: &mut [Expr], dot: Type, piped: Option<Type>) -> Checked<Type> {
        let Some(function) = functions::find(name) else {
            let known = functions::list();
            return self.error(offset, format!("function {name:?} not defined: expected one of {known}"));
        };
        let count = arguments.len() + usize::from(piped.is_some());
        let Signature { least, most, .. } = *function;
        if count < least || count > most {
            let want = match (least, most) {
                (least, usize::MAX) => format!("at least {least}"),
                (least, most) if least == most => least.to_string(),
                (least, most) => format!("{least} to {most}"),
            };
            return self.error(offset, format!("wrong number of args for {name}: want {want} got {count}"));
        }
        let lazy = matches!(name, "and" | "or");
        let mut types = Vec::with_capacity(count);
        for (index, argument) in arguments.iter_mut().enumerate() {
            // The first argument is always evaluated.
            let maybe = lazy && index > 0;
            self.branches += usize::from(maybe);
            let ty = self.expression(argument, dot);
            self.branches -= usize::from(maybe);
            types.push(ty?);
        }
        types.extend(piped);
        // Without an index `index` gives its argument back.
        let plain = name == "index" && types.len() == 1;
        for (index, ty) in types.iter().enumerate() {
            if !plain && !(function.takes)(index, *ty) {
                return self.error(offset, format!("wrong type for argument {} of {name}: {}", index + 1, ty.name()));
            }
        }
        if matches!(name, "eq" | "ne" | "lt" | "le" | "gt" | "ge")
            && let Some(other) = types[1..].iter().find(|other| functions::incomparable(types[0], **other))
        {
            let (a, b) = (types[0].name(), other.name());
            return self.error(offset, format!("incompatible types for comparison: {a} and {b}"));
        }
        let result = (function.gives)(&types);
        if result == Type::Any && types.contains(&Type::Event) {
            self.use_all();
        }
        Ok(result)
    }

    fn expression(&mut self, expression: &mut Expr, dot: Type) -> Checked<Type> {
        let offset = expression.offset;
        let Kind::Fields(inner, fields) = &mut expression.kind else {
            return match &mut expression.kind {
                Kind::Dot => Ok(dot),
                Kind::Text(_) => Ok(Type::Text),
                Kind::Bool(_) => Ok(Type::Bool),
                Kind::Nil => Ok(Type::Nil),
                Kind::Int(_) => Ok(Type::Int),
                Kind::Float(_) => Ok(Type::Float),
                Kind::Absent(_) | Kind::Fields(..) => Ok(Type::Any),
                Kind::Function(name) => self.function(offset, name, &mut [], dot, None),
                Kind::Pipe(pipe) => {
                    let depth = self.variables.len();
                    let ty = self.pipe(pipe, dot)?;
                    self.variables.truncate(depth);
                    Ok(ty)
                }
                Kind::Variable(name) => match self.variables.iter().rev().find(|(known, _)| known == name) {
                    Some((_, ty)) => Ok(*ty),
                    None => self.error(offset, format!("undefined variable {name:?}")),
                },
            };
        };
        let mut ty = self.expression(inner, dot)?;
        for field in fields {
            let (found, absent) = self.member(offset, ty, field)?;
            if let Some(absent) = absent {
                expression.kind = Kind::Absent(absent);
                return Ok(Type::Any);
            }
            ty = found;
        }
        Ok(ty)
    }

    /// The type of a field of a value; with the field's name when the events do not have it.
    fn member(&mut self, offset: usize, of: Type, name: &str) -> Checked<(Type, Option<&'static str>)> {
        match of {
            Type::Map | Type::Any => Ok((Type::Any, None)),
            Type::Event => {
                let kind = self.kind;
                match fields::find(name) {
                    Some(field) if field.is_of(kind) => {
                        self.used.insert(field.name);
                        Ok((field.ty, None))
                    }
                    Some(field) if self.branches > 0 && self.calls.is_empty() => Ok((Type::Any, Some(field.name))),
                    _ => self.error(offset, format!("{kind} events have no field `.{name}`: expected one of {}", fields::list(kind))),
                }
            }
            other => self.error(offset, format!("can't evaluate field {name} in type {}", other.name())),
        }
    }

    /// A value goes where its type is not followed.
    fn escapes(&mut self, ty: Type) -> Type {
        if ty == Type::Event {
            self.use_all();
        }
        Type::Any
    }

    fn use_all(&mut self) {
        let kind = self.kind;
        self.used.extend(fields::FIELDS.iter().filter(|field| field.is_of(kind)).map(|field| field.name));
    }
}

/// Names of the variables that are assigned to after their declaration.
fn find_assigned(nodes: &[Node], found: &mut HashSet<String>) {
    for node in nodes {
        let pipe = match node {
            Node::Action(pipe) => pipe,
            Node::If(branch) | Node::With(branch) | Node::Range(branch) => {
                find_assigned(&branch.body, found);
                find_assigned(&branch.otherwise, found);
                &branch.pipe
            }
            _ => continue,
        };
        if pipe.assigns {
            found.extend(pipe.variables.iter().cloned());
        }
    }
}
