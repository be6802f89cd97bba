//! A template and an event: the text.

use std::sync::Arc;

use super::ast::{Branch, Command, Expr, Kind, Node, Pipe};
use super::call::call;
use super::error::RenderError;
use super::format::print_value;
use super::parse::Parsed;
use super::value::{IntType, Value};

/// Most bytes that one event's text may have.
const MAX_TEXT: usize = 16 << 20;

/// Most rounds of all `range` loops, and calls of defined templates, for one event.
const MAX_ROUNDS: u32 = 1_000_000;

/// Deepest nesting of calls of defined templates.
const MAX_CALLS: usize = 50;

/// How a list of nodes ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

type Result<T> = std::result::Result<T, RenderError>;

/// Appends the text of an event, given as its dot.
pub(super) fn execute(parsed: &Parsed, dot: &Value, out: &mut String) -> Result<()> {
    let most = out.len().saturating_add(MAX_TEXT);
    let mut run = Run { parsed, out, most, variables: vec![("$", dot.clone())], rounds: 0, calls: 0 };
    run.list(&parsed.body, dot).map(|_| ())
}

struct Run<'t, 'o> {
    parsed: &'t Parsed,
    out: &'o mut String,
    most: usize,
    /// Innermost last.
    variables: Vec<(&'t str, Value)>,
    rounds: u32,
    calls: usize,
}

fn fail<T>(reason: impl Into<String>) -> Result<T> {
    Err(RenderError { reason: reason.into() })
}

impl<'t> Run<'t, '_> {
    fn check(&self) -> Result<()> {
        if self.out.len() > self.most { fail(format!("more than {MAX_TEXT} bytes of text for one event")) } else { Ok(()) }
    }

    fn round(&mut self) -> Result<()> {
        self.rounds += 1;
        if self.rounds > MAX_ROUNDS { fail(format!("more than {MAX_ROUNDS} rounds of loops for one event")) } else { Ok(()) }
    }

    fn list(&mut self, nodes: &'t [Node], dot: &Value) -> Result<Flow> {
        for node in nodes {
            let flow = self.node(node, dot)?;
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn node(&mut self, node: &'t Node, dot: &Value) -> Result<Flow> {
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Action(pipe) => {
                let value = self.pipe(pipe, dot)?;
                if pipe.variables.is_empty() {
                    print_value(&value, self.out);
                }
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
            Node::If(branch) | Node::With(branch) => {
                let depth = self.variables.len();
                let value = self.pipe(&branch.pipe, dot)?;
                let inside = if matches!(node, Node::With(_)) { &value } else { dot };
                let flow = if value.is_true() { self.list(&branch.body, inside) } else { self.list(&branch.otherwise, dot) };
                self.variables.truncate(depth);
                return flow;
            }
            Node::Range(branch) => {
                let depth = self.variables.len();
                let flow = self.range(branch, dot);
                self.variables.truncate(depth);
                return flow;
            }
            Node::Call { name, pipe, .. } => {
                let dot = match pipe {
                    Some(pipe) => self.pipe(pipe, dot)?,
                    None => Value::Missing,
                };
                self.call(name, dot)?;
            }
        }
        self.check().map(|()| Flow::On)
    }

    fn call(&mut self, name: &str, dot: Value) -> Result<()> {
        let parsed = self.parsed;
        let Some(body) = parsed.defined.get(name) else { return fail(format!("template {name:?} not defined")) };
        if self.calls >= MAX_CALLS {
            return fail(format!("templates call each other more than {MAX_CALLS} deep"));
        }
        self.round()?;
        self.calls += 1;
        let outside = std::mem::replace(&mut self.variables, vec![("$", dot.clone())]);
        let result = self.list(body, &dot);
        self.variables = outside;
        self.calls -= 1;
        result.map(|_| ())
    }

    fn range(&mut self, branch: &'t Branch, dot: &Value) -> Result<Flow> {
        let value = self.pipe(&branch.pipe, dot)?;
        let depth = self.variables.len();
        let mut rounds = 0_usize;
        let mut once = |run: &mut Self, index: Value, element: &Value| -> Result<bool> {
            rounds += 1;
            run.round()?;
            run.loop_variables(&branch.pipe, index, element);
            let flow = run.list(&branch.body, element)?;
            run.variables.truncate(depth);
            Ok(flow != Flow::Break)
        };
        match &value {
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    if !once(self, Value::int(index), item)? {
                        break;
                    }
                }
            }
            Value::Map(members) => {
                for (name, member) in members.iter() {
                    if !once(self, Value::Text(Arc::clone(name)), member)? {
                        break;
                    }
                }
            }
            Value::Int(..) if branch.pipe.variables.len() > 1 => return fail("can't iterate over a number with more than one variable"),
            Value::Int(end, ty) => {
                for number in 0..*end {
                    if !once(self, Value::Missing, &Value::Int(number, *ty))? {
                        break;
                    }
                }
            }
            Value::Missing | Value::Nil | Value::NoMap => {}
            other => return fail(format!("range can't iterate over a value of type {}", other.type_name())),
        }
        if rounds == 0 { self.list(&branch.otherwise, dot) } else { Ok(Flow::On) }
    }

    /// The pipeline declared or assigned the loop's variables once; each round gives them values. One variable is the element.
    fn loop_variables(&mut self, pipe: &'t Pipe, index: Value, element: &Value) {
        let values = match pipe.variables.len() {
            0 => return,
            1 => vec![element.clone()],
            _ => vec![index, element.clone()],
        };
        if pipe.assigns {
            for (name, value) in pipe.variables.iter().zip(values) {
                self.assign(name, value);
            }
            return;
        }
        let first = self.variables.len().saturating_sub(pipe.variables.len());
        for (variable, value) in self.variables[first..].iter_mut().zip(values) {
            variable.1 = value;
        }
    }

    fn assign(&mut self, name: &str, value: Value) {
        if let Some(variable) = self.variables.iter_mut().rev().find(|(known, _)| *known == name) {
            variable.1 = value;
        }
    }

    fn pipe(&mut self, pipe: &'t Pipe, dot: &Value) -> Result<Value> {
        let mut last = None;
        for command in &pipe.commands {
            let value = self.command(command, dot, last.take())?;
            // What stands in Go's interface is taken out of it; nil is nothing then.
            last = Some(if matches!(value, Value::Nil) { Value::Missing } else { value });
        }
        let value = last.unwrap_or(Value::Missing);
        for name in &pipe.variables {
            if pipe.assigns {
                self.assign(name, value.clone());
            } else {
                self.variables.push((name, value.clone()));
            }
        }
        Ok(value)
    }

    fn command(&mut self, command: &'t Command, dot: &Value, piped: Option<Value>) -> Result<Value> {
        let Some((first, arguments)) = command.operands.split_first() else { return fail("empty command") };
        match &first.kind {
            Kind::Function(name) => self.function(name, arguments, dot, piped),
            Kind::Fields(inner, fields) if let Kind::Function(name) = &inner.kind => {
                let value = self.function(name, arguments, dot, piped)?;
                fields.iter().try_fold(value, |value, field| member(&value, field))
            }
            _ if piped.is_some() || !arguments.is_empty() => fail("can't give arguments to what is no function"),
            _ => self.expression(first, dot),
        }
    }

    fn function(&mut self, name: &str, arguments: &'t [Expr], dot: &Value, piped: Option<Value>) -> Result<Value> {
        if matches!(name, "and" | "or") {
            let mut last = Value::Missing;
            for argument in arguments {
                last = self.expression(argument, dot)?;
                if last.is_true() == (name == "or") {
                    return Ok(last);
                }
            }
            return Ok(piped.unwrap_or(last));
        }
        let mut values = Vec::with_capacity(arguments.len() + 1);
        for argument in arguments {
            values.push(self.expression(argument, dot)?);
        }
        values.extend(piped);
        call(name, &values).map_err(|reason| RenderError { reason: format!("error calling {name}: {reason}") })
    }

    fn expression(&mut self, expression: &'t Expr, dot: &Value) -> Result<Value> {
        Ok(match &expression.kind {
            Kind::Dot => dot.clone(),
            Kind::Nil => Value::Nil,
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Int(value) => Value::Int(*value, IntType::Int),
            Kind::Float(value) => Value::Float(*value),
            Kind::Text(text) => Value::Text(Arc::clone(text)),
            Kind::Function(name) => self.function(name, &[], dot, None)?,
            Kind::Variable(name) => match self.variables.iter().rev().find(|(known, _)| known == name) {
                Some((_, value)) => value.clone(),
                None => return fail(format!("undefined variable {name}")),
            },
            Kind::Pipe(pipe) => {
                let depth = self.variables.len();
                let value = self.pipe(pipe, dot)?;
                self.variables.truncate(depth);
                value
            }
            Kind::Fields(inner, fields) => {
                let value = self.expression(inner, dot)?;
                fields.iter().try_fold(value, |value, field| member(&value, field))?
            }
            Kind::Absent(field) => return fail(format!("the event has no field .{field}")),
        })
    }
}

/// A field or an object's member. Of nothing there is nothing; of `null` and of a value that is no object, Go fails.
fn member(value: &Value, name: &str) -> Result<Value> {
    match value {
        Value::Event(_) | Value::Map(_) => Ok(value.member(name).cloned().unwrap_or(Value::Missing)),
        Value::Missing | Value::NoMap => Ok(Value::Missing),
        Value::Nil => fail(format!("nil pointer evaluating interface {{}}.{name}")),
        other => fail(format!("can't evaluate field {name} in type {}", other.type_name())),
    }
}
