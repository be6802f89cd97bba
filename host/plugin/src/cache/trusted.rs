//! The only `unsafe` of the plugin host: loading compiled code.
//!
//! `Component::deserialize` maps bytes as machine code; bytes of anyone else's making are arbitrary code in the relay. It is sound here
//! because an [`Artefact`] comes from two places only:
//!
//! * [`Artefact::verified`]: the caller checked an HMAC over the bytes under a key that only the relay's user can read, kept in a
//!   directory that only the relay's user can write. Whoever could forge that could as well replace the relay itself. The MAC is checked
//!   over the same memory that is loaded (not a file that is opened twice), and binds the bytes to the source's digest and to this
//!   engine's compatibility hash.
//! * [`Artefact::just_compiled`]: the relay's own compiler made the bytes, in this process or in a child that is the same program and
//!   wrote into that directory. A hostile *source* can at worst make the compiler fail: that its output is sound for any input is
//!   Cranelift's promise, the same that every `Component::new` rests on.

#![expect(unsafe_code, reason = "wasmtime's only way to load compiled code; the argument is above")]

use wasmtime::Engine;
use wasmtime::component::Component;

/// Compiled code that may be loaded.
pub(super) struct Artefact<'a>(&'a [u8]);

impl<'a> Artefact<'a> {
    /// Bytes whose MAC the caller has just checked.
    pub(super) fn verified(bytes: &'a [u8]) -> Self {
        Artefact(bytes)
    }

    /// Bytes that the relay's own compiler has just made.
    pub(super) fn just_compiled(bytes: &'a [u8]) -> Self {
        Artefact(bytes)
    }

    /// Maps the code. Another version's or target's artefact is an error, not undefined behaviour: wasmtime checks that itself.
    pub(super) fn load(self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: see the top of the file; `self` exists only for bytes of the relay's own making.
        unsafe { Component::deserialize(engine, self.0) }
    }
}
