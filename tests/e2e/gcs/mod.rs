//! The `googleStorage` exporter against fake-gcs-server, read back with plain requests and other people's readers.

mod delivery;
mod faults;
mod parts;
mod refusals;

use flagpost_tests::servers::gcs::GcsObject;
use flagpost_tests::sorted;

/// An exporter's YAML: quick to notice what goes wrong, quick to try again. `own` are further keys, flow style.
fn exporter(name: &str, bucket: &str, url: &str, own: &str) -> String {
    format!(
        r"
  - kind: googleStorage
    name: {name}
    bucket: {bucket}
    endpoint: {url}
    timeout: 3s
    flushInterval: 50
    retry: {{ initial: 20ms, max: 200ms }}
    {own}
"
    )
}

/// The lines of all objects, sorted.
fn lines(objects: &[GcsObject]) -> Vec<String> {
    sorted(objects.iter().flat_map(GcsObject::lines).collect())
}
