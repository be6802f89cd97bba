//! What the tests of the object stores have in common: events, names, and what must hold of objects.

use std::time::SystemTime;

use flagpost_tests::{Program, event};
pub(crate) use flagpost_tests::{sorted, tracking};

/// A feature event of about that many bytes.
pub(crate) fn padded(number: u64, bytes: usize) -> String {
    event(number * 5).replace(r#""source":"SERVER""#, &format!(r#""source":"SERVER","metadata":{{"pad":"{}"}}"#, "x".repeat(bytes)))
}

/// Whether it is upstream's default name behind `front`: this machine's name and Unix seconds of about now.
pub(crate) fn is_default_name(name: &str, front: &str, extension: &str) -> bool {
    let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let rest = name.strip_prefix(front).and_then(|name| name.strip_prefix(&format!("flag-variation-{hostname}-")));
    let seconds = rest.and_then(|rest| rest.strip_suffix(&format!(".{extension}"))).and_then(|seconds| seconds.parse::<u64>().ok());
    seconds.is_some_and(|seconds| seconds.abs_diff(now()) < 3_600)
}

/// Unix seconds.
pub(crate) fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

/// Waits until the exporter has met a fault; gives what it says of it.
pub(crate) async fn troubled(relay: &Program, name: &str) -> String {
    relay.told(name, "retrying", "").await
}

/// Everything was delivered, nothing was condemned or given up.
pub(crate) async fn complete(relay: &Program, name: &str, count: u64) {
    relay.complete(name, count).await;
}
