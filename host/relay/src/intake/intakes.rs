//! The intakes of all flag sets, and what is counted for requests that belong to none.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use flagpost_event::EventKind;
use flagpost_spool::EventLog;

use super::{Gate, Intake, IntakeStats};
use crate::config::DEFAULT_FLAG_SET;

/// One intake per flag set.
pub(crate) struct Intakes {
    by_name: BTreeMap<Arc<str>, Arc<Intake>>,
    strangers: Arc<IntakeStats>,
}

impl Intakes {
    /// Intakes for these flag sets, each with the kinds that have an exporter in it.
    pub(crate) fn new(log: Arc<dyn EventLog>, sets: impl IntoIterator<Item = (Arc<str>, Vec<EventKind>)>, gate: &Gate) -> Intakes {
        let intake = |name: &str, read: &[EventKind]| Arc::new(Intake::new(log.clone(), name, read, gate.clone(), Arc::default()));
        let by_name = sets.into_iter().map(|(name, read)| (name.clone(), intake(&name, &read))).collect();
        Intakes { by_name, strangers: Arc::default() }
    }

    /// The intake of a flag set.
    pub(crate) fn get(&self, flag_set: &str) -> Option<&Arc<Intake>> {
        self.by_name.get(flag_set)
    }

    /// The intake of everything that names no flag set.
    pub(crate) fn default_one(&self) -> Option<&Arc<Intake>> {
        self.get(DEFAULT_FLAG_SET)
    }

    /// All of them, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Intake>> {
        self.by_name.values()
    }

    /// What is counted for requests of nobody: without a good key, or with one that leads to no flag set.
    pub(crate) fn strangers(&self) -> &Arc<IntakeStats> {
        &self.strangers
    }

    /// Whether requests should be sent here; if not, why. All intakes write one log, so one that cannot is all that cannot.
    pub(crate) fn ready(&self) -> Result<(), String> {
        self.iter().try_for_each(|intake| intake.ready())
    }
}

impl fmt::Debug for Intakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}
