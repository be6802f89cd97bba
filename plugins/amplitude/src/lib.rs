//! Events to [Amplitude's HTTP V2 API](https://amplitude.com/docs/apis/analytics/http-v2), or to its
//! [batch API](https://amplitude.com/docs/apis/analytics/batch-event-upload), which takes the same.
//!
//! **Each event arrives once**: its `insert_id` is the same in every attempt, and Amplitude ignores one that it saw in the last 7 days. A request is
//! taken whole or not at all. One that is refused for some of its events names them: the others are sent again at once, the named are dead
//! letters; what is throttled (30 events a second for one user) comes again after the 30 seconds that Amplitude asks for, what is beyond a user's
//! daily quota is a dead letter, as in Amplitude's own libraries. [What to retry and how](https://amplitude.com/docs/apis/analytics/http-api-batching-retries).
//!
//! Amplitude wants its key in the body, so it is granted with `as: reveal`. Recorded from these pages in 2026.

mod config;
mod outcome;
mod row;

use flagpost_analytics::{Limits, body, deliver, read};
use flagpost_sdk::{Batch, Diagnostic, ExportError, Managed, Request, revealed};

use crate::config::Settings;

struct Amplitude(Settings);
flagpost_sdk::export_managed!(Amplitude);

/// The API key, under `secrets`.
const KEY: &str = "AMPLITUDE_API_KEY";
const TAIL: &str = "]}";
/// 1 MB per request, in the smaller reading of MB.
const LARGEST: usize = 1_000_000;

impl Managed for Amplitude {
    type Config = Settings;
    const NAME: &'static str = "amplitude";
    const MAX_EVENTS: u32 = 1000;
    /// With what is added to an event, most batches are one request.
    const MAX_BYTES: u32 = 512 << 10;

    fn new(config: Settings) -> Result<Self, Vec<Diagnostic>> {
        config.check().map(Amplitude)
    }

    fn export(&self, batch: Batch) -> Result<(), ExportError> {
        let key = serde_json::Value::from(revealed(KEY, "apiKey", self.0.api_key.as_deref())?);
        let head = format!(r#"{{"api_key":{key},"options":{{"min_id_length":{}}},"events":["#, self.0.min_id_length);
        let limits = Limits { events: self.0.events_per_request as usize, bytes: LARGEST, envelope: head.len() + TAIL.len() };
        let events = read(&batch)?;
        deliver(
            &events,
            limits,
            |index, event| row::row(&self.0, &batch, index, event),
            |rows| {
                let request = Request::post(&self.0.endpoint).body("application/json", body(&head, rows, TAIL));
                Ok(outcome::of(&request.send()?, rows))
            },
        )
    }
}
