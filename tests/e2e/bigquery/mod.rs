//! The `bigquery` exporter against a BigQuery emulator, read back by SQL.

mod codes;
mod delivery;
mod exactly_once;
mod faults;
mod insert_all;
mod tables;

use flagpost_tests::servers::bigquery::BigQuery;

/// Columns of a table of feature events.
pub(crate) const FEATURE: &[(&str, &str)] = &[
    ("kind", "STRING"),
    ("context_kind", "STRING"),
    ("user_key", "STRING"),
    ("creation_date", "INTEGER"),
    ("key", "STRING"),
    ("variation", "STRING"),
    ("value", "JSON"),
    ("default", "BOOLEAN"),
    ("version", "STRING"),
    ("source", "STRING"),
    ("metadata", "JSON"),
];

/// Columns of a table of tracking events.
const TRACKING: &[(&str, &str)] = &[
    ("kind", "STRING"),
    ("context_kind", "STRING"),
    ("user_key", "STRING"),
    ("creation_date", "INTEGER"),
    ("key", "STRING"),
    ("tracking_details", "JSON"),
    ("evaluation_context", "JSON"),
];

/// An exporter's YAML: quick to notice what goes wrong, quick to try again. `own` are further keys, flow style.
fn exporter(name: &str, dataset: &str, rest: &str, grpc: &str, own: &str) -> String {
    format!(
        r"
  - kind: bigquery
    name: {name}
    projectID: p
    datasetID: {dataset}
    tableName: events
    endpoint: {rest}
    storageEndpoint: {grpc}
    timeout: 5s
    flushInterval: 20
    retry: {{ initial: 20ms, max: 200ms }}
    {own}
"
    )
}

/// One that writes to `server` without anything in between.
fn direct(name: &str, dataset: &str, server: &BigQuery, own: &str) -> String {
    exporter(name, dataset, server.rest(), server.grpc(), own)
}

/// The numbers of the events in a table, sorted.
async fn numbers(server: &BigQuery, dataset: &str, table: &str) -> Vec<u64> {
    let rows = server.sql(&format!("SELECT user_key FROM {dataset}.{table}")).await;
    let number = |key: &str| key.strip_prefix("u-").unwrap().parse().unwrap();
    let mut numbers: Vec<u64> = rows.iter().map(|row| number(row["user_key"].as_deref().unwrap())).collect();
    numbers.sort_unstable();
    numbers
}

/// All numbers below that one.
fn below(end: u64) -> Vec<u64> {
    (1..end).collect()
}
