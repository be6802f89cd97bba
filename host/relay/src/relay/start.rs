//! Wiring: what is started in which order, and why in this one.
//!
//! Store (its lock first, so that two relays never write one log) -> delivery -> exporters, intakes and keys ([`Live`]) -> listening.
//! Each step needs the ones before; nothing is taken before all of it stands.

use std::sync::Arc;

use flagpost_delivery::{Delivery, DeliveryOptions};
use flagpost_event::Clock;
use flagpost_plugin::Compiler;
use tokio_util::sync::CancellationToken;

use super::builder::Additions;
use super::exporters::Workshop;
use super::live::{Live, Parts};
use super::runtimes::Runtimes;
use super::{Relay, StartError, doors, live, store};
use crate::config::Config;
use crate::http::Ending;
use crate::intake::{Gate, Intakes};
use crate::process;

/// How the surroundings differ between the program, a library's user and tests.
pub(crate) struct Settings {
    pub(crate) clock: Arc<dyn Clock>,
    /// Who compiles plugins.
    pub(crate) compiler: Compiler,
    /// Seeds the jitter of retries.
    pub(crate) seed: u64,
    /// Whether to listen at `server`.
    pub(crate) listen: bool,
    /// What every configuration gets beside what it says.
    pub(crate) additions: Additions,
}

pub(crate) async fn start(config: Config, settings: Settings) -> Result<Relay, StartError> {
    process::mark_start();
    flagpost_exporter::install_crypto();
    live::check(&config)?;
    let runtimes = Runtimes::start().map_err(StartError::Threads)?;
    let (Some(door_runtime), Some(work)) = (runtimes.door().cloned(), runtimes.work().cloned()) else {
        return Err(StartError::Threads(std::io::Error::other("no runtime")));
    };

    let store = store::open(&config.buffer, &settings.clock).await?;
    let options = DeliveryOptions {
        store: store.id.clone(),
        clock: settings.clock.clone(),
        seed: settings.seed,
        max_bytes: store::budget(&config.buffer),
        keep_removed: config.buffer.keep_removed,
        runtime: work.clone(),
    };
    let delivery = Arc::new(Delivery::start(store.log.clone(), store.ledger.clone(), options).await?);
    let log = store.log.clone();
    let gate = Gate::new(delivery.admission(), Box::new(move || log.pressure()), config.buffer.min_free, store::budget(&config.buffer));
    let intakes = Arc::new(Intakes::new(store.log.clone(), [], &gate));
    let (cache, state, clock) = (store.cache, store.state, settings.clock.clone());
    let workshop = Workshop { cache, state, clock, compiler: settings.compiler, work, host: None };
    let parts = Parts { intakes, delivery, workshop, additions: settings.additions };
    let live = Arc::new(Live::new(parts, config.clone()));
    live.start().await?;

    let draining = CancellationToken::new();
    let (server, monitoring) = if settings.listen {
        let inside = doors::Inside {
            config: &config,
            live: &live,
            log: store.log.clone(),
            log_stats: store.stats,
            ending: Ending { draining: draining.clone(), cut: CancellationToken::new() },
        };
        let (main, monitoring) = doors::open(inside, &door_runtime).await?;
        (Some(main), monitoring)
    } else {
        (None, None)
    };
    Ok(Relay { live, log: store.log, ledger: store.ledger, server, monitoring, draining, _lock: store.lock, runtimes })
}
