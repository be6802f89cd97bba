//! What guests can import: all of WASI 0.2, wasi:http, wasi:config, and our own interfaces. Linking grants nothing: toolchains import more
//! than a plugin uses, and every capability is refused where it is used unless the configuration grants it.

use flagpost_plugin_bindings::Plugin;
use wasmtime::component::{ComponentType, HasSelf, Lift, Linker, Lower};
use wasmtime::{Engine, StoreContextMut};

use flagpost_plugin_bindings::flagpost::plugin::log;

use super::GuestState;
use super::sockets;

/// `wasi:config/store` is still a proposal, and wasmtime matches versions before a release exactly: the two that toolchains ship.
const CONFIG_STORES: [&str; 2] = ["wasi:config/store@0.2.0-rc.1", "wasi:config/store@0.2.0-draft"];

/// `wasi:logging` is a proposal, too, and never had a release: with its draft's version, and without one.
const LOGGING: [&str; 2] = ["wasi:logging/logging@0.1.0-draft", "wasi:logging/logging"];

/// The linker for every plugin.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<GuestState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    Plugin::add_to_linker::<_, HasSelf<_>>(&mut linker, |state: &mut GuestState| state)?;
    sockets::add_to_linker(&mut linker)?;
    for name in CONFIG_STORES {
        add_config_store(&mut linker, name)?;
    }
    for name in LOGGING {
        add_logging(&mut linker, name)?;
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

/// The proposal's levels.
#[derive(Clone, Copy, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "read out of a guest's memory")]
enum LogLevel {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
    #[component(name = "critical")]
    Critical,
}

/// The same as our `log`; a context goes in front of the message.
fn add_logging(linker: &mut Linker<GuestState>, name: &str) -> wasmtime::Result<()> {
    let log = |guest: StoreContextMut<'_, GuestState>, (level, context, message): (LogLevel, String, String)| {
        let level = match level {
            LogLevel::Trace => log::Level::Trace,
            LogLevel::Debug => log::Level::Debug,
            LogLevel::Info => log::Level::Info,
            LogLevel::Warn => log::Level::Warn,
            LogLevel::Error | LogLevel::Critical => log::Level::Error,
        };
        let message = if context.is_empty() { message } else { format!("{context}: {message}") };
        guest.data().output.log(level, &message);
        Ok(())
    };
    linker.instance(name)?.func_wrap("log", log)
}

fn text(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
