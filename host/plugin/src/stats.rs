//! Counters of one plugin.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::PluginStats;

macro_rules! counters {
    ($($name:ident),* $(,)?) => {
        /// The live side of [`PluginStats`]; adding is one relaxed atomic instruction.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: Counter,)*
        }

        impl Counters {
            pub(crate) fn read(&self) -> PluginStats {
                PluginStats { $($name: self.$name.get(),)* }
            }
        }
    };
}

counters!(
    calls,
    instances,
    traps,
    timeouts,
    cpu_exceeded,
    memory_refused,
    tables_refused,
    resources_refused,
    hostcall_exceeded,
    http_requests,
    http_denied,
    http_truncated,
    log_dropped_bytes,
    bad_results,
    duplicates,
    texts_cut,
    sockets_denied,
    secrets_refused,
    secrets_blanked,
    state_refused,
    metrics_dropped,
    replacements,
    files_refused,
    certificates_refused,
);

/// One number that rises.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn one(&self) {
        self.add(1);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number of which the largest is kept.
#[derive(Debug, Default)]
pub(crate) struct Peak(AtomicU64);

impl Peak {
    pub(crate) fn raise(&self, to: u64) {
        self.0.fetch_max(to, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
