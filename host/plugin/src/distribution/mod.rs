//! Plugins out of OCI registries: `path: oci://registry/name:tag@sha256:…`.
//!
//! An image is a manifest that names one component by its SHA-256. The manifest's own SHA-256 is the digest of the reference: so a reference
//! with a digest names the bytes that run, whatever the registry, or whoever is between, sends. One with a tag alone names whatever the
//! registry says that day; it is asked at the start and when somebody says `flagpost plugin reload`, never in between.
//!
//! ```text
//! reference ─▶ pinned by `sha256:`, and in the cache? ──────────────────────────────────▶ component
//!           ─▶ manifest: by its digest from the cache, else from the registry ─▶ layer ─▶ from the cache, else from the registry ─▶ component
//! ```
//!
//! * With a digest and a warm cache no registry is asked. With a tag it is asked; while it cannot answer, a start takes what the tag led to
//!   last, and says so. A reload does not: who asks for news is told that there are none to have.
//! * Fetching happens where files are read (`load`): beside the calls, while events wait or the older generation goes on. What fails is tried
//!   again with a back-off, by the plugin's life.
//! * `reference` and `manifest` are pure; `credentials` finds who asks; `registry` is the one place that knows the client; `store` the disk.

mod credentials;
mod download;
mod error;
mod manifest;
mod reference;
mod registry;
mod store;

pub use error::DistributionError;
pub use reference::{ImageReference, ReferenceError};
pub(crate) use store::Store;

use std::path::PathBuf;

use flagpost_exporter::Secret;

use download::Download;
use manifest::Layer;
use registry::Registry;

use crate::cache::Digest;

/// How a registry is asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RegistryAccess {
    /// Its user. Without one, what `docker login` left is used.
    pub username: Option<String>,
    /// The user's password or token.
    pub password: Option<Secret>,
    /// Speak HTTP without TLS. A registry on this machine is spoken to in that way by itself, unless `ca` is given.
    pub plain_http: bool,
    /// Certificates in PEM that are trusted beside the system's.
    pub ca: Option<PathBuf>,
}

/// A plugin's image, as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginImage {
    /// Which.
    pub reference: ImageReference,
    /// How its registry is asked.
    pub access: RegistryAccess,
}

/// An image's component.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// The image, with the digest of its manifest.
    pub reference: ImageReference,
    /// The component's bytes: what the digests say.
    pub component: Vec<u8>,
}

/// Fetches an image's component from its registry. Every byte is compared with the digest it was asked for by.
///
/// # Errors
///
/// The registry is away, refuses, has no such image, or has another one than the digest says; the image is no plugin.
pub async fn pull(reference: &ImageReference, access: &RegistryAccess) -> Result<Pulled, DistributionError> {
    let download = Download::of(reference, access).await?;
    let (bytes, digest) = download.manifest().await?;
    let component = download.component(&manifest::read(&bytes)?).await?;
    Ok(Pulled { reference: reference.pinned(&digest), component })
}

/// What is pushed.
#[derive(Clone, Copy, Debug)]
pub struct Push<'a> {
    /// The component's bytes.
    pub component: &'a [u8],
    /// The file's name for tools that write layers to files.
    pub title: &'a str,
    /// What the component exports.
    pub exports: &'a [String],
    /// What it imports.
    pub imports: &'a [String],
}

/// Puts a component into a registry under the reference's tag. The answer is the reference with the digest of the manifest: the same component
/// has the same digest, whenever and wherever it is pushed.
///
/// # Errors
///
/// The registry is away or refuses it.
pub async fn push(push: Push<'_>, reference: &ImageReference, access: &RegistryAccess) -> Result<ImageReference, DistributionError> {
    let image = manifest::write(push.component, push.title, push.exports, push.imports);
    let digest = Digest::of(&image.manifest).hex();
    let registry = Registry::of(reference, access).await?;
    registry.push([push.component.to_vec(), image.config], image.manifest).await?;
    Ok(reference.pinned(&digest))
}

/// What runs.
pub(crate) struct Fetched {
    pub(crate) component: Vec<u8>,
    /// The image, with its digest if that is known.
    pub(crate) reference: ImageReference,
}

/// An image's component out of the cache or from the registry. `pin` is the component's SHA-256, if the configuration has one. `remembered`: a
/// tag may lead where it led last, if the registry cannot be asked.
pub(crate) async fn fetch(store: &Store, image: &PluginImage, pin: Option<&str>, remembered: bool) -> Result<Fetched, DistributionError> {
    let reference = &image.reference;
    if let (Some(pin), None) = (pin, reference.digest())
        && let Some(component) = component_in(store, pin).await
    {
        return Ok(Fetched { component, reference: reference.clone() });
    }
    let kept = match reference.digest() {
        Some(digest) => manifest_in(store, digest).await,
        None => None,
    };
    let (bytes, digest) = match kept {
        Some(kept) => kept,
        None => match from_registry(store, image).await {
            Ok(found) => found,
            Err(why) if remembered && reference.digest().is_none() && why.is_about_the_registry() => {
                let Some((bytes, digest)) = last(store, reference).await else { return Err(why) };
                let image = reference.to_string();
                tracing::warn!(image, digest, "the tag is taken for what it was when it was last asked for: {why}");
                (bytes, digest)
            }
            Err(why) => return Err(why),
        },
    };
    let layer = manifest::read(&bytes)?;
    if let Some(pin) = pin
        && pin != layer.digest
    {
        return Err(DistributionError::Pinned { found: layer.digest, pinned: pin.to_owned() });
    }
    let component = match component_in(store, &layer.digest).await {
        Some(component) => component,
        None => component_from_registry(store, image, &layer).await?,
    };
    Ok(Fetched { component, reference: reference.pinned(&digest) })
}

/// The manifest from the registry. What is no plugin's is not kept.
async fn from_registry(store: &Store, image: &PluginImage) -> Result<(Vec<u8>, String), DistributionError> {
    let (bytes, digest) = Download::of(&image.reference, &image.access).await?.manifest().await?;
    manifest::read(&bytes)?;
    let told = digest.clone();
    let (reference, kept) = (image.reference.clone(), bytes.clone());
    on_disk(store, move |store| {
        store.keep_manifest(&kept)?;
        if reference.digest().is_none() { store.keep_tag(&reference, &told) } else { Ok(()) }
    })
    .await?;
    Ok((bytes, digest))
}

async fn component_from_registry(store: &Store, image: &PluginImage, layer: &Layer) -> Result<Vec<u8>, DistributionError> {
    tracing::info!(image = %image.reference, bytes = layer.size, "the plugin is being fetched from its registry");
    let component = Download::of(&image.reference, &image.access).await?.component(layer).await?;
    let kept = component.clone();
    on_disk(store, move |store| store.keep_component(&kept)).await?;
    Ok(component)
}

/// Where the tag led to last, if that is all there.
async fn last(store: &Store, reference: &ImageReference) -> Option<(Vec<u8>, String)> {
    let reference = reference.clone();
    let digest = on_disk(store, move |store| Ok(store.tag(&reference))).await.ok().flatten()?;
    manifest_in(store, &digest).await
}

async fn manifest_in(store: &Store, digest: &str) -> Option<(Vec<u8>, String)> {
    let name = digest.to_owned();
    let bytes = on_disk(store, move |store| Ok(store.manifest(&name))).await.ok().flatten()?;
    Some((bytes, digest.to_owned()))
}

async fn component_in(store: &Store, digest: &str) -> Option<Vec<u8>> {
    let name = digest.to_owned();
    on_disk(store, move |store| Ok(store.component(&name))).await.ok().flatten()
}

async fn on_disk<T: Send + 'static>(
    store: &Store,
    work: impl FnOnce(&Store) -> Result<T, DistributionError> + Send + 'static,
) -> Result<T, DistributionError> {
    let store = store.clone();
    let done = tokio::task::spawn_blocking(move || work(&store));
    done.await.unwrap_or_else(|why| Err(DistributionError::Client { why: why.to_string() }))
}

/// For fuzzing: reads whatever a registry or Docker's file may hold.
pub(crate) fn read_foreign(bytes: &[u8]) {
    if let Ok(layer) = manifest::read(bytes) {
        assert!(manifest::is_sha256(&layer.digest) && layer.size <= crate::compile::MAX_INPUT);
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(reference) = text.parse::<ImageReference>()
    {
        assert_eq!(reference.to_string().parse::<ImageReference>(), Ok(reference.clone()));
        drop(credentials::of_docker("config.json".as_ref(), bytes, &reference));
    }
    if let Ok(reference) = "oci://ghcr.io/acme/plugin:1".parse() {
        drop(credentials::of_docker("config.json".as_ref(), bytes, &reference));
    }
}
