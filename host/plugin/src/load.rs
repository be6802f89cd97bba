//! From a file to a generation: read, pin, recognise, compile or take from the cache, try out.

use std::path::Path;
use std::sync::Arc;

use flagpost_exporter::chain;

use crate::cache::Digest;
use crate::compile::MAX_INPUT;
use crate::contract;
use crate::describe;
use crate::distribution;
use crate::generation::Generation;
use crate::guest::{CallFailure, MAX_REASON, Shared, printable};
use crate::host::PluginHost;
use crate::places::PluginDiagnostic;
use crate::text::{bytes as readable, cut};
use crate::watch::stamp;
use crate::{LoadStep, PluginImage, world};

/// A plugin's file cannot run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoadError {
    pub(crate) reason: String,
    /// The file's digest, once it was read.
    pub(crate) digest: Option<Digest>,
    /// The fault is the host's: the same file may load a little later.
    pub(crate) again: bool,
    /// What is wrong with the configuration, when that is the reason.
    pub(crate) diagnostics: Vec<PluginDiagnostic>,
}

/// The file's bytes.
pub(crate) struct File {
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: Digest,
    /// The image it came out of.
    pub(crate) image: Option<String>,
}

/// A file that cannot run, and what to do.
pub(crate) fn refused(path: &Path, why: impl std::fmt::Display) -> LoadError {
    // Compilers quote names out of the file.
    let why = cut(&printable(why.to_string().as_bytes()), MAX_REASON);
    LoadError { reason: format!("{}: {why}", path.display()), digest: None, again: false, diagnostics: Vec::new() }
}

/// The plugin does not take its configuration.
pub(crate) fn refused_configuration(path: &Path, diagnostics: Vec<PluginDiagnostic>) -> LoadError {
    let why = CallFailure::Configuration { diagnostics: diagnostics.clone() };
    LoadError { diagnostics, ..refused(path, format_args!("the plugin {why}")) }
}

/// Takes the component out of its image: the cache's, else the registry's. `remembered`: what a tag led to last may do.
pub(crate) async fn fetch(host: &PluginHost, shared: &Shared, image: &PluginImage, remembered: bool) -> Result<File, LoadError> {
    let path = &shared.spec.path;
    let pin = shared.spec.pin();
    let fetched = distribution::fetch(host.images(), image, pin.as_deref(), remembered).await;
    let fetched = fetched.map_err(|why| LoadError { again: why.may_pass(), ..refused(path, chain(&why)) })?;
    let (bytes, image) = (fetched.component, Some(fetched.reference.to_string()));
    let hashed = tokio::task::spawn_blocking(move || (Digest::of(&bytes), bytes)).await;
    let (digest, bytes) = hashed.map_err(|why| LoadError { again: true, ..refused(path, why) })?;
    Ok(File { bytes, digest, image })
}

/// Reads the file.
pub(crate) async fn read(shared: &Shared) -> Result<File, LoadError> {
    let path = &shared.spec.path;
    let before = stamp(path).await;
    let facts = tokio::fs::metadata(path).await.map_err(|why| match why.kind() {
        std::io::ErrorKind::NotFound => refused(path, "there is no such file; put the plugin there, it is loaded without a restart"),
        _ => refused(path, format_args!("cannot be read: {why}")),
    })?;
    if !facts.is_file() {
        return Err(refused(path, "it is no file; expected a `.wasm` component"));
    }
    if facts.len() > MAX_INPUT {
        return Err(refused(path, format_args!("it has {}, at most {} are loaded", readable(facts.len()), readable(MAX_INPUT))));
    }
    let (file, digest) = {
        let path = path.clone();
        let read = move || std::fs::read(&path).map(|bytes| (Digest::of(&bytes), bytes));
        match tokio::task::spawn_blocking(read).await {
            Ok(Ok((digest, bytes))) => (bytes, digest),
            Ok(Err(why)) => return Err(refused(&shared.spec.path, format_args!("cannot be read: {why}"))),
            Err(why) => return Err(LoadError { again: true, ..refused(&shared.spec.path, why) }),
        }
    };
    if stamp(path).await != before {
        return Err(refused(path, "it changed while it was read; it is loaded once it stays the same"));
    }
    Ok(File { bytes: file, digest, image: None })
}

/// Makes the file's component run once; `step` is told how far it is.
pub(crate) async fn prepare(
    host: &PluginHost,
    shared: &Arc<Shared>,
    file: File,
    number: u64,
    step: impl Fn(LoadStep) + Sync,
) -> Result<Generation, LoadError> {
    let path = &shared.spec.path;
    let File { bytes, digest, .. } = file;
    if let Some(pin) = shared.spec.pin()
        && pin != digest.hex()
    {
        return Err(refused(
            path,
            format_args!(
                "its SHA-256 is {}, the configuration pins {pin} (key `sha256`); restore the pinned file, or pin the new one",
                digest.hex()
            ),
        ));
    }
    world::sniff(&bytes).map_err(|why| refused(path, why))?;
    step(LoadStep::Compiling);
    let component = match host.cached(&digest).await {
        Some(component) => component,
        None => {
            let (plugin, bytes_of_file) = (&shared.spec.name, bytes.len());
            tracing::info!(plugin, bytes = bytes_of_file, "the plugin is being compiled, once for each file");
            let artefact = host.compile(bytes).await.map_err(|why| LoadError { again: why.may_pass(), ..refused(path, why) })?;
            host.keep(digest, artefact).await.map_err(|why| LoadError { again: true, ..refused(path, format_args!("{why:#}")) })?
        }
    };
    let shape = world::recognise(host.engine(), &component).map_err(|why| refused(path, why))?;
    let linked = contract::bind(host.linker(), &component, &shape).map_err(|why| {
        refused(path, format_args!("it does not fit this relay: {why:#}; this relay offers WASI 0.2, wasi:http and flagpost:plugin@0.1.0"))
    })?;
    step(LoadStep::Trying);
    // What is wrong with a certificate's file may be right a little later.
    shared.outbound.warm_up().await.map_err(|why| LoadError { again: true, ..refused(path, why) })?;
    let description = describe::ask(&*linked, shared)
        .await
        .map_err(|why| LoadError { again: why.may_pass(), ..refused(path, format_args!("asked for its description, it {why}")) })?;
    describe::check_kinds(&description, &shared.spec).map_err(|why| refused(path, why))?;
    let diagnostics = describe::check_config(&description, shared).await.map_err(|why| refused(path, why))?;
    if !diagnostics.is_empty() {
        return Err(refused_configuration(path, diagnostics));
    }
    let encoder = host.payloads().register(description.encoding, shared.spec.streams());
    Generation::try_out(number, digest, (shape, description), linked, encoder, Arc::clone(shared)).await.map_err(|why| match why {
        CallFailure::Configuration { diagnostics } => refused_configuration(path, diagnostics),
        why => LoadError { again: why.may_pass(), ..refused(path, format_args!("tried out, it {why}")) },
    })
}
