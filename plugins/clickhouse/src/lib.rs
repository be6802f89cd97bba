//! Rows into ClickHouse by its HTTP interface, as `JSONEachRow`.
//!
//! What is promised: an `INSERT` is one block, so a batch is there as a whole or not at all. It carries the batch's id as its
//! `insert_deduplication_token`, and every row the event's own id, so a retry of what was taken already can be dropped by the server (tables with a
//! deduplication window), or by the table (`ReplacingMergeTree`). A row that the table refuses refuses its batch; the relay finds it by halves.

mod config;
mod outcome;
mod request;

use flagpost_sdk::{Batch, Diagnostic, Encoding, ExportError, Managed, Request};

use config::Settings;

struct ClickHouse {
    settings: Settings,
    endpoint: String,
}

flagpost_sdk::export_managed!(ClickHouse);

impl Managed for ClickHouse {
    type Config = Settings;
    const NAME: &'static str = "clickhouse";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const ENCODING: Encoding = Encoding::Typed;
    // ClickHouse wants few and large inserts.
    const MAX_EVENTS: u32 = 10_000;
    const MAX_BYTES: u32 = 8 << 20;

    fn new(settings: Settings) -> Result<Self, Vec<Diagnostic>> {
        let endpoint = settings.checked()?;
        Ok(ClickHouse { settings, endpoint })
    }

    fn export(&self, batch: Batch) -> Result<(), ExportError> {
        let url = format!("{}/?{}", self.endpoint, request::query(&batch, &self.settings));
        let reply = Request::post(url).body("text/plain; charset=utf-8", request::rows(&batch)?).send()?;
        outcome::of(&reply)
    }
}
