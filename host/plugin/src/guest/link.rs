//! What guests can import: all of WASI 0.2, wasi:http, wasi:config, and our own interfaces. Linking grants nothing: toolchains import more
//! than a plugin uses, and every capability is refused where it is used unless the configuration grants it.

use flagpost_plugin_bindings::Plugin;
use wasmtime::component::{ComponentType, HasSelf, Lift, Linker, Lower};
use wasmtime::{Engine, StoreContextMut};

use super::GuestState;

/// `wasi:config/store` is still a proposal, and wasmtime matches versions before a release exactly: the two that toolchains ship.
const CONFIG_STORES: [&str; 2] = ["wasi:config/store@0.2.0-rc.1", "wasi:config/store@0.2.0-draft"];

/// The linker for every plugin.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<GuestState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    Plugin::add_to_linker::<_, HasSelf<_>>(&mut linker, |state: &mut GuestState| state)?;
    for name in CONFIG_STORES {
        add_config_store(&mut linker, name)?;
    }
    Ok(linker)
}

/// The proposal's error; ours is a map in memory and has none.
#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum ConfigError {
    #[component(name = "upstream")]
    Upstream(String),
    #[component(name = "io")]
    Io(String),
}

/// The same configuration as the interface `config`, by key: strings as they are, anything else as JSON text.
fn add_config_store(linker: &mut Linker<GuestState>, name: &str) -> wasmtime::Result<()> {
    let mut store = linker.instance(name)?;
    store.func_wrap("get", |guest: StoreContextMut<'_, GuestState>, (key,): (String,)| {
        let value = guest.data().shared.spec.config.get(&key).map(text);
        Ok((Ok::<Option<String>, ConfigError>(value),))
    })?;
    store.func_wrap("get-all", |guest: StoreContextMut<'_, GuestState>, (): ()| {
        let config = guest.data().shared.spec.config.as_object();
        let pairs = config.into_iter().flatten().map(|(key, value)| (key.clone(), text(value))).collect();
        Ok((Ok::<Vec<(String, String)>, ConfigError>(pairs),))
    })
}

fn text(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
