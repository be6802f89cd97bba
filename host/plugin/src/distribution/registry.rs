//! Pushing: what a registry is given, by the client library, with time limits.

use std::path::Path;
use std::time::Duration;

use http::HeaderValue;
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::{Client, RegistryOperation};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::time::timeout;

use super::credentials::{self, Credentials};
use super::{DistributionError, ImageReference, RegistryAccess, manifest};

pub(super) const CONNECT: Duration = Duration::from_secs(5);

/// Between two pieces of an answer.
pub(super) const SILENCE: Duration = Duration::from_secs(30);

/// For a manifest with the token that it may need: a few KiB.
pub(super) const MANIFEST: Duration = Duration::from_secs(60);

/// For a component: 256 MiB over a slow line.
pub(super) const COMPONENT: Duration = Duration::from_secs(900);

/// A registry that is given an image.
pub(super) struct Registry {
    client: Client,
    reference: ImageReference,
    credentials: Credentials,
}

impl Registry {
    /// Makes the client; asks nothing yet.
    pub(super) async fn of(reference: &ImageReference, access: &RegistryAccess) -> Result<Self, DistributionError> {
        let (reference, access) = (reference.clone(), access.clone());
        // Certificates and Docker's file are read from disk.
        let made = tokio::task::spawn_blocking(move || {
            let credentials = credentials::find(&reference, &access)?;
            let client = client(&reference, &access)?;
            Ok(Registry { client, reference, credentials })
        });
        made.await.unwrap_or_else(|why| Err(DistributionError::Client { why: why.to_string() }))
    }

    /// Puts blobs and their manifest there, the manifest last: an image is there whole or not at all.
    pub(super) async fn push(&self, blobs: [Vec<u8>; 2], manifest: Vec<u8>) -> Result<(), DistributionError> {
        let image = self.reference.for_client();
        let auth = self.client.auth(&image, &self.credentials.auth, RegistryOperation::Push);
        self.within(MANIFEST, auth).await?;
        for blob in blobs {
            let digest = manifest::sha256(&blob);
            self.within(COMPONENT, self.client.push_blob(&image, blob, &digest)).await?;
        }
        let kind = HeaderValue::from_static(manifest::MANIFEST);
        self.within(MANIFEST, self.client.push_manifest_raw(&image, manifest, kind)).await?;
        Ok(())
    }

    async fn within<T>(&self, most: Duration, call: impl Future<Output = Result<T, OciDistributionError>>) -> Result<T, DistributionError> {
        match timeout(most, call).await {
            Ok(done) => done.map_err(|why| DistributionError::of_client(why, &self.credentials.who)),
            Err(_) => Err(DistributionError::Unreachable { why: format!("no whole answer within {} s", most.as_secs()) }),
        }
    }
}

fn client(reference: &ImageReference, access: &RegistryAccess) -> Result<Client, DistributionError> {
    flagpost_exporter::install_crypto();
    let der = |certificate: CertificateDer<'_>| Certificate { encoding: CertificateEncoding::Der, data: certificate.to_vec() };
    let config = ClientConfig {
        protocol: if is_plain(reference, access) { ClientProtocol::Http } else { ClientProtocol::Https },
        extra_root_certificates: authorities(access)?.into_iter().map(der).collect(),
        connect_timeout: Some(CONNECT),
        read_timeout: Some(SILENCE),
        // An index is refused with words of ours.
        platform_resolver: None,
        use_monolithic_push: true,
        user_agent: concat!("flagpost/", env!("CARGO_PKG_VERSION")),
        ..ClientConfig::default()
    };
    Client::try_from(config).map_err(|why| DistributionError::Client { why: why.to_string() })
}

/// Whether a registry is spoken to without TLS.
pub(super) fn is_plain(reference: &ImageReference, access: &RegistryAccess) -> bool {
    access.plain_http || (reference.is_local() && access.ca.is_none())
}

/// Who is trusted beside the system's authorities.
pub(super) fn authorities(access: &RegistryAccess) -> Result<Vec<CertificateDer<'static>>, DistributionError> {
    access.ca.as_deref().map_or(Ok(Vec::new()), read)
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, DistributionError> {
    let wrong = |why: String| DistributionError::Authorities { path: path.to_owned(), why };
    let pem = std::fs::read(path).map_err(|why| wrong(format!("cannot be read: {why}")))?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|_| wrong("is no PEM".to_owned()))?;
    if found.is_empty() {
        return Err(wrong("has no certificate in PEM".to_owned()));
    }
    Ok(found)
}
