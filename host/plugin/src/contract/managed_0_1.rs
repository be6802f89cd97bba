//! `flagpost:plugin/managed-exporter@0.1.x`.
//!
//! The records are written down here instead of being generated, because of one of them: a generated batch owns its payload, which would be
//! copied for each plugin and attempt before it is copied into the guest. Here it is lent. wasmtime compares these types with the component's
//! when an instance is made, so one that differs from `wit/flagpost.wit` is an error of the trial, never of a batch.

use async_trait::async_trait;
use flagpost_event::{EventBatch, EventKind};
use flagpost_plugin_bindings::exports::flagpost::plugin::exporter::{Event, ExportError};
use wasmtime::component::{Component, ComponentExportIndex, ComponentType, Func, InstancePre, Lift, Lower, TypedFunc};
use wasmtime::{Engine, Store, format_err};

use super::{Answer, Description, Guest, Linked, Remark, word};
use crate::guest::GuestState;
use crate::payload::{Encoding, Payload};

#[derive(Clone, Copy, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
enum WitKind {
    #[component(name = "feature")]
    Feature,
    #[component(name = "tracking")]
    Tracking,
}

#[derive(Clone, Copy, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "read out of a guest's memory")]
enum WitEncoding {
    #[component(name = "typed")]
    Typed,
    #[component(name = "json-array")]
    JsonArray,
    #[component(name = "json-lines")]
    JsonLines,
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct Descriptor {
    name: String,
    version: String,
    #[component(name = "config-schema")]
    config_schema: String,
    kinds: Vec<WitKind>,
    encoding: WitEncoding,
    #[component(name = "max-events")]
    max_events: u32,
    #[component(name = "max-bytes")]
    max_bytes: u32,
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct Diagnostic {
    path: String,
    message: String,
}

#[derive(Clone, Copy, ComponentType, Lower)]
#[component(variant)]
enum WitPayload<'a> {
    #[component(name = "typed")]
    Typed(&'a [Event]),
    #[component(name = "json-array")]
    JsonArray(&'a str),
    #[component(name = "json-lines")]
    JsonLines(&'a str),
}

#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
struct Batch<'a> {
    id: &'a str,
    attempt: u32,
    count: u32,
    kind: WitKind,
    payload: WitPayload<'a>,
}

/// Where the five functions are in a component.
struct Managed {
    pre: InstancePre<GuestState>,
    describe: ComponentExportIndex,
    configure: ComponentExportIndex,
    is_bulk: ComponentExportIndex,
    export: ComponentExportIndex,
    close: ComponentExportIndex,
}

pub(super) fn link(pre: InstancePre<GuestState>, component: &Component, interface: &str) -> wasmtime::Result<impl Linked + use<>> {
    let exports = component.get_export_index(None, interface).ok_or_else(|| format_err!("it does not export `{interface}`"))?;
    let find = |name: &str| {
        component.get_export_index(Some(&exports), name).ok_or_else(|| format_err!("its `{interface}` has no function `{name}`"))
    };
    Ok(Managed {
        describe: find("describe")?,
        configure: find("configure")?,
        is_bulk: find("is-bulk")?,
        export: find("export")?,
        close: find("close")?,
        pre,
    })
}

#[async_trait]
impl Linked for Managed {
    fn engine(&self) -> &Engine {
        self.pre.engine()
    }

    fn describes(&self) -> bool {
        true
    }

    async fn instantiate(&self, store: &mut Store<GuestState>) -> wasmtime::Result<Box<dyn Guest>> {
        let instance = self.pre.instantiate_async(&mut *store).await?;
        let export = instance.get_func(&mut *store, self.export).ok_or_else(|| format_err!("`export` is no function"))?;
        // Tried here, so that a wrong type is known before the first batch.
        export.typed::<(Batch<'_>,), (Result<(), ExportError>,)>(&*store)?;
        Ok(Box::new(Bound {
            describe: instance.get_typed_func(&mut *store, self.describe)?,
            configure: instance.get_typed_func(&mut *store, self.configure)?,
            is_bulk: instance.get_typed_func(&mut *store, self.is_bulk)?,
            close: instance.get_typed_func(&mut *store, self.close)?,
            export,
        }))
    }
}

/// The functions of one instance.
struct Bound {
    describe: TypedFunc<(), (Descriptor,)>,
    configure: TypedFunc<(String,), (Result<(), Vec<Diagnostic>>,)>,
    is_bulk: TypedFunc<(), (bool,)>,
    export: Func,
    close: TypedFunc<(), ()>,
}

#[async_trait]
impl Guest for Bound {
    async fn describe(&self, store: &mut Store<GuestState>) -> wasmtime::Result<Description> {
        Ok(self.describe.call_async(store, ()).await?.0.into())
    }

    async fn configure(&self, store: &mut Store<GuestState>, config: &str) -> wasmtime::Result<Vec<Remark>> {
        let (answer,) = self.configure.call_async(store, (config.to_owned(),)).await?;
        Ok(match answer {
            Ok(()) => Vec::new(),
            // Refused without a word is refused, too.
            Err(said) if said.is_empty() => {
                vec![Remark { path: String::new(), message: "the plugin refuses it and gives no reason".to_owned() }]
            }
            Err(said) => said.into_iter().map(|said| Remark { path: said.path, message: said.message }).collect(),
        })
    }

    async fn is_bulk(&self, store: &mut Store<GuestState>) -> wasmtime::Result<bool> {
        Ok(self.is_bulk.call_async(store, ()).await?.0)
    }

    async fn export(&self, store: &mut Store<GuestState>, batch: &EventBatch, payload: &Payload) -> wasmtime::Result<Answer> {
        let payload = match payload {
            Payload::Typed(events) => WitPayload::Typed(events),
            Payload::Json { text, array: true } => WitPayload::JsonArray(text),
            Payload::Json { text, array: false } => WitPayload::JsonLines(text),
        };
        let batch = Batch {
            id: batch.id().as_str(),
            attempt: batch.attempt(),
            count: u32::try_from(batch.len()).unwrap_or(u32::MAX),
            kind: batch.kind().into(),
            payload,
        };
        let export = self.export.typed::<(Batch<'_>,), (Result<(), ExportError>,)>(&*store)?;
        Ok(export.call_async(store, (batch,)).await?.0)
    }

    async fn close(&self, store: &mut Store<GuestState>) -> wasmtime::Result<()> {
        self.close.call_async(store, ()).await
    }
}

impl From<Descriptor> for Description {
    fn from(said: Descriptor) -> Self {
        let title = [word(&said.name), word(&said.version)].join(" ").trim().to_owned();
        let asked = |number: u32| usize::try_from(number).ok().filter(|number| *number > 0);
        let mut kinds: Vec<EventKind> = Vec::new();
        for kind in said.kinds {
            if !kinds.contains(&kind.into()) {
                kinds.push(kind.into());
            }
        }
        Description {
            title: Some(title).filter(|title| !title.is_empty()),
            config_schema: Some(said.config_schema),
            kinds,
            encoding: match said.encoding {
                WitEncoding::Typed => Encoding::Typed,
                WitEncoding::JsonArray => Encoding::JsonArray,
                WitEncoding::JsonLines => Encoding::JsonLines,
            },
            max_events: asked(said.max_events),
            max_bytes: asked(said.max_bytes),
        }
    }
}

impl From<WitKind> for EventKind {
    fn from(kind: WitKind) -> Self {
        match kind {
            WitKind::Feature => EventKind::Feature,
            WitKind::Tracking => EventKind::Tracking,
        }
    }
}

impl From<EventKind> for WitKind {
    fn from(kind: EventKind) -> Self {
        match kind {
            EventKind::Feature => WitKind::Feature,
            EventKind::Tracking => WitKind::Tracking,
        }
    }
}
