//! The `webhook` exporter.

use crate::KindInfo;

/// What the registry knows of it.
pub(crate) const KIND: KindInfo = KindInfo {
    name: "webhook",
    keys: &["endpointUrl", "secret", "meta", "headers"],
    location_keys: &["endpointUrl"],
    build: |_, _| todo!(),
};
