//! Documents into OpenSearch and Elasticsearch by `_bulk`.
//!
//! What is promised: an event is acknowledged only when the cluster says that its own document is there. Every document has an `_id` that is
//! the event's for ever (batch and place in it) and is *created*, so a retry of what the cluster took already is refused by it (409), and
//! nothing is there twice. One event that the mapping refuses is the only one that goes to the dead letters.

mod config;
mod outcome;
mod request;

use flagpost_sdk::{Batch, Diagnostic, Encoding, ExportError, Managed, Request};

use config::Settings;

struct OpenSearch {
    settings: Settings,
    url: String,
}

flagpost_sdk::export_managed!(OpenSearch);

impl Managed for OpenSearch {
    type Config = Settings;
    const NAME: &'static str = "opensearch";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const ENCODING: Encoding = Encoding::JsonLines;
    // Requests of 5 to 15 MB are what both projects advise; the action's line adds less than half to an event.
    const MAX_BYTES: u32 = 5 << 20;

    fn new(settings: Settings) -> Result<Self, Vec<Diagnostic>> {
        let url = format!("{}{}", settings.checked()?, request::PATH);
        Ok(OpenSearch { settings, url })
    }

    fn export(&self, batch: Batch) -> Result<(), ExportError> {
        let body = request::body(&batch, &self.settings)?;
        let mut request = Request::post(&self.url).body("application/x-ndjson", body);
        if let Ok(key) = flagpost_sdk::credential(config::API_KEY, "apiKey", self.settings.api_key.as_deref()) {
            request = request.header("authorization", format!("ApiKey {key}"));
        }
        let reply = request.send()?;
        outcome::of(&reply, batch.count as usize)
    }
}
