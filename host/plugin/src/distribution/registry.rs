//! The client: one image's registry, asked with time limits, and believed only as far as digests go.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::{Client, RegistryOperation};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::io::AsyncWrite;
use tokio::time::timeout;

use super::credentials::{self, Credentials};
use super::manifest::{self, Layer};
use super::{DistributionError, ImageReference, RegistryAccess};
use crate::cache::Digest;

const CONNECT: Duration = Duration::from_secs(5);

/// Between two pieces of an answer.
const SILENCE: Duration = Duration::from_secs(30);

/// For a manifest with the token that it may need: a few KiB.
const MANIFEST: Duration = Duration::from_secs(60);

/// For a component: 256 MiB over a slow line.
const COMPONENT: Duration = Duration::from_secs(900);

/// A registry, for one image.
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

    /// The manifest's bytes, and their SHA-256 in hex. With a digest in the reference it is that one.
    pub(super) async fn manifest(&self) -> Result<(Bytes, String), DistributionError> {
        let (image, auth) = (self.reference.for_client(), &self.credentials.auth);
        let pulled = self.client.pull_manifest_raw(&image, auth, &manifest::ACCEPTED);
        let (bytes, _) = self.within(MANIFEST, pulled).await?;
        // What the registry says of it counts for nothing.
        let found = Digest::of(&bytes).hex();
        match self.reference.digest() {
            Some(wanted) if wanted != found => Err(DistributionError::Digest { why: format!("{wanted} was asked for, {found} came") }),
            _ => Ok((bytes, found)),
        }
    }

    /// The component.
    pub(super) async fn component(&self, layer: &Layer) -> Result<Vec<u8>, DistributionError> {
        let image = self.reference.for_client();
        self.client.store_auth_if_needed(image.resolve_registry(), &self.credentials.auth).await;
        let name = format!("sha256:{}", layer.digest);
        let mut bytes = Bounded { bytes: Vec::new(), most: usize::try_from(layer.size).unwrap_or(usize::MAX) };
        let pulled = self.within(COMPONENT, self.client.pull_blob(&image, name.as_str(), &mut bytes)).await;
        if bytes.bytes.len() > bytes.most {
            return Err(DistributionError::Digest { why: format!("it is longer than the {} bytes of the manifest", layer.size) });
        }
        pulled?;
        Ok(bytes.bytes)
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
    // A second provider of a program that embeds us is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    let authorities = access.ca.as_deref().map(authorities).transpose()?.unwrap_or_default();
    let plain = access.plain_http || (reference.is_local() && access.ca.is_none());
    let config = ClientConfig {
        protocol: if plain { ClientProtocol::Http } else { ClientProtocol::Https },
        extra_root_certificates: authorities,
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

fn authorities(path: &Path) -> Result<Vec<Certificate>, DistributionError> {
    let wrong = |why: String| DistributionError::Authorities { path: path.to_owned(), why };
    let pem = std::fs::read(path).map_err(|why| wrong(format!("cannot be read: {why}")))?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|_| wrong("is no PEM".to_owned()))?;
    if found.is_empty() {
        return Err(wrong("has no certificate in PEM".to_owned()));
    }
    Ok(found.into_iter().map(|certificate| Certificate { encoding: CertificateEncoding::Der, data: certificate.to_vec() }).collect())
}

/// Takes no more than was announced.
struct Bounded {
    bytes: Vec<u8>,
    most: usize,
}

impl AsyncWrite for Bounded {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, more: &[u8]) -> Poll<io::Result<usize>> {
        let room = self.most.saturating_sub(self.bytes.len());
        // One byte too many tells that there were.
        self.bytes.extend_from_slice(&more[..more.len().min(room + 1)]);
        Poll::Ready(if more.len() > room { Err(io::Error::other("longer than announced")) } else { Ok(more.len()) })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
