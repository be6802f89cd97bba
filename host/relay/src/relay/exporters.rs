//! The exporters that run, and what has to be done so that others do.
//!
//! An exporter of the next configuration that does what a running one does *is* that one: its object is kept, whatever the reload just
//! built from the file is dropped unused. So a reload touches only what it changes; where merely the way of serving changed, a worker begins
//! anew on the same exporter, and where merely its backlog did, not even that.

use std::path::PathBuf;
use std::sync::Arc;

use flagpost_delivery::{Policy, TaskSpec};
use flagpost_event::{Clock, EventKind, StreamName};
use flagpost_exporter::{Exporter, Readiness};
use flagpost_plugin::{Compiler, HostOptions, PluginHost, WasmExporter};
use flagpost_spool::Identity;

use super::StartError;
use crate::config::{ExporterConfig, Target};
use crate::http::Plugin;
use crate::process;

/// An exporter with what it was made of.
#[derive(Clone)]
pub(super) struct Running {
    pub(super) config: ExporterConfig,
    pub(super) exporter: Arc<dyn Exporter>,
    pub(super) plugin: Option<Arc<WasmExporter>>,
}

impl Running {
    /// One task per stream.
    pub(super) fn specs(&self) -> impl Iterator<Item = TaskSpec> {
        self.streams().map(|(identity, stream)| TaskSpec {
            identity,
            kind: self.config.kind.clone(),
            stream,
            exporter: self.exporter.clone(),
            policy: self.config.policy.clone(),
        })
    }

    /// What its cursors belong to.
    pub(super) fn streams(&self) -> impl Iterator<Item = (Identity, StreamName)> {
        let identity = &self.config.identity;
        self.config.events.iter().map(|kind| (identity.clone(), StreamName::new(identity.flag_set.as_str(), *kind)))
    }

    /// As metrics and health routes show it.
    pub(super) fn as_plugin(&self) -> Option<Plugin> {
        let exporter = self.plugin.clone()?;
        Some(Plugin { identity: self.config.identity.clone(), events: self.config.events.clone(), exporter })
    }

    /// Whether they read a stream under one name: the one that comes takes the place of the one that is there.
    fn is_in_place_of(&self, other: &Running) -> bool {
        let shares = |kind: &EventKind| other.config.events.contains(kind);
        self.config.identity == other.config.identity && self.config.events.iter().any(shares)
    }

    /// Waits until a plugin is ready, or cannot run: why.
    async fn settled(&self) -> Result<(), String> {
        let Some(mut readiness) = self.plugin.as_ref().and_then(|plugin| plugin.readiness()) else { return Ok(()) };
        let settled = readiness.wait_for(|now| *now != Readiness::Preparing).await.map(|now| now.clone());
        match settled {
            Ok(Readiness::Invalid { reason }) => Err(reason),
            _ => Ok(()),
        }
    }

    fn is_ready(&self) -> bool {
        let readiness = self.plugin.as_ref().and_then(|plugin| plugin.readiness());
        readiness.is_none_or(|readiness| matches!(*readiness.borrow(), Readiness::Ready { .. }))
    }
}

/// What becomes of an exporter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    Kept,
    /// Only how much may wait for it.
    Backlog,
    /// Only how it is served: another worker on the same exporter.
    Policy,
    /// It is another one than before.
    Replaced,
    /// There was none.
    Added,
}

/// An exporter of the next configuration.
pub(super) struct Next {
    pub(super) running: Running,
    pub(super) change: Change,
}

/// Makes exporters.
pub(super) struct Workshop {
    pub(super) cache: PathBuf,
    pub(super) state: Option<PathBuf>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) compiler: Compiler,
    pub(super) work: tokio::runtime::Handle,
    pub(super) host: Option<Arc<PluginHost>>,
}

impl Workshop {
    /// What the next configuration's exporters are, given those that run. Nothing that runs is touched.
    pub(super) fn plan(&mut self, running: &[Running], next: Vec<ExporterConfig>) -> Result<Vec<Next>, StartError> {
        next.into_iter().map(|config| self.next(running, config)).collect()
    }

    fn next(&mut self, running: &[Running], config: ExporterConfig) -> Result<Next, StartError> {
        if let Some(same) = running.iter().find(|running| running.config.does_the_same(&config)) {
            let change = change(&same.config.policy, &config.policy);
            // What it was made of stays with it: an embedding program's own exporter is known by its object.
            let config = ExporterConfig { target: same.config.target.clone(), ..config };
            return Ok(Next { running: Running { config, ..same.clone() }, change });
        }
        let made = self.make(config)?;
        let replaces = running.iter().any(|before| made.is_in_place_of(before));
        Ok(Next { running: made, change: if replaces { Change::Replaced } else { Change::Added } })
    }

    fn make(&mut self, config: ExporterConfig) -> Result<Running, StartError> {
        match config.target.clone() {
            Target::Native(exporter) => Ok(Running { config, exporter, plugin: None }),
            Target::Wasm(spec) => {
                let plugin = self.host()?.load(*spec)?;
                Ok(Running { config, exporter: plugin.clone(), plugin: Some(plugin) })
            }
        }
    }

    /// A relay without plugins has no engine.
    fn host(&mut self) -> Result<&Arc<PluginHost>, StartError> {
        let host = match self.host.take() {
            Some(host) => host,
            None => PluginHost::start(HostOptions {
                memory_budget: process::memory_limit() / 4 * 3,
                clock: self.clock.clone(),
                state_dir: self.state.clone(),
                ..HostOptions::new(self.cache.clone(), self.compiler.clone(), self.work.clone())
            })?,
        };
        Ok(self.host.insert(host))
    }
}

/// Waits for plugins that must run before anything is changed: those that take the place of one that runs, so that nobody waits while they
/// compile and a bad one changes nothing; with `required` (`plugins.required`) all of them.
pub(super) async fn prepared(running: &[Running], next: &[Next], required: bool) -> Result<(), StartError> {
    for Next { running: made, change } in next {
        let takes_over = *change == Change::Replaced && running.iter().any(|before| made.is_in_place_of(before) && before.is_ready());
        if !(takes_over || required && *change == Change::Added) {
            continue;
        }
        made.settled().await.map_err(|reason| {
            let exporter = made.config.identity.exporter.clone();
            if takes_over { StartError::PluginNotTaken { exporter, reason } } else { StartError::PluginInvalid { exporter, reason } }
        })?;
    }
    Ok(())
}

fn change(before: &Policy, next: &Policy) -> Change {
    let but_for_backlog = Policy { max_backlog: before.max_backlog, when_full: before.when_full, ..next.clone() };
    match (before == next, *before == but_for_backlog) {
        (true, _) => Change::Kept,
        (false, true) => Change::Backlog,
        (false, false) => Change::Policy,
    }
}
