//! TLS: the certificate that is served, read again when its files change.
//!
//! Files are polled: certificates change a few times a year, and every way in which they do (a rename, a symbolic link switched, a file
//! written in place) shows in modification time, size or inode. While a new pair cannot be used (half written, a key of another certificate), the old
//! one stays.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::config::Tls;

/// How often the files are looked at.
const POLL_EVERY: Duration = Duration::from_secs(1);

/// Why a pair of files cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("`{}` cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A file is not PEM.
    #[error("`{}` is not PEM", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: pem::Error,
    },
    /// No certificate is in the file.
    #[error("`{}` holds no certificate: expected a block `-----BEGIN CERTIFICATE-----`", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The two do not belong together, or cannot be used.
    #[error("`{}` and `{}` cannot be used together", cert.display(), key.display())]
    Pair {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong with them.
        #[source]
        source: rustls::Error,
    },
}

/// The certificate that is served now.
#[derive(Debug)]
pub(crate) struct Certificate {
    files: Tls,
    provider: Arc<CryptoProvider>,
    pair: ArcSwap<CertifiedKey>,
    stale: AtomicBool,
    reloads: AtomicU64,
}

/// What tells that a file changed.
type Stamp = Option<(SystemTime, u64, u64)>;

impl Certificate {
    /// Reads the files, which must be good.
    pub(crate) fn load(files: Tls) -> Result<Arc<Certificate>, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let pair = ArcSwap::from_pointee(read(&files, &provider)?);
        Ok(Arc::new(Certificate { files, provider, pair, stale: AtomicBool::new(false), reloads: AtomicU64::new(0) }))
    }

    /// What connections are accepted with: always the certificate of that moment.
    pub(crate) fn server_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, TlsError> {
        let builder = ServerConfig::builder_with_provider(self.provider.clone());
        let builder = builder.with_safe_default_protocol_versions().map_err(|source| pair_error(&self.files, source))?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// Whether the files cannot be used and an older pair is served.
    pub(crate) fn is_stale(&self) -> bool {
        self.stale.load(Ordering::Relaxed)
    }

    /// How many pairs were taken after the first.
    pub(crate) fn reloads(&self) -> u64 {
        self.reloads.load(Ordering::Relaxed)
    }

    /// Looks at the files for ever.
    pub(crate) async fn watch(self: Arc<Self>) {
        let mut seen = self.stamps();
        loop {
            tokio::time::sleep(POLL_EVERY).await;
            let this = self.clone();
            // A panic in there leaves the certificate as it is.
            if let Ok(now) = tokio::task::spawn_blocking(move || this.look(seen)).await {
                seen = now;
            }
        }
    }

    /// Reads the files again if they are not as they were `seen`.
    fn look(&self, seen: [Stamp; 2]) -> [Stamp; 2] {
        let now = self.stamps();
        if now != seen {
            self.reload();
        }
        now
    }

    fn stamps(&self) -> [Stamp; 2] {
        let stamp = |path: &Path| {
            let file = std::fs::metadata(path).ok()?;
            Some((file.modified().ok()?, file.len(), file.ino()))
        };
        [stamp(&self.files.cert), stamp(&self.files.key)]
    }

    fn reload(&self) {
        match read(&self.files, &self.provider) {
            Ok(pair) => {
                self.stale.store(false, Ordering::Relaxed);
                if pair.cert == self.pair.load().cert {
                    return;
                }
                self.pair.store(Arc::new(pair));
                self.reloads.fetch_add(1, Ordering::Relaxed);
                tracing::info!(cert = %self.files.cert.display(), "a new TLS certificate is served");
            }
            Err(error) => {
                self.stale.store(true, Ordering::Relaxed);
                let why = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
                tracing::error!("the TLS certificate changed and cannot be used, the one before it stays: {error}{why}");
            }
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.pair.load_full())
    }
}

fn read(files: &Tls, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let bytes = |path: &PathBuf| std::fs::read(path).map_err(|source| TlsError::Read { path: path.clone(), source });
    let bad = |path: &PathBuf, source| TlsError::Pem { path: path.clone(), source };
    let certs: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes(&files.cert)?).collect();
    let certs = certs.map_err(|source| bad(&files.cert, source))?;
    if certs.is_empty() {
        return Err(TlsError::NoCertificate { path: files.cert.clone() });
    }
    let key = PrivateKeyDer::from_pem_slice(&bytes(&files.key)?).map_err(|source| bad(&files.key, source))?;
    CertifiedKey::from_der(certs, key, provider).map_err(|source| pair_error(files, source))
}

fn pair_error(files: &Tls, source: rustls::Error) -> TlsError {
    TlsError::Pair { cert: files.cert.clone(), key: files.key.clone(), source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;

    use super::*;

    /// A certificate for `localhost` and its key.
    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn a_pair_that_cannot_be_served_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let ((cert, key), (_, other_key)) = (pair(), pair());
        let files = Tls { cert: path("cert"), key: path("key") };
        let cases: [(Option<&str>, &str, &str); 6] = [
            (None, &key, "cert` cannot be read"),
            (Some("no PEM at all"), &key, "holds no certificate"),
            (Some("-----BEGIN CERTIFICATE-----\nAAA"), &key, "is not PEM"),
            (Some(&cert), "", "key` is not PEM"),
            (Some(&cert), &other_key, "cannot be used together"),
            (Some(&key), &key, "holds no certificate"),
        ];
        for (cert, key, words) in cases {
            if let Some(cert) = cert {
                fs::write(&files.cert, cert).unwrap();
            }
            fs::write(&files.key, key).unwrap();
            let error = Certificate::load(files.clone()).unwrap_err().to_string();
            assert!(error.contains(words), "{error} instead of {words}");
        }
    }

    #[test]
    fn a_new_pair_is_served_and_a_bad_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let files = Tls { cert: directory.path().join("cert"), key: directory.path().join("key") };
        let write = |(cert, key): &(String, String)| {
            fs::write(&files.cert, cert).unwrap();
            fs::write(&files.key, key).unwrap();
        };
        let (first, second) = (pair(), pair());
        write(&first);
        let certificate = Certificate::load(files.clone()).unwrap();
        let served = || certificate.pair.load_full().cert.clone();
        let before = served();
        let seen = certificate.look(certificate.stamps());
        assert_eq!((served() == before, certificate.reloads()), (true, 0), "nothing changed");
        fs::write(&files.cert, &second.0).unwrap();
        let seen = certificate.look([None, seen[1]]);
        assert_eq!((served() == before, certificate.is_stale(), certificate.reloads()), (true, true, 0), "a certificate without its key");
        write(&second);
        certificate.look([seen[0], None]);
        assert_eq!((served() == before, certificate.is_stale(), certificate.reloads()), (false, false, 1));
    }
}
