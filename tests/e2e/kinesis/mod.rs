//! The `kinesis` exporter against moto (signatures and rights checked where nobody is killed), read back by Amazon's own client.

mod access;
mod delivery;
mod faults;
mod refusals;

/// An exporter's YAML: quick to notice what goes wrong, quick to try again. `own` are further keys.
fn exporter(stream: &str, endpoint: &str, own: &str) -> String {
    format!(
        r"
  - kind: kinesis
    name: out
    flushInterval: 20
    retry: {{ initial: 20ms, max: 200ms }}
    streamName: {stream}
    endpoint: '{endpoint}'
    {own}
"
    )
}
