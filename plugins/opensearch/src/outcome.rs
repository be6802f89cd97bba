//! What the cluster says of each document.

use flagpost_sdk::{ExportError, Reply, Tally, misconfigured, retryable};
use serde::Deserialize;

#[derive(Deserialize)]
struct Bulk {
    #[serde(default)]
    errors: bool,
    #[serde(default)]
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    create: Of,
}

#[derive(Deserialize)]
struct Of {
    status: u16,
    error: Option<Why>,
}

/// Elasticsearch's exceptions nest.
#[derive(Deserialize)]
struct Why {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    reason: String,
    caused_by: Option<Box<Why>>,
}

impl Why {
    fn told(&self) -> String {
        let cause = self.caused_by.as_ref().map(|cause| format!(" ({})", cause.told())).unwrap_or_default();
        format!("{}: {}{cause}", self.kind, self.reason)
    }
}

/// The outcome of a batch of `count` events.
pub fn of(reply: &Reply, count: usize) -> Result<(), ExportError> {
    reply.delivered()?;
    let bulk: Bulk = serde_json::from_str(&reply.body).map_err(|why| retryable(format!("{why}: no answer of _bulk: {}", reply.shown())))?;
    if !bulk.errors && bulk.items.len() == count {
        return Ok(());
    }
    if bulk.items.len() != count {
        return Err(retryable(format!("the answer of _bulk names {} documents of {count}", bulk.items.len())));
    }
    let mut tally = Tally::default();
    tally.not_before(reply.retry_after_ms());
    for (index, Item { create: Of { status, error } }) in bulk.items.iter().enumerate() {
        let why = || error.as_ref().map_or_else(|| format!("status {status}"), |why| format!("{status} {}", why.told()));
        match status {
            // 409: the document with this id is there already, from an attempt whose answer was lost.
            200..=299 | 409 => tally.delivered(),
            429 | 500.. => tally.again(index, why()),
            // Of the index or of the credentials, and so of no event. What was taken beside it is known again by its id.
            401 | 403 | 404 => return Err(misconfigured(why())),
            _ => tally.rejected(index, why()),
        }
    }
    tally.finish()
}
