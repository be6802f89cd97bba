//! The intakes of all flag sets, and what is counted for requests that belong to none.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use flagpost_event::EventKind;
use flagpost_spool::EventLog;

use super::{Gate, Intake, IntakeStats};
use crate::config::DEFAULT_FLAG_SET;

/// One intake per flag set; a reload replaces them.
pub(crate) struct Intakes {
    log: Arc<dyn EventLog>,
    gate: Gate,
    now: ArcSwap<Now>,
    strangers: Arc<IntakeStats>,
}

#[derive(Clone, Default)]
struct Now {
    by_name: BTreeMap<Arc<str>, Arc<Intake>>,
    /// Flag sets that are gone from the configuration: what was counted for them stays readable.
    gone: BTreeMap<Arc<str>, Arc<Intake>>,
}

impl Intakes {
    /// Intakes for these flag sets, each with the kinds that have an exporter in it.
    pub(crate) fn new(log: Arc<dyn EventLog>, sets: impl IntoIterator<Item = (Arc<str>, Vec<EventKind>)>, gate: &Gate) -> Intakes {
        let intakes = Intakes { log, gate: gate.clone(), now: ArcSwap::default(), strangers: Arc::default() };
        intakes.replace(sets);
        intakes
    }

    /// From now on these flag sets. Whoever has an intake already ends with it: its streams stay what they are.
    pub(crate) fn replace(&self, sets: impl IntoIterator<Item = (Arc<str>, Vec<EventKind>)>) {
        let before = self.now.load_full();
        let mut now = Now { by_name: BTreeMap::new(), gone: before.gone.clone() };
        now.gone.extend(before.by_name.iter().map(|(name, intake)| (name.clone(), intake.clone())));
        for (name, read) in sets {
            let known = now.gone.remove(&name);
            let intake = match known {
                Some(intake) if intake.reads(&read) => intake,
                known => {
                    let stats = known.map(|intake| intake.stats().clone()).unwrap_or_default();
                    Arc::new(Intake::new(self.log.clone(), &name, &read, self.gate.clone(), stats))
                }
            };
            now.by_name.insert(name, intake);
        }
        self.now.store(Arc::new(now));
    }

    /// What decides whether requests are taken at all.
    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The intake of a flag set.
    pub(crate) fn get(&self, flag_set: &str) -> Option<Arc<Intake>> {
        self.now.load().by_name.get(flag_set).cloned()
    }

    /// The intake of everything that names no flag set.
    pub(crate) fn default_one(&self) -> Option<Arc<Intake>> {
        self.get(DEFAULT_FLAG_SET)
    }

    /// All that ever took something, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Intake>> {
        let now = self.now.load();
        now.by_name.values().chain(now.gone.values()).cloned().collect()
    }

    /// What is counted for requests of nobody: without a good key, or with one that leads to no flag set.
    pub(crate) fn strangers(&self) -> &Arc<IntakeStats> {
        &self.strangers
    }

    /// Whether requests should be sent here; if not, why. All intakes write one log, so one that cannot is all that cannot.
    pub(crate) fn ready(&self) -> Result<(), String> {
        self.now.load().by_name.values().try_for_each(|intake| intake.ready())
    }
}

impl fmt::Debug for Intakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.now.load().by_name.keys()).finish()
    }
}
