//! The exporter interfaces of `wit/`, one adapter module each, behind one trait: a generation does not know which of them its plugin
//! exports. A new interface, or a new version of one, is another module here and another line in [`bind`]; nothing else changes.
//!
//! | module | interface |
//! |---|---|
//! | [`exporter_0_1`] | `exporter`: two functions |
//! | [`managed_0_1`] | `managed-exporter`: describes itself, is configured, takes identified batches in the encoding it asks for |
//!
//! The records of `events@0.1.0` are the common tongue: both interfaces use them. A version with other records converts to and from these.

mod exporter_0_1;
mod managed_0_1;

use async_trait::async_trait;
use flagpost_event::{EventBatch, EventKind};
use flagpost_plugin_bindings::exports::flagpost::plugin::exporter as wit;
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store};

use crate::guest::{GuestState, printable};
use crate::payload::{Encoding, Payload};
use crate::text::cut;
use crate::world::{Interface, Shape};

/// What a component answers to a batch, in the words of `events@0.1.0`.
pub(crate) type Answer = Result<(), wit::ExportError>;

/// A component whose imports are linked: instances are made of it.
#[async_trait]
pub(crate) trait Linked: Send + Sync {
    fn engine(&self) -> &Engine;

    /// Whether its instances describe themselves.
    fn describes(&self) -> bool;

    /// Makes an instance in `store`. Its exports are checked against the interface here.
    async fn instantiate(&self, store: &mut Store<GuestState>) -> wasmtime::Result<Box<dyn Guest>>;
}

/// The functions of one instance. Every call goes into the store it was made in.
#[async_trait]
pub(crate) trait Guest: Send + Sync {
    /// What the plugin says about itself; interfaces without a description have the default one.
    async fn describe(&self, store: &mut Store<GuestState>) -> wasmtime::Result<Description>;

    /// Hands the configuration over; what the plugin does not like about it.
    async fn configure(&self, store: &mut Store<GuestState>, config: &str) -> wasmtime::Result<Vec<Remark>>;

    /// Whether it takes batches.
    async fn is_bulk(&self, store: &mut Store<GuestState>) -> wasmtime::Result<bool>;

    /// Delivers a batch, whose payload is in the encoding of the description.
    async fn export(&self, store: &mut Store<GuestState>, batch: &EventBatch, payload: &Payload) -> wasmtime::Result<Answer>;

    /// Says that nothing more comes.
    async fn close(&self, store: &mut Store<GuestState>) -> wasmtime::Result<()>;
}

/// What a plugin says about itself, cut to what is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Description {
    /// The author's name for it and its version; `None`: it gave none, or its interface has no description.
    pub(crate) title: Option<String>,
    /// JSON Schema of `config:`. `None`: the interface knows no schema, any configuration goes; empty: it takes none.
    pub(crate) config_schema: Option<String>,
    /// The kinds it takes. Empty: all.
    pub(crate) kinds: Vec<EventKind>,
    pub(crate) encoding: Encoding,
    /// Events per call that it asks for.
    pub(crate) max_events: Option<usize>,
    /// Bytes of lines per call that it asks for.
    pub(crate) max_bytes: Option<usize>,
}

impl Default for Description {
    /// What is taken for granted of a plugin that says nothing.
    fn default() -> Self {
        Description { title: None, config_schema: None, kinds: Vec::new(), encoding: Encoding::Typed, max_events: None, max_bytes: None }
    }
}

/// One complaint of a plugin about its configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remark {
    /// `endpoint`, `retry.max`, `hosts[2]`; empty: the whole.
    pub(crate) path: String,
    pub(crate) message: String,
}

/// Bytes of a plugin's name or version.
const MAX_TITLE: usize = 100;

/// One word out of a guest's mouth: a line, bounded.
fn word(text: &str) -> String {
    cut(&printable(text.as_bytes()), MAX_TITLE)
}

/// Links the component's imports and finds its interface's functions. The error is for whoever built it.
pub(crate) fn bind(linker: &Linker<GuestState>, component: &Component, shape: &Shape) -> wasmtime::Result<Box<dyn Linked>> {
    let pre = linker.instantiate_pre(component)?;
    Ok(match shape.kind {
        Interface::Exporter => Box::new(exporter_0_1::link(pre)?),
        Interface::Managed => Box::new(managed_0_1::link(pre, component, &shape.interface)?),
    })
}
