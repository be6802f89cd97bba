//! Which cryptography TLS uses.

use std::sync::Once;

use rustls::crypto::ring;

/// Installs rustls's provider for the whole program: ring, the one that is compiled in. Clients that leave the choice to the program panic
/// without one, so whoever makes a client calls this before. A program that embeds us and has chosen another one keeps its choice.
pub fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if ring::default_provider().install_default().is_err() {
            tracing::debug!("TLS has a provider already");
        }
    });
}
