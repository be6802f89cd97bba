//! What guests can import: all of WASI 0.2, wasi:http, and our own interfaces. Linking grants nothing: toolchains import more than a plugin uses, and every
//! capability is refused where it is used unless the configuration grants it.

use flagpost_plugin_bindings::Plugin;
use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker};

use super::GuestState;

/// The linker for every plugin.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<GuestState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    Plugin::add_to_linker::<_, HasSelf<_>>(&mut linker, |state: &mut GuestState| state)?;
    Ok(linker)
}
