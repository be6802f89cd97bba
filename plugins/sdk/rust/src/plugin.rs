//! The two kinds of plugins, and how a type becomes one.

use crate::managed::exports::flagpost::plugin::managed_exporter as wire;
use crate::{Batch, Config, Diagnostic, Encoding, Event, EventKind, ExportError, RetryLater};

/// A plugin of two functions.
pub trait Exporter {
    /// Whether it takes batches, and not single events.
    fn is_bulk() -> bool {
        true
    }

    /// Delivers the events. `Ok` means: all of them are safe at the destination. No memory between calls is promised.
    fn export(events: Vec<Event>) -> Result<(), ExportError>;
}

/// A plugin that describes itself and is configured.
pub trait Managed: Sized + 'static {
    /// Its `config:`; `()` takes none.
    type Config: Config;
    /// Its name, for operators.
    const NAME: &'static str;
    /// Its version, for operators.
    const VERSION: &'static str = "0.1.0";
    /// How its events come. One text costs a guest a fraction of what records do.
    const ENCODING: Encoding = Encoding::JsonArray;
    /// The kinds of events it takes; none: both.
    const KINDS: &'static [EventKind] = &[];
    /// Whether it takes batches, and not single events.
    const BULK: bool = true;
    /// Most events of a call; 0: the host's default.
    const MAX_EVENTS: u32 = 0;
    /// Most bytes of a call; 0: the host's default.
    const MAX_BYTES: u32 = 0;

    /// Takes its configuration, which fits the schema. Complaints are for what can never work, and name the key.
    fn new(config: Self::Config) -> Result<Self, Vec<Diagnostic>>;

    /// Delivers the batch. `Ok` means: all of its events are safe at the destination. `self` may hold caches, never events. The batch is the
    /// plugin's own: a payload that goes out as it came need not be copied.
    fn export(&self, batch: Batch) -> Result<(), ExportError>;

    /// Nothing more comes. May never be called.
    fn close(&self) {}
}

/// The same events again.
pub fn retryable(reason: impl Into<String>) -> ExportError {
    ExportError::Retryable(RetryLater { reason: reason.into(), after_ms: None })
}

/// The destination will never take this batch as it is.
pub fn rejected(why: impl Into<String>) -> ExportError {
    ExportError::Rejected(why.into())
}

/// Nothing can be delivered until an operator changes something.
pub fn misconfigured(what: impl Into<String>) -> ExportError {
    ExportError::Misconfigured(what.into())
}

#[doc(hidden)]
pub fn describe<T: Managed>() -> wire::Descriptor {
    wire::Descriptor {
        name: T::NAME.to_owned(),
        version: T::VERSION.to_owned(),
        config_schema: T::Config::schema().to_string(),
        kinds: T::KINDS.to_vec(),
        encoding: T::ENCODING,
        max_events: T::MAX_EVENTS,
        max_bytes: T::MAX_BYTES,
    }
}

#[doc(hidden)]
pub fn configure<T: Managed>(json: &str) -> Result<T, Vec<Diagnostic>> {
    let config = serde_json::from_str(json).map_err(|why| vec![Diagnostic { path: String::new(), message: why.to_string() }])?;
    T::new(config)
}

/// Makes an [`Exporter`] the plugin. Once per component.
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        const _: () = {
            struct Glue;
            impl $crate::bare::exports::flagpost::plugin::exporter::Guest for Glue {
                fn export(events: ::std::vec::Vec<$crate::Event>) -> ::core::result::Result<(), $crate::ExportError> {
                    <$plugin as $crate::Exporter>::export(events)
                }

                fn is_bulk() -> bool {
                    <$plugin as $crate::Exporter>::is_bulk()
                }
            }
    $crate::bare::export_bare!(Glue with_types_in $crate::bare);
        };
    };
}

/// Makes a [`Managed`] exporter the plugin. Once per component.
#[macro_export]
macro_rules! export_managed {
    ($plugin:ty) => {
        const _: () = {
            ::std::thread_local! {
                static PLUGIN: ::core::cell::OnceCell<$plugin> = const { ::core::cell::OnceCell::new() };
            }
            struct Glue;
            impl $crate::managed::exports::flagpost::plugin::managed_exporter::Guest for Glue {
                fn describe() -> $crate::managed::exports::flagpost::plugin::managed_exporter::Descriptor {
                    $crate::macros::describe::<$plugin>()
                }

                fn configure(config: ::std::string::String) -> ::core::result::Result<(), ::std::vec::Vec<$crate::Diagnostic>> {
                    let plugin = $crate::macros::configure::<$plugin>(&config)?;
                    // The host configures once.
                    PLUGIN.with(|cell| drop(cell.set(plugin)));
                    Ok(())
                }

                fn is_bulk() -> bool {
                    <$plugin as $crate::Managed>::BULK
                }

                fn export(batch: $crate::Batch) -> ::core::result::Result<(), $crate::ExportError> {
                    PLUGIN.with(|cell| match cell.get() {
                        Some(plugin) => $crate::Managed::export(plugin, batch),
                        None => Err($crate::misconfigured("it was not configured")),
                    })
                }

                fn close() {
                    PLUGIN.with(|cell| cell.get().map($crate::Managed::close).unwrap_or_default());
                }
            }
    $crate::managed::export_full!(Glue with_types_in $crate::managed);
        };
    };
}
