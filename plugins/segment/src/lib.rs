//! Events as `track` calls of [Segment's HTTP API](https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/), which
//! [RudderStack](https://www.rudderstack.com/docs/api/http-api/) and others speak, too.
//!
//! **Each event arrives once**: its `messageId` is the same in every attempt, and Segment drops what it saw in [the last 24 hours](https://segment.com/docs/guides/duplicate-data/),
//! roughly. Requests stay within the API's limits (500 KB, 2,500 events), and what Segment would answer with 200 and then drop (an event of
//! nobody, one of more than 32 KB) is refused here, with the reason, so that it is a dead letter and no silence.
//!
//! Recorded from the pages above in 2026, RudderStack's answers from its gateway's source (`gateway/response/response.go`).

mod config;
mod outcome;
mod row;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flagpost_analytics::{deliver, read};
use flagpost_sdk::{Batch, Diagnostic, ExportError, Managed, Request, credential};

use crate::config::Settings;

struct Segment(Settings);
flagpost_sdk::export_managed!(Segment);

/// The write key, under `secrets`.
const KEY: &str = "SEGMENT_WRITE_KEY";

impl Managed for Segment {
    type Config = Settings;
    const NAME: &'static str = "segment";
    const MAX_EVENTS: u32 = 1000;
    /// With what a `track` call adds, most batches are one request.
    const MAX_BYTES: u32 = 256 << 10;

    fn new(config: Settings) -> Result<Self, Vec<Diagnostic>> {
        config.check().map(Segment)
    }

    fn export(&self, batch: Batch) -> Result<(), ExportError> {
        let key = credential(KEY, "writeKey", self.0.write_key.as_deref())?;
        let credentials = format!("Basic {}", STANDARD.encode(format!("{key}:")));
        let events = read(&batch)?;
        deliver(
            &events,
            row::LIMITS,
            |index, event| row::row(&self.0, &batch, index, event),
            |rows| {
                let request = Request::post(&self.0.endpoint).header("authorization", &credentials);
                Ok(outcome::of(&request.body("application/json", row::body(rows)).send()?))
            },
        )
    }
}
