//! The `s3` exporter against SeaweedFS (on disk) and moto (signatures, rights, roles), read back by Amazon's own client.

mod crashes;
mod delivery;
mod faults;
mod large;
mod refusals;

use flagpost_tests::Setup;
use flagpost_tests::servers::boto::Access;
use flagpost_tests::servers::bucket::Bucket;

/// An exporter's YAML: quick to notice what goes wrong, quick to try again. `own`: further keys, flow style, with a comma in front.
fn exporter(name: &str, bucket: &Bucket, endpoint: &str, own: &str) -> String {
    let bucket = &bucket.name;
    format!(
        "
  - {{ kind: s3, name: {name}, bucket: {bucket}, endpoint: '{endpoint}', flushInterval: 20, timeout: 3s, retry: {{ initial: 20ms, max: 200ms }} {own} }}"
    )
}

/// A relay that is this user at Amazon's.
fn setup(access: &Access, exporters: &str) -> Setup {
    Setup::new().with_exporters(exporters).with_environment(access.environment())
}
