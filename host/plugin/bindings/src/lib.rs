//! Rust bindings of the contract in `wit/flagpost.wit`. Nothing else is here: the macro takes a minute to compile, and this crate changes
//! only with the contract.
//!
//! `http.send` waits for the network, so it is async; every import may end the call (a limit was hit), so all are trappable.

#![allow(missing_docs, unreachable_pub, reason = "generated code")]

wasmtime::component::bindgen!({
    path: "../../../wit",
    world: "plugin",
    imports: { "flagpost:plugin/http.send": async | trappable, default: trappable },
    exports: { default: async },
});
