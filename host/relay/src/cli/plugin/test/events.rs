//! The events of a test, as the relay would have stored them.

use std::path::Path;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use flagpost_author::SAMPLE_EVENTS;
use flagpost_event::collect::{CollectLimits, decode_exported};
use flagpost_event::{EventKind, StreamName};

/// Lines per stream, each ended by a line feed.
pub(in crate::cli::plugin) type Streams = Vec<(StreamName, Vec<Bytes>)>;

/// Reads a file of events, one per line; without one, those that come with this program.
pub(in crate::cli::plugin) fn read(path: Option<&Path>) -> Result<Streams> {
    let (text, name) = match path {
        Some(path) => (std::fs::read_to_string(path).with_context(|| path.display().to_string())?, path.display().to_string()),
        None => (SAMPLE_EVENTS.to_owned(), "the sample events".to_owned()),
    };
    parse(&text, &name)
}

/// The events of a text, one per line; `name` is where it stands.
pub(super) fn parse(text: &str, name: &str) -> Result<Streams> {
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(line)
            .with_context(|| format!("{name}:{number}: expected one event as a JSON object per line"))?;
    }
    let events: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    // What GO Feature Flag itself would send on: no rule changes it.
    let body = format!(r#"{{"meta":{{}},"events":[{}]}}"#, events.join(","));
    let collected =
        decode_exported(body.as_bytes(), &CollectLimits::default()).map_err(|error| anyhow::anyhow!("{name}: {}", error.message()))?;
    if let Some(dropped) = collected.dropped.details().first() {
        bail!("{name}: the relay would not take an event: {dropped:?}");
    }
    let lines = |bytes: &[u8]| bytes.split_inclusive(|&byte| byte == b'\n').map(Bytes::copy_from_slice).collect::<Vec<_>>();
    let stream = |kind| StreamName::new("default", kind);
    let streams =
        [(stream(EventKind::Feature), lines(&collected.feature.bytes)), (stream(EventKind::Tracking), lines(&collected.tracking.bytes))];
    let streams: Streams = streams.into_iter().filter(|(_, lines)| !lines.is_empty()).collect();
    if streams.is_empty() {
        bail!("{name}: no events; expected one JSON object per line");
    }
    Ok(streams)
}
