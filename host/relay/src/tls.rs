//! Which cryptography TLS uses, once for the process.

use std::sync::Once;

/// Installs it. An embedding program that has chosen before keeps its choice.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if rustls::crypto::ring::default_provider().install_default().is_err() {
            tracing::debug!("TLS has a provider already");
        }
    });
}
