//! The access log, with upstream's words, fields and levels (its `cmdhelpers/api/middleware/zap.go`): debug below 400, warn for 4xx, error
//! for 5xx. Nothing is formatted for a level that is not logged.
//!
//! A flood of refused requests must not become a flood of lines: of each second only the first lines are written, and how many were not is
//! said. The path is logged without its query, which may hold a key; headers that hold keys are never looked at.

use std::fmt;
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use tracing::Level;

/// Where the lines say they come from; below the program's own target, so that `logLevel` holds for them.
const TARGET: &str = "flagpost::access";
/// Lines in one second. At 300 bytes each that is 2.6 GB a day, which a log can be expected to take.
const LINES_A_SECOND: u64 = 100;

/// A request that is answered.
pub(crate) struct Line<'a> {
    pub(crate) peer: Option<IpAddr>,
    pub(crate) latency: Duration,
    pub(crate) host: &'a [u8],
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) status: u16,
    pub(crate) size: u64,
    pub(crate) user_agent: &'a [u8],
    pub(crate) request_id: &'a [u8],
}

/// Writes lines, so many in a second.
#[derive(Debug, Default)]
pub(crate) struct AccessLog(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    begun: Option<Instant>,
    lines: u64,
    left_out: u64,
}

/// Whether answers with this status are logged.
pub(crate) fn is_logged(status: u16) -> bool {
    match status {
        500.. => tracing::enabled!(target: TARGET, Level::ERROR),
        400..500 => tracing::enabled!(target: TARGET, Level::WARN),
        _ => tracing::enabled!(target: TARGET, Level::DEBUG),
    }
}

impl AccessLog {
    /// Writes the line, or counts it as left out.
    pub(crate) fn write(&self, line: &Line<'_>) {
        let (write, left_out) = self.admit(Instant::now());
        if left_out > 0 {
            tracing::warn!(target: TARGET, lines = left_out, "lines of the access log were left out: more than {LINES_A_SECOND} in one second");
        }
        if !write {
            return;
        }
        macro_rules! say {
            ($level:expr, $words:literal) => {
                tracing::event!(
                    target: TARGET,
                    $level,
                    remote_ip = line.peer.map(tracing::field::display),
                    latency = ?line.latency,
                    host = %Text(line.host),
                    request = %format_args!("{} {}", line.method, line.path),
                    status = line.status,
                    size = line.size,
                    user_agent = %Text(line.user_agent),
                    request_id = %Text(line.request_id),
                    $words
                )
            };
        }
        match line.status {
            500.. => say!(Level::ERROR, "Server error"),
            400..500 => say!(Level::WARN, "Client error"),
            300..400 => say!(Level::DEBUG, "Redirection"),
            _ => say!(Level::DEBUG, "Success"),
        }
    }

    /// Whether a line may be written now, and how many were left out before it and not said yet.
    fn admit(&self, now: Instant) -> (bool, u64) {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = window.begun.is_none_or(|begun| now.duration_since(begun) >= Duration::from_secs(1));
        if fresh {
            let left_out = std::mem::take(&mut window.left_out);
            *window = Window { begun: Some(now), lines: 1, left_out: 0 };
            return (true, left_out);
        }
        window.lines += 1;
        if window.lines <= LINES_A_SECOND {
            return (true, 0);
        }
        window.left_out += 1;
        (false, 0)
    }
}

/// Bytes of a header, whatever they are.
struct Text<'a>(&'a [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_second_only_the_first_lines_are_written_and_the_rest_is_said() {
        let log = AccessLog::default();
        let start = Instant::now();
        let written = (0..1000).filter(|_| log.admit(start).0).count();
        assert_eq!(written as u64, LINES_A_SECOND);
        assert_eq!(log.admit(start + Duration::from_millis(999)), (false, 0));
        assert_eq!(log.admit(start + Duration::from_secs(1)), (true, 1000 - LINES_A_SECOND + 1));
        assert_eq!(log.admit(start + Duration::from_secs(1)), (true, 0));
        assert_eq!(log.admit(start + Duration::from_secs(3)), (true, 0), "nothing was left out since");
    }
}
