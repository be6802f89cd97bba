//! The `azureBlobStorage` exporter against Azurite, Microsoft's emulator, read back by Microsoft's own client.

mod crashes;
mod delivery;
mod faults;
mod identity;
mod refusals;

use flagpost_tests::servers::azurite::{ACCOUNT, Container, KEY};

/// An exporter's YAML: quick to notice what goes wrong, quick to try again. `own`: further keys, flow style, with a comma in front.
fn exporter(name: &str, container: &Container, endpoint: &str, own: &str) -> String {
    with(name, container, &format!(", accountKey: '{KEY}', endpoint: '{endpoint}' {own}"))
}

/// The same without a key and an address.
fn with(name: &str, container: &Container, own: &str) -> String {
    let container = &container.name;
    format!(
        "
  - {{ kind: azureBlobStorage, name: {name}, container: {container}, accountName: {ACCOUNT}, flushInterval: 20, timeout: 3s, retry: {{ initial: 20ms, max: 200ms }} {own} }}"
    )
}
