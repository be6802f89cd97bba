//! Logs into Datadog by its logs API, version 2.
//!
//! What is promised: an event is acknowledged when the API says 202. It knows no ids, so a retry after a lost answer is there twice; every log
//! has the event's own id as `event_id`, by which that is seen. A call is at most 1,000 logs and 5 MB, which is what the API takes.

mod config;
mod request;

use flagpost_sdk::{Batch, Diagnostic, Encoding, ExportError, Managed, Request};

use config::Settings;

struct Datadog {
    settings: Settings,
    url: String,
}

flagpost_sdk::export_managed!(Datadog);

impl Managed for Datadog {
    type Config = Settings;
    const NAME: &'static str = "datadog";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const ENCODING: Encoding = Encoding::JsonLines;
    const MAX_EVENTS: u32 = 1_000;
    // In quotes, an event's JSON is at most twice as long; what stands around it is some hundred bytes: below 5 MB in any case.
    const MAX_BYTES: u32 = 2 << 20;

    fn new(settings: Settings) -> Result<Self, Vec<Diagnostic>> {
        let url = format!("{}/api/v2/logs", settings.checked()?);
        Ok(Datadog { settings, url })
    }

    fn export(&self, batch: Batch) -> Result<(), ExportError> {
        let body = request::body(&batch, &self.settings)?;
        let request = Request::post(&self.url).body("application/json", body);
        request.secret("dd-api-key", "", config::API_KEY, "apiKey", self.settings.api_key.as_deref())?.send()?.delivered()
    }
}
