//! Events to [Mixpanel's import endpoint](https://docs.mixpanel.com/reference/import-events), strictly (`strict=1`): it says which events it did not take.
//!
//! **Each event arrives once**: name, `distinct_id`, `time` and `$insert_id` are the same in every attempt, and Mixpanel merges what agrees in all four.
//! [A 400](https://docs.mixpanel.com/troubleshooting/errors/400-bad-request) is a partial success: `failed_records` names the refused by their places, the
//! others are in. If the numbers do not add up, the whole batch comes again: what was taken is merged. Requests hold at most 2,000 events and
//! 2 MB, the older of two limits that Mixpanel documents.
//!
//! The login of a service account is granted with `as: basic`: the plugin never has it. Recorded from these pages in 2026.

mod config;
mod outcome;
mod row;

use flagpost_analytics::{Limits, body, deliver, read};
use flagpost_sdk::{Batch, Diagnostic, ExportError, Managed, Request};

use crate::config::Settings;

struct Mixpanel(Settings);
flagpost_sdk::export_managed!(Mixpanel);

const LIMITS: Limits = Limits { events: 2000, bytes: 2_000_000, envelope: 2 };

impl Managed for Mixpanel {
    type Config = Settings;
    const NAME: &'static str = "mixpanel";
    const MAX_EVENTS: u32 = 2000;
    const MAX_BYTES: u32 = 1 << 20;

    fn new(config: Settings) -> Result<Self, Vec<Diagnostic>> {
        config.check().map(Mixpanel)
    }

    fn export(&self, batch: Batch) -> Result<(), ExportError> {
        let url = self.0.url();
        let events = read(&batch)?;
        deliver(
            &events,
            LIMITS,
            |index, event| row::row(&self.0, &batch, index, event),
            |rows| {
                let reply = Request::post(&url).body("application/json", body("[", rows, "]")).send()?;
                Ok(outcome::of(&reply, rows.len()))
            },
        )
    }
}
