//! POSTs each batch, which comes as a JSON array, to an API that wants a key: a custom exporter for flagpost on the full contract, with the SDK. It describes itself, its configuration has a schema that the relay checks, and
//! its events come as the JSON array that it sends.

use flagpost_sdk::{Batch, Diagnostic, ExportError, Managed, Payload, Request, rejected};

flagpost_sdk::config! {
    /// What the operator writes below `config:`.
    pub struct Settings {
        /// Where events are sent.
        pub endpoint: String,
        /// Sent as a bearer token.
        pub key: Option<String>,
        /// Milliseconds for one request.
        pub timeout_ms: u32 = 5000,
    }
}

struct Plugin(Settings);
flagpost_sdk::export_managed!(Plugin);

impl Managed for Plugin {
    type Config = Settings;
    const NAME: &'static str = "post-json";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");

    fn new(config: Settings) -> Result<Self, Vec<Diagnostic>> {
        if config.endpoint.starts_with("https://") || config.endpoint.starts_with("http://") {
            return Ok(Plugin(config));
        }
        Err(vec![Diagnostic { path: "endpoint".into(), message: "expected an address that begins with https:// or http://".into() }])
    }

    fn export(&self, batch: Batch) -> Result<(), ExportError> {
        let Payload::JsonArray(body) = batch.payload else { return Err(rejected("another encoding than the one asked for")) };
        let mut request = Request::post(&self.0.endpoint).body("application/json", body).header("idempotency-key", batch.id);
        if let Some(key) = &self.0.key {
            request = request.bearer(key);
        }
        request.timeout_ms(self.0.timeout_ms).send()?.delivered()
    }
}
