//! Go's text/template over an event: `csvTemplate` and `logFormat`.
//!
//! Operators bring templates written for upstream, so the language is Go's to the letter: text, `{{- -}}`, comments, fields, variables,
//! pipelines, `if`, `with`, `range`, `define`, Go's functions, and Go's `%v`. The way of a template: `lex.rs`, `parse.rs` (a tree, `ast.rs`),
//! `check.rs` once; `exec.rs` for each event, with `call.rs` (functions), `verbs.rs` and `format.rs` (Go's package fmt).
//!
//! Why not a crate: the most complete port of text/template, `gotmpl` 0.6, was held against Go's outputs for the templates and events of
//! `tests/go_templates`. It drops everything behind a stray `{{ end }}` and takes an `if` without one, prints a million as `1000000` where
//! Go prints `1e+06`, and has no verbs for lists. Our engine is held against the same table in each test run, with outputs that a Go program
//! recorded, and with Go itself where it is installed.
//!
//! What is not Go's:
//!
//! * **Types are checked when a template is parsed** (`check.rs`). Go finds an unknown field, a wrong number of arguments or a comparison of
//!   a text with a number when it executes; upstream then fails the whole batch, for ever. Here that is a start-up error with its position.
//!   What depends on the event (`index .Metadata.list 3`) fails that event alone.
//! * **Two functions**: `json` (compact JSON text, where `%v` gives `map[a:1]`) and `csv` (a quoted field). With the option `quote` every
//!   printed value goes through `csv`.
//! * `ConvertValueForParquet` of no value is `null`, where Go fails. The whole event (`{{ . }}`) cannot be printed; complex numbers, `call`
//!   and addresses (`%p`) are refused. A field of the other kind of events is allowed inside branches only. Half a character is U+FFFD.
//! * An event's text, the rounds of its loops and the depth of its calls are bounded: a template cannot stop the relay.

mod ast;
mod call;
mod check;
mod error;
mod escape;
mod exec;
mod fields;
mod format;
mod functions;
mod lex;
mod number;
mod number_format;
mod parse;
mod value;
mod verbs;

#[cfg(test)]
mod tests;

pub use error::{RenderError, TemplateError};

use std::fmt;
use std::sync::Arc;

use self::ast::Node;
use self::check::Checker;
use self::parse::{Parsed, parse};
use crate::{Event, EventKind, Json, Zone};

/// How a template is used.
#[derive(Clone, Debug)]
pub struct TemplateOptions {
    /// The zone of `FormattedDate`.
    pub zone: Zone,
    /// Whether each printed value is written as a CSV field in quotes, as if by `| csv`.
    pub quote: bool,
}

/// A template that fits every event of one kind, as far as types can tell.
pub struct Template {
    parsed: Parsed,
    /// The fields that it reads.
    used: Vec<Arc<str>>,
    zone: Zone,
}

impl Template {
    /// Parses and checks a template for events of `kind`.
    ///
    /// # Errors
    /// Text that Go's parser refuses, and what can be written for no event: unknown fields and functions, wrong arguments.
    pub fn parse(text: &str, kind: EventKind, options: &TemplateOptions) -> Result<Self, TemplateError> {
        let mut parsed = parse(text)?;
        let mut checker = Checker::new(text, kind, options.quote, parsed.defined.clone());
        checker.root(&mut parsed.body)?;
        let used = checker.used.iter().map(|name| Arc::from(*name)).collect();
        Ok(Template { parsed, used, zone: options.zone.clone() })
    }

    /// Whether the text of each event ends with a newline.
    pub fn ends_lines(&self) -> bool {
        matches!(self.parsed.body.last(), Some(Node::Text(text)) if text.ends_with('\n'))
    }

    /// Appends an event's text to `out`.
    ///
    /// # Errors
    /// A value that the template cannot handle. `out` is as it was then.
    pub fn render(&self, event: &Event<'_>, out: &mut String) -> Result<(), RenderError> {
        let start = out.len();
        let dot = value::dot(event, &self.used, &self.zone);
        exec::execute(&self.parsed, &dot, out).inspect_err(|_| out.truncate(start))
    }
}

impl Json<'_> {
    /// As Go's `fmt.Sprint` prints the value that encoding/json makes of this text: `map[a:1 b:[x <nil>]]`.
    pub fn go_text(&self) -> String {
        format::sprint(&[value::value(self)])
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template").field("used", &self.used).field("zone", &self.zone).finish_non_exhaustive()
    }
}
