//! The `log` exporter: one line of text per event, as a JSON log line.
//!
//! Upstream writes through its own logger, so that `logLevel: warn` silences it and more than a hundred equal lines a second are sampled.
//! Here lines go to a [`LineSink`] of their own. Field values cannot forge lines: they are inside a JSON string.

mod config;
mod format;

use std::sync::Arc;

use async_trait::async_trait;
use flagpost_event::{Clock, EventBatch, Json};

use crate::{BuildContext, ExportError, Exporter, Limits, LineSink, RejectedEvent};
pub(crate) use config::Keys;
use format::Format;

/// Most events per write: a terminal or a log collector is not to wait for megabytes.
const MOST_EVENTS: usize = 1_000;

/// The flag set whose name is not written, as upstream's unnamed client.
const DEFAULT_FLAG_SET: &str = "default";

#[derive(Debug)]
struct LogExporter {
    format: Format,
    clock: Arc<dyn Clock>,
    lines: Arc<dyn LineSink>,
}

impl LogExporter {
    fn new(format: Format, context: &BuildContext) -> Self {
        LogExporter { format, clock: Arc::clone(&context.clock), lines: Arc::clone(&context.lines) }
    }

    /// The batch as log lines, and the events that cannot be written.
    fn render(&self, batch: &EventBatch) -> (Vec<u8>, Vec<RejectedEvent>) {
        let millis = self.clock.unix_millis();
        let flag_set = &*batch.stream().flag_set;
        let flag_set = match flag_set {
            DEFAULT_FLAG_SET => String::new(),
            name => format!(",\"flagset\":{}", Json::from(serde_json::Value::from(name)).as_str()),
        };
        let mut out = Vec::with_capacity(batch.bytes());
        let mut rejected = Vec::new();
        for (index, line) in (0..).zip(batch.lines()) {
            let message = match self.format.render(batch.kind(), line) {
                Ok(message) => Json::from(serde_json::Value::from(message)),
                Err(reason) => {
                    rejected.push(RejectedEvent { index, reason });
                    continue;
                }
            };
            let head = format!("{{\"level\":\"info\",\"ts\":{}.{:03}{flag_set},\"msg\":", millis / 1000, millis % 1000);
            for part in [head.as_str(), message.as_str(), "}\n"] {
                out.extend_from_slice(part.as_bytes());
            }
        }
        (out, rejected)
    }
}

#[async_trait]
impl Exporter for LogExporter {
    fn is_bulk(&self) -> bool {
        false
    }

    fn tries(&self) -> &'static str {
        "nothing to ask: lines go to standard error"
    }

    fn limits(&self) -> Limits {
        Limits { max_events: MOST_EVENTS, ..Limits::default() }
    }

    async fn export(&self, batch: &EventBatch) -> Result<(), ExportError> {
        let (lines, rejected) = self.render(batch);
        let sink = Arc::clone(&self.lines);
        match tokio::task::spawn_blocking(move || sink.write_lines(&lines)).await {
            Ok(Ok(())) if rejected.is_empty() => Ok(()),
            Ok(Ok(())) => Err(ExportError::Partial { retry: Vec::new(), rejected, after: None }),
            Ok(Err(error)) => Err(ExportError::retryable(format!("cannot write log lines: {error}"))),
            Err(error) => Err(ExportError::Crashed { reason: format!("writing log lines was broken off: {error}") }),
        }
    }
}
