//! What a running relay can change: exporters, keys, flag sets, bounds. Start and reload are the same step, from nothing and from something.
//!
//! The order is the point. **Build**: everything that can be wrong is found before anything is touched (flag sets, names, plugins that must
//! compile). **Swap**: new exporters first, so that their cursors are durable before the first event that is theirs is taken; then the
//! intakes and the keys, in one pointer each, so that no request sees half of a change; then those exporters end that are gone, and become
//! orphans. A changed exporter is one that ends its attempt, is closed, and whose plan the next one takes over. One that did not change is
//! not touched at all.
//!
//! What cannot change while the relay runs (ports, the store) is said per key and holds from the next start on; the rest of such a
//! configuration holds at once. A configuration that is wrong changes nothing.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use flagpost_delivery::{Delivery, DeliveryError};
use flagpost_event::{Clock, EventKind, StreamName};
use flagpost_spool::Identity;
use futures_util::future::join_all;

use super::builder::Additions;
use super::exporters::{Change, Next, Running, Workshop, prepared};
use super::restart::needs_restart;
use super::{StartError, store};
use crate::config::{AuthorizedKeys, Collector, Config, DEFAULT_FLAG_SET};
use crate::http::{Access, Info, Keys, Plugins};
use crate::intake::Intakes;
use crate::logging;
use crate::probe::Probes;
use crate::reloads::{Reloaded, Reloads};

/// Everything that a reload changes, as the rest of the relay sees it.
pub(crate) struct Live {
    pub(super) intakes: Arc<Intakes>,
    pub(super) keys: Arc<Keys>,
    pub(super) delivery: Arc<Delivery>,
    pub(super) plugins: Arc<Plugins>,
    pub(super) probes: Arc<Probes>,
    pub(super) limits: Arc<ArcSwap<Collector>>,
    pub(super) info: Arc<ArcSwap<Info>>,
    pub(super) reloads: Arc<Reloads>,
    pub(super) shutdown_timeout: ArcSwap<Duration>,
    clock: Arc<dyn Clock>,
    additions: Additions,
    state: tokio::sync::Mutex<State>,
}

/// What only one change at a time may touch.
struct State {
    workshop: Workshop,
    running: Vec<Running>,
    /// The configuration of the start.
    started: Config,
}

/// What a [`Live`] is made of.
pub(super) struct Parts {
    pub(super) intakes: Arc<Intakes>,
    pub(super) delivery: Arc<Delivery>,
    pub(super) workshop: Workshop,
    pub(super) additions: Additions,
}

impl Live {
    /// A relay with this configuration, and nothing of it in effect.
    pub(super) fn new(parts: Parts, started: Config) -> Live {
        let Parts { intakes, delivery, workshop, additions } = parts;
        let nobody = Access::new(&AuthorizedKeys::default(), &[], &intakes, [0; 32]);
        let clock = workshop.clock.clone();
        let probes = Arc::new(Probes::new(&delivery, clock.clone(), workshop.work.clone()));
        Live {
            intakes,
            keys: Arc::new(Keys::new(nobody)),
            delivery,
            plugins: Arc::default(),
            probes,
            limits: Arc::new(ArcSwap::from_pointee(started.collector.clone())),
            info: Arc::new(ArcSwap::from_pointee(info(&started, &*clock))),
            reloads: Arc::default(),
            shutdown_timeout: ArcSwap::from_pointee(started.shutdown_timeout),
            clock,
            additions,
            state: tokio::sync::Mutex::new(State { workshop, running: Vec::new(), started }),
        }
    }

    /// Puts the configuration of the start in effect.
    pub(super) async fn start(&self) -> Result<(), StartError> {
        let mut state = self.state.lock().await;
        let config = state.started.clone();
        self.apply(&mut state, config).await?;
        self.reloads.started(self.clock.unix_seconds());
        Ok(())
    }

    /// Puts another configuration in effect; when it cannot be, the one before goes on.
    pub(super) async fn reload(&self, mut config: Config) -> Result<Reloaded, StartError> {
        self.additions.apply(&mut config);
        let mut state = self.state.lock().await;
        match self.apply(&mut state, config).await {
            Ok(needs_restart) => Ok(self.reloads.applied(self.clock.unix_seconds(), needs_restart)),
            Err(error) => {
                self.reloads.refused(flagpost_exporter::chain(&error));
                Err(error)
            }
        }
    }

    async fn apply(&self, state: &mut State, config: Config) -> Result<Vec<String>, StartError> {
        check(&config)?;
        let next = state.workshop.plan(&state.running, config.exporters.clone())?;
        prepared(&state.running, &next, config.plugins_required).await?;

        self.delivery.set_bounds(store::budget(&config.buffer), config.buffer.keep_removed);
        self.intakes.gate().set(config.buffer.min_free, store::budget(&config.buffer));
        let (running, failed) = self.take(&state.running, next).await;
        state.running = running;
        self.plugins.replace(state.running.iter().filter_map(Running::as_plugin).collect());
        let probed = state.running.iter().map(|running| (&running.config.identity, &*running.config.events, &running.exporter));
        self.probes.replace(config.probes, probed);
        let configured: Vec<(Identity, StreamName)> = state.running.iter().flat_map(Running::streams).collect();
        self.intakes.replace(read_streams(&config, &configured));
        self.keys.replace(Access::new(&config.authorized_keys, &config.flag_sets, &self.intakes, rand::random()));
        self.limits.store(Arc::new(config.collector.clone()));
        self.info.store(Arc::new(info(&config, &*self.clock)));
        self.shutdown_timeout.store(Arc::new(config.shutdown_timeout));
        logging::set_level(config.log_level);
        self.delivery.retain(&configured).await?;
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(needs_restart(&state.started, &config)),
        }
    }

    /// Starts, replaces and changes workers, all at the same time. Where that fails, whoever ran before still does.
    async fn take(&self, before: &[Running], next: Vec<Next>) -> (Vec<Running>, Option<DeliveryError>) {
        let taking = next.into_iter().map(async |Next { running, change }| {
            match change {
                Change::Kept => {}
                Change::Backlog => {
                    for (identity, stream) in running.streams() {
                        let policy = &running.config.policy;
                        self.delivery.set_backlog(&identity, &stream, policy.max_backlog, policy.when_full);
                    }
                }
                Change::Policy | Change::Replaced | Change::Added => {
                    for spec in running.specs() {
                        if let Err(error) = self.delivery.add(spec).await {
                            let kept = before.iter().find(|before| before.config.identity == running.config.identity).cloned();
                            return (kept, Some(error));
                        }
                    }
                }
            }
            (Some(running), None)
        });
        let (mut running, mut failed) = (Vec::new(), None);
        for (taken, error) in join_all(taking).await {
            running.extend(taken);
            failed = failed.or(error);
        }
        (running, failed)
    }
}

/// Whether flag sets, their keys and the exporters fit together. A file is checked when it is read; this holds for what a library's user adds.
pub(super) fn check(config: &Config) -> Result<(), StartError> {
    let sets = &config.flag_sets;
    for (at, set) in sets.iter().enumerate() {
        for earlier in &sets[..at] {
            if earlier.name == set.name {
                return Err(StartError::FlagSetTwice { flag_set: set.name.clone() });
            }
            if earlier.api_keys.iter().any(|key| set.api_keys.contains(key)) {
                return Err(StartError::SharedKey { first: earlier.name.clone(), second: set.name.clone() });
            }
        }
    }
    let unknown = config
        .exporters
        .iter()
        .map(|exporter| &exporter.identity)
        .find(|Identity { flag_set, .. }| *flag_set != DEFAULT_FLAG_SET && sets.iter().all(|set| set.name != *flag_set));
    if let Some(Identity { exporter, flag_set }) = unknown.cloned() {
        return Err(StartError::UnknownFlagSet { exporter, flag_set });
    }
    let mut read: Vec<(&Identity, &EventKind)> = Vec::new();
    for exporter in &config.exporters {
        for kind in &exporter.events {
            if read.contains(&(&exporter.identity, kind)) {
                return Err(StartError::Twice { exporter: exporter.identity.exporter.clone() });
            }
            read.push((&exporter.identity, kind));
        }
    }
    Ok(())
}

/// The flag sets, each with the kinds of events that an exporter of its own reads. The default one is there when no key decides, and for an
/// embedding program that has exporters in it.
fn read_streams(config: &Config, configured: &[(Identity, StreamName)]) -> Vec<(Arc<str>, Vec<EventKind>)> {
    let read = |name: &str| -> Vec<EventKind> {
        let is_read = |kind: &EventKind| configured.iter().any(|(_, stream)| *stream.flag_set == *name && stream.kind == *kind);
        EventKind::ALL.into_iter().filter(is_read).collect()
    };
    let named = config.flag_sets.iter().map(|set| set.name.as_str());
    let has_default = config.flag_sets.is_empty() || !read(DEFAULT_FLAG_SET).is_empty();
    let default = has_default.then_some(DEFAULT_FLAG_SET).filter(|name| config.flag_sets.iter().all(|set| set.name != *name));
    named.chain(default).map(|name| (name.into(), read(name))).collect()
}

fn info(config: &Config, clock: &dyn Clock) -> Info {
    let configured = i64::try_from(clock.unix_seconds()).unwrap_or(i64::MAX);
    Info {
        configured: flagpost_event::Zone::utc().rfc3339(configured),
        flag_sets: config.flag_sets.iter().map(|set| set.name.clone()).collect(),
    }
}
