//! Lines into Grafana Loki by its push API.
//!
//! What is promised: an event is acknowledged when Loki says 204 or 200. An entry is known by its stream, its nanosecond and its line, and Loki
//! takes equal ones once; the event's second is filled up with its place in the batch, so a retry is not there twice, and two equal events of
//! one second are.

mod config;
mod request;

use flagpost_sdk::{Batch, Diagnostic, Encoding, ExportError, Managed, Request};

use config::Settings;

struct Loki {
    settings: Settings,
    url: String,
}

flagpost_sdk::export_managed!(Loki);

impl Managed for Loki {
    type Config = Settings;
    const NAME: &'static str = "loki";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const ENCODING: Encoding = Encoding::JsonLines;
    // Loki's `ingestion_burst_size_mb` is 6 when nobody changes it, and a request above it never passes.
    const MAX_BYTES: u32 = 2 << 20;

    fn new(settings: Settings) -> Result<Self, Vec<Diagnostic>> {
        let url = format!("{}/loki/api/v1/push", settings.checked()?);
        Ok(Loki { settings, url })
    }

    fn export(&self, batch: Batch) -> Result<(), ExportError> {
        let mut request = Request::post(&self.url).body("application/json", request::body(&batch, &self.settings)?);
        if let Some(tenant) = &self.settings.tenant {
            request = request.header("x-scope-orgid", tenant);
        }
        request.send()?.delivered()
    }
}
