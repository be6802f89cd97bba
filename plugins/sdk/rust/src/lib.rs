//! Custom exporters for flagpost in Rust: the contract of `wit/flagpost.wit` with what most exporters need around it.
//!
//! Two traits, one for each interface. [`Exporter`] is two functions. [`Managed`] also describes itself and is configured by a type
//! ([`config!`]), whose JSON Schema the relay checks the operator's `config:` with; its events come as one text by default, which costs a
//! guest a fraction of what records do. [`export!`] and [`export_managed!`] make a type the plugin.
//!
//! ```ignore
//! use flagpost_sdk::{Event, ExportError, Exporter, Request, json};
//!
//! struct Acme;
//! flagpost_sdk::export!(Acme);
//!
//! impl Exporter for Acme {
//!     fn export(events: Vec<Event>) -> Result<(), ExportError> {
//!         let rows: Vec<_> = events.iter().map(json).collect();
//!         Request::post("https://in.acme.dev/v1/events").json(&rows).send()?.delivered()
//!     }
//! }
//! ```

#![deny(missing_docs)]

#[doc(hidden)]
#[allow(missing_docs)]
pub mod bare {
    wit_bindgen::generate!({
        path: "../../../wit",
        world: "plugin",
        pub_export_macro: true,
        export_macro_name: "export_bare",
        default_bindings_module: "flagpost_sdk::bare",
    });
}

#[doc(hidden)]
#[allow(missing_docs)]
pub mod managed {
    wit_bindgen::generate!({
        path: "../../../wit",
        world: "managed-plugin",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_full",
        default_bindings_module: "flagpost_sdk::managed",
        with: {
            "flagpost:plugin/events@0.1.0": crate::bare::flagpost::plugin::events,
            "flagpost:plugin/log@0.1.0": crate::bare::flagpost::plugin::log,
            "flagpost:plugin/http@0.1.0": crate::bare::flagpost::plugin::http,
            "flagpost:plugin/secrets@0.1.0": crate::bare::flagpost::plugin::secrets,
            "flagpost:plugin/metrics@0.1.0": crate::bare::flagpost::plugin::metrics,
            "flagpost:plugin/key-value@0.1.0": crate::bare::flagpost::plugin::key_value,
        },
    });
}

mod batch;
mod config;
mod event;
mod http;
mod plugin;

pub use bare::flagpost::plugin::events::{Event, ExportError, FeatureEvent, PartialFailure, RejectedEvent, RetryLater, TrackingEvent};
pub use bare::flagpost::plugin::{call, key_value, log, metrics, secrets};
pub use batch::Tally;
pub use config::{Config, Schema, address, complaint, credential, read, revealed};
pub use event::{fields, iso, json, quoted};
pub use http::{Reply, Request};
pub use managed::exports::flagpost::plugin::managed_exporter::{Batch, Diagnostic, Encoding, EventKind, Payload};
pub use plugin::{Exporter, Managed, misconfigured, rejected, retryable};

#[doc(hidden)]
pub mod macros {
    pub use serde;
    pub use serde_json;

    pub use crate::config::assert_schema_file;
    pub use crate::plugin::{configure, describe};
}
