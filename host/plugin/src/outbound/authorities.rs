//! The system's certificate authorities, read once for all plugins of a host.
//!
//! Reading and parsing them takes milliseconds: as much as everything else that the start of a plugin out of the cache takes. What is read
//! serves for [`FRESH`]; a client that is made later (of a plugin that was replaced, of certificates that were renewed) sees the
//! system's changes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::RootCertStore;
use tokio::time::Instant;

/// How long what was read serves: longer than a start or a reload of many plugins takes.
const FRESH: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(crate) struct Authorities(Mutex<Option<Read>>);

#[derive(Debug)]
struct Read {
    store: Arc<RootCertStore>,
    at: Instant,
}

impl Authorities {
    /// What the system trusts. Reads files: not for a thread that must not wait.
    pub(super) fn of_system(&self) -> Arc<RootCertStore> {
        let mut read = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*read {
            Some(read) if read.at.elapsed() < FRESH => Arc::clone(&read.store),
            _ => Arc::clone(&read.insert(Read { store: Arc::new(system()), at: Instant::now() }).store),
        }
    }
}

fn system() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(found.certs);
    if store.is_empty() {
        let errors = found.errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        tracing::warn!(
            errors,
            "the system's certificates cannot be read: https will fail for plugins, but for their own http.tls.ca; install ca-certificates"
        );
    }
    store
}
