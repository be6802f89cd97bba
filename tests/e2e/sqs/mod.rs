//! The `sqs` exporter against moto (signatures and rights checked) and ElasticMQ, read back by Amazon's own client.

mod access;
mod delivery;
mod faults;
mod fifo;
mod refusals;

/// An exporter's YAML: quick to notice what goes wrong, quick to try again. `own` are further keys.
fn exporter(queue: &str, endpoint: &str, own: &str) -> String {
    format!(
        r"
  - kind: sqs
    name: out
    flushInterval: 20
    retry: {{ initial: 20ms, max: 200ms }}
    queueUrl: '{queue}'
    endpoint: '{endpoint}'
    {own}
"
    )
}
