//! `flagpost:plugin/exporter@0.1.x`: two functions, typed events.

use async_trait::async_trait;
use flagpost_event::EventBatch;
use flagpost_plugin_bindings::{Plugin, PluginPre};
use wasmtime::component::InstancePre;
use wasmtime::{Engine, Store};

use super::{Answer, Description, Guest, Linked, Remark};
use crate::guest::GuestState;
use crate::payload::Payload;

pub(super) fn link(pre: InstancePre<GuestState>) -> wasmtime::Result<impl Linked> {
    PluginPre::new(pre)
}

#[async_trait]
impl Linked for PluginPre<GuestState> {
    fn engine(&self) -> &Engine {
        PluginPre::engine(self)
    }

    fn describes(&self) -> bool {
        false
    }

    async fn instantiate(&self, store: &mut Store<GuestState>) -> wasmtime::Result<Box<dyn Guest>> {
        Ok(Box::new(self.instantiate_async(store).await?))
    }
}

#[async_trait]
impl Guest for Plugin {
    async fn describe(&self, _: &mut Store<GuestState>) -> wasmtime::Result<Description> {
        Ok(Description::default())
    }

    /// It asks for its configuration itself, through `config`.
    async fn configure(&self, _: &mut Store<GuestState>, _: &str) -> wasmtime::Result<Vec<Remark>> {
        Ok(Vec::new())
    }

    async fn is_bulk(&self, store: &mut Store<GuestState>) -> wasmtime::Result<bool> {
        self.flagpost_plugin_exporter().call_is_bulk(store).await
    }

    async fn export(&self, store: &mut Store<GuestState>, _: &EventBatch, payload: &Payload) -> wasmtime::Result<Answer> {
        match payload {
            Payload::Typed(events) => self.flagpost_plugin_exporter().call_export(store, events).await,
            Payload::Json { .. } => wasmtime::bail!("the interface takes typed events only"),
        }
    }

    async fn close(&self, _: &mut Store<GuestState>) -> wasmtime::Result<()> {
        Ok(())
    }
}
