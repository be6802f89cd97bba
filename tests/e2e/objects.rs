//! What the tests of the object stores have in common: events, names, and what must hold of objects.

use std::time::SystemTime;

use flagpost_tests::{Program, event, until};

/// A feature event of about that many bytes.
pub(crate) fn padded(number: u64, bytes: usize) -> String {
    event(number * 5).replace(r#""source":"SERVER""#, &format!(r#""source":"SERVER","metadata":{{"pad":"{}"}}"#, "x".repeat(bytes)))
}

/// A tracking event.
pub(crate) fn tracking(number: u64) -> String {
    format!(
        r#"{{"kind":"tracking","contextKind":"user","userKey":"t-{number}","creationDate":1700000000,"key":"checkout","evaluationContext":{{"a":1}},"trackingEventDetails":{{"value":{number}}}}}"#
    )
}

/// The events, sorted.
pub(crate) fn sorted(mut events: Vec<String>) -> Vec<String> {
    events.sort();
    events
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
    until("the fault is noticed", async || {
        let task = relay.exporter(name).await;
        (task["state"] == "retrying").then(|| task["lastError"]["message"].as_str().unwrap_or_default().to_owned())
    })
    .await
}

/// Everything was delivered, nothing was condemned or given up.
pub(crate) async fn complete(relay: &Program, name: &str, count: u64) {
    let counts = relay.drained(&[name]).await.counts(name);
    assert_eq!((counts.delivered, counts.dead, counts.dropped), (count, 0, 0), "{name}");
}
