//! The `opentelemetry` exporter against Jaeger, read back over its own API.

mod delivery;
mod faults;
mod refusals;

use std::collections::BTreeSet;

use flagpost_tests::servers::jaeger::SpanRead;

/// An exporter's YAML, quick to try again. `own`: further keys.
fn exporter(name: &str, service: &str, endpoint: &str, protocol: &str, own: &str) -> String {
    format!(
        "  - kind: opentelemetry
    name: {name}
    endpoint: {endpoint}
    protocol: {protocol}
    serviceName: {service}
    retry: {{ initial: 20ms, max: 200ms }}
    {own}
"
    )
}

/// The numbers of the events, each once.
fn numbers(spans: &[SpanRead]) -> BTreeSet<u64> {
    spans.iter().map(SpanRead::number).collect()
}
