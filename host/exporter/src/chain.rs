//! Errors with their causes, as one line that can be logged.

use std::error::Error;

/// An error and its causes, each behind a colon.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// The same of an HTTP client's error, without the URL, which may hold secrets.
pub fn chain_without_url(error: reqwest::Error) -> String {
    chain(&error.without_url())
}
