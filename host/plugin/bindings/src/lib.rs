//! Rust bindings of the contract in `wit/flagpost.wit`. Nothing else is here: the macro takes a minute to compile, and this crate changes
//! only with the contract.
//!
//! `http.send` waits for the network and `key-value` for the disk, so they are async; every import may end the call (a limit was hit), so all
//! are trappable. The world `plugin` holds every import there is; the exports of `managed-exporter` are written by hand beside their adapter.

#![allow(missing_docs, unreachable_pub, reason = "generated code")]

wasmtime::component::bindgen!({
    path: "../../../wit",
    world: "plugin",
    imports: {
        "flagpost:plugin/http.send": async | trappable,
        "flagpost:plugin/key-value.get": async | trappable,
        "flagpost:plugin/key-value.set": async | trappable,
        "flagpost:plugin/key-value.delete": async | trappable,
        "flagpost:plugin/key-value.list-keys": async | trappable,
        default: trappable,
    },
    exports: { default: async },
});
