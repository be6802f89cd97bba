//! What is wrong with a template, or with an event for it.

/// A template that cannot be used. Found when it is parsed, before there is an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct TemplateError {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What was found and what was expected.
    pub message: String,
}

impl TemplateError {
    /// At a byte of the template's text.
    pub(super) fn at(text: &str, offset: usize, message: impl Into<String>) -> Self {
        let before = text.get(..offset.min(text.len())).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        TemplateError { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1, message: message.into() }
    }
}

/// An event that a template cannot write: a value of another type than the template needs, or too much text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the template does not fit the event: {reason}")]
pub struct RenderError {
    /// What went wrong.
    pub reason: String,
}
