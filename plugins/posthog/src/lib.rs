//! Events to [PostHog's batch endpoint](https://posthog.com/docs/api/capture): flag evaluations as `$feature_flag_called`, which is what PostHog's own libraries
//! send, so that its flag and experiment pages know them; tracking events under their own names.
//!
//! **Each event arrives once**: its `uuid`, name, time and person are the same in every attempt, and that is what PostHog merges by. A request is taken
//! whole or not at all, and a refusal names no event: what PostHog is known to refuse (no person, no name, 200 characters) is refused here, the rest
//! the relay searches for. Events beyond the billing limit are not taken, although the answer is 200: they wait.
//!
//! PostHog answers 200 to a key that looks like one of its own and belongs to no project. It wants the key in the body, so it is granted with
//! `as: reveal` (a project's key is public: browsers have it). Recorded in 2026 from the page above and PostHog's source (`rust/capture/src/api.rs`).

mod config;
mod outcome;
mod row;

use flagpost_analytics::{Limits, body, deliver, read};
use flagpost_sdk::{Batch, Diagnostic, ExportError, Managed, Request, revealed};

use crate::config::Settings;

struct PostHog(Settings);
flagpost_sdk::export_managed!(PostHog);

/// The project's key, under `secrets`.
const KEY: &str = "POSTHOG_API_KEY";
const TAIL: &str = "]}";
/// 20 MB per request; far less is kept, because what is refused is searched by halves.
const LARGEST: usize = 2_000_000;

impl Managed for PostHog {
    type Config = Settings;
    const NAME: &'static str = "posthog";
    const MAX_EVENTS: u32 = 1000;
    const MAX_BYTES: u32 = 1 << 20;

    fn new(config: Settings) -> Result<Self, Vec<Diagnostic>> {
        config.check().map(PostHog)
    }

    fn export(&self, batch: Batch) -> Result<(), ExportError> {
        let key = serde_json::Value::from(revealed(KEY, "apiKey", self.0.api_key.as_deref())?);
        let head = format!(r#"{{"api_key":{key},"batch":["#);
        let limits = Limits { events: Self::MAX_EVENTS as usize, bytes: LARGEST, envelope: head.len() + TAIL.len() };
        let events = read(&batch)?;
        deliver(
            &events,
            limits,
            |index, event| row::row(&self.0, &batch, index, event),
            |rows| {
                let request = Request::post(&self.0.endpoint).body("application/json", body(&head, rows, TAIL));
                Ok(outcome::of(&request.send()?))
            },
        )
    }
}
