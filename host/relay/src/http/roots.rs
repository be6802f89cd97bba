//! Whose certificates are trusted when requests are passed on by https: the system's and Mozilla's, and those of `upstream.caFile`.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// The client's side of TLS. The error is a sentence about `ca_file`.
pub(super) fn client(ca_file: Option<&Path>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    // A system may have certificates that cannot be read; the others count.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(file) = ca_file {
        let certificates = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let certificates = certificates.map_err(|error| format!("{}: {error}", file.display()))?;
        if certificates.is_empty() {
            return Err(format!("{}: there is no certificate in it; expected PEM", file.display()));
        }
        for certificate in certificates {
            roots.add(certificate).map_err(|error| format!("{}: {error}", file.display()))?;
        }
    }
    Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_that_is_none_is_told() {
        flagpost_exporter::install_crypto();
        assert!(client(None).is_ok());
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        assert!(client(Some(&file)).unwrap_err().contains("ca.pem"));
        std::fs::write(&file, "hello").unwrap();
        assert!(client(Some(&file)).unwrap_err().contains("no certificate in it"));
        std::fs::write(&file, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        assert!(client(Some(&file)).unwrap_err().contains("ca.pem"));
    }
}
