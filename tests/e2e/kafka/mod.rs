//! The `kafka` exporter against Apache Kafka, read back by Kafka's own client.

mod delivery;
mod faults;
mod probes;
mod refusals;
mod security;
mod transactions;

use flagpost_tests::servers::kafka::{Broker, Listener};
use flagpost_tests::servers::kafka_tool::Record;
use flagpost_tests::sorted;

/// An exporter's YAML: quick to notice what goes wrong, quick to try again. `own` are further keys below `kafka`, flow style.
fn exporter(name: &str, topic: &str, address: &str, own: &str) -> String {
    format!(
        r"
  - kind: kafka
    name: {name}
    flushInterval: 20
    retry: {{ initial: 20ms, max: 200ms }}
    kafka:
      topic: {topic}
      addresses: [ '{address}' ]
      {own}
"
    )
}

/// Further keys: an attempt takes three seconds at most.
const QUICK: &str = "properties: { message.timeout.ms: 3000, socket.timeout.ms: 3000, reconnect.backoff.max.ms: 200, topic.metadata.propagation.max.ms: 1000 }";

fn plain(name: &str, topic: &str, broker: &Broker) -> String {
    exporter(name, topic, &broker.address(Listener::Plain), QUICK)
}

/// The values, sorted.
fn values(records: &[Record]) -> Vec<String> {
    let mut values: Vec<String> = records.iter().map(|record| record.value.clone()).collect();
    values.sort();
    values
}

/// The values without those that came more than once, sorted; and how many those were.
fn distinct(records: &[Record]) -> (Vec<String>, usize) {
    let mut values = values(records);
    let all = values.len();
    values.dedup();
    let twice = all - values.len();
    (values, twice)
}
