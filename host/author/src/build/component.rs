//! Core modules into components, and the note of who made one.

use wasi_preview1_component_adapter_provider::{WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER};
use wasm_metadata::Producers;
use wit_component::ComponentEncoder;

use super::{BuildError, Job};
use crate::Language;
use crate::contract::{self, ENCODING};

/// A core module for WASI 0.1, written against the job's world, as a component. WASI 0.1 is served by wasmtime's own adapter.
pub(super) fn of_module(job: &Job<'_>, mut module: Vec<u8>) -> Result<Vec<u8>, BuildError> {
    let fail = |why| BuildError::Component { reason: format!("{why:#}") };
    let (resolve, world) = contract::world(job.wit, job.world).map_err(|reason| contract_error(job, reason))?;
    wit_component::embed_component_metadata(&mut module, &resolve, world, ENCODING, false).map_err(fail)?;
    let mut encoder = ComponentEncoder::default();
    encoder.validate(true).module(&module).map_err(fail)?;
    encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER).map_err(fail)?;
    encoder.encode().map_err(fail)
}

pub(super) fn contract_error(job: &Job<'_>, reason: String) -> BuildError {
    BuildError::Contract { path: job.wit.to_owned(), world: job.world.to_owned(), reason }
}

/// The component with its language noted, which most toolchains leave out; `flagpost plugin inspect` shows it.
pub(super) fn signed(component: &[u8], language: Language) -> Result<Vec<u8>, BuildError> {
    let mut producers = Producers::empty();
    producers.add("language", &language.to_string(), "");
    producers.add("processed-by", "flagpost", env!("CARGO_PKG_VERSION"));
    producers.add_to_wasm(component).map_err(|why| BuildError::Component { reason: format!("{why:#}") })
}
