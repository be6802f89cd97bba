//! The least that an exporter on the full contract does: it takes its events as JSON lines and POSTs them as they are.

use flagpost_sdk::{Batch, Diagnostic, Encoding, ExportError, Managed, Payload, Request, rejected};

flagpost_sdk::config! {
    /// What `bench/plugins` writes below `config:`.
    pub struct Settings {
        /// Where events are sent.
        pub endpoint: String,
        /// Not used; the examples have it.
        pub key: Option<String>,
    }
}

struct PostLines(Settings);
flagpost_sdk::export_managed!(PostLines);

impl Managed for PostLines {
    type Config = Settings;
    const NAME: &'static str = "post-lines";
    const ENCODING: Encoding = Encoding::JsonLines;

    fn new(config: Settings) -> Result<Self, Vec<Diagnostic>> {
        Ok(PostLines(config))
    }

    fn export(&self, batch: Batch) -> Result<(), ExportError> {
        let Payload::JsonLines(body) = batch.payload else { return Err(rejected("another encoding than the one asked for")) };
        Request::post(&self.0.endpoint).body("application/x-ndjson", body).header("idempotency-key", batch.id).send()?.delivered()
    }
}
