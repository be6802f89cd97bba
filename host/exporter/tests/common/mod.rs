//! What the tests of the built-in kinds share.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub, missing_docs)]

use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use flagpost_event::{BatchId, Clock, EventBatch, EventKind, StreamName, Zone};
use flagpost_exporter::{BuildContext, ConfigError, Exporter, LineSink, kinds};

/// 2021-04-09T12:15:47Z.
#[derive(Debug)]
pub struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(1_617_970_547_250)
    }
}

/// Keeps what is written; fails while told to.
#[derive(Debug, Default)]
pub struct KeptLines {
    pub lines: Mutex<Vec<u8>>,
    pub broken: Mutex<bool>,
}

impl LineSink for KeptLines {
    fn write_lines(&self, lines: &[u8]) -> io::Result<()> {
        if *self.broken.lock().unwrap() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.lines.lock().unwrap().extend_from_slice(lines);
        Ok(())
    }
}

pub fn context(lines: Arc<KeptLines>) -> BuildContext {
    BuildContext {
        hostname: "host".to_owned(),
        clock: Arc::new(FixedClock),
        lines,
        zone: Zone::utc(),
        exporter: "mine".to_owned(),
        ..BuildContext::system()
    }
}

pub fn build(kind: &str, config: serde_json::Value) -> Result<Arc<dyn Exporter>, ConfigError> {
    let kind = kinds().iter().find(|info| info.name == kind).unwrap();
    (kind.build)(&config.into(), &context(Arc::default())).map(|built| built.exporter)
}

/// One event's canonical line.
pub fn line(key: &str) -> String {
    format!(
        "{{\"kind\":\"feature\",\"userKey\":\"u\",\"creationDate\":1617970547,\"key\":\"{key}\",\"variation\":\"A\",\"value\":true,\"default\":false,\"version\":\"\",\"source\":\"SERVER\"}}\n"
    )
}

/// A batch of events with these keys, a chunk each.
pub fn batch(id: &str, keys: &[&str]) -> EventBatch {
    let lines: Vec<_> = keys.iter().map(|key| Bytes::from(line(key))).collect();
    EventBatch::new(BatchId::new(id), StreamName::new("default", EventKind::Feature), 1, lines)
}

/// What a file with these events holds.
pub fn text(keys: &[&str]) -> String {
    keys.iter().map(|key| line(key)).collect()
}
