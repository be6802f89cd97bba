//! The `log` exporter.

use crate::KindInfo;

/// What the registry knows of it.
pub(crate) const KIND: KindInfo = KindInfo { name: "log", keys: &["logFormat"], location_keys: &[], build: |_, _| todo!() };
