//! The program's log: lines on standard error, JSON or logfmt as `logFormat` says.

mod queue;

use std::fmt::{self, Write};
use std::sync::OnceLock;
use std::time::Duration;

use flagpost_event::{Clock, SystemClock};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt as layer, reload};

use queue::Queue;

use crate::config::{LogFormat, LogLevel};

/// The program's queue, once logging was started.
static QUEUE: OnceLock<Queue> = OnceLock::new();

/// Where the program's level can be changed, once logging was started.
static LEVEL: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// Logs at this level from now on. An embedding program that has logging of its own is not interfered with.
pub(crate) fn set_level(level: LogLevel) {
    if let Some(handle) = LEVEL.get()
        && let Err(error) = handle.reload(targets(level))
    {
        tracing::warn!(%error, "the level of the log could not be changed");
    }
}

fn targets(level: LogLevel) -> Targets {
    // Libraries say at `debug` what is of use to their authors only.
    let libraries = LevelFilter::from_level(level.0).min(LevelFilter::WARN);
    Targets::new().with_default(libraries).with_target("flagpost", level.0)
}

/// Waits until what was logged is written, at most `within`.
pub(crate) fn flush(within: Duration) {
    if let Some(queue) = QUEUE.get() {
        queue.flush(within);
    }
}

/// Lines that were dropped because nobody read standard error.
pub(crate) fn dropped() -> u64 {
    QUEUE.get().map_or(0, Queue::dropped)
}

/// Starts logging. A second call changes nothing: tests start several relays in one process.
pub(crate) fn init(level: LogLevel, format: LogFormat) {
    let (targets, handle) = reload::Layer::new(targets(level));
    let say = |lines| tracing::warn!(lines, "log lines were dropped: standard error was not read");
    let out = match Queue::start(std::io::stderr(), say) {
        Ok(queue) => BoxMakeWriter::new(QUEUE.get_or_init(|| queue).clone()),
        // Without a thread, whoever logs writes.
        Err(_) => BoxMakeWriter::new(std::io::stderr),
    };
    let lines = layer::layer().with_writer(out);
    let lines = match format {
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).with_target(true).boxed(),
        LogFormat::Logfmt => lines.event_format(Logfmt).boxed(),
    };
    match tracing_subscriber::registry().with(lines.with_filter(targets)).try_init() {
        Ok(()) => drop(LEVEL.set(handle)),
        Err(error) => tracing::debug!(%error, "logging was started before"),
    }
}

/// `ts=… level=… target=… msg="…" key=value`.
struct Logfmt;

impl<S, N> FormatEvent<S, N> for Logfmt
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let now = SystemClock.unix_millis();
        let level = match *event.metadata().level() {
            Level::TRACE => "trace",
            Level::DEBUG => "debug",
            Level::INFO => "info",
            Level::WARN => "warn",
            Level::ERROR => "error",
        };
        let mut pairs = Pairs(String::new());
        event.record(&mut pairs);
        writeln!(writer, "ts={}.{:03} level={level} target={}{}", now / 1000, now % 1000, event.metadata().target(), pairs.0)
    }
}

struct Pairs(String);

impl Pairs {
    fn push(&mut self, key: &str, value: &str) {
        let key = if key == "message" { "msg" } else { key };
        let bare = !value.is_empty() && value.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '=' | '\\'));
        let written = if bare { write!(self.0, " {key}={value}") } else { write!(self.0, " {key}={value:?}") };
        debug_assert!(written.is_ok(), "a String takes everything");
    }
}

impl Visit for Pairs {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.push(field.name(), &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_when_they_must_be() {
        let mut pairs = Pairs(String::new());
        for (key, value) in [("message", "two words"), ("a", "b"), ("empty", ""), ("quote", "a\"b"), ("line", "a\nb")] {
            pairs.push(key, value);
        }
        assert_eq!(pairs.0, r#" msg="two words" a=b empty="" quote="a\"b" line="a\nb""#);
    }
}
