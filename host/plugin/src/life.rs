//! A plugin's life: its file is verified, compiled, described, checked, tried out, and runs; another file takes its place; nothing runs.
//!
//! ```text
//!             ┌──────────── a good file ───────────┐
//!             │                                    ▼
//! file ──▶ loading ── a bad one ──▶ invalid      ready ──▶ draining ──▶ closed
//!             ▲                        │         │   ▲
//!             └──── another file ──────┘         │   │ a good one: the next generation, from the next call on
//!                                    another file▼   │ a bad one: refused, the older one goes on
//!                                               loading
//! ```
//!
//! All of it happens beside the calls: a file is loaded while its predecessor works, and takes over when it has shown that it runs. The
//! swap is one pointer in [`Slot`]. A call that has begun ends on the generation it began with, and delivery makes the next attempt only
//! then, so no ordered stream ever has two generations at work. Delivery learns of it through [`Readiness`]: the batch that was failing
//! keeps its id, and its attempts start anew.
//!
//! A plugin out of a registry has no file to watch: `load` fetches it, at first and whenever somebody asks for it (`distribution`).
//!
//! What is told of the generation that runs and of the file that was refused are two things, and both are told.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use flagpost_exporter::Readiness;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior};

use crate::cache::Digest;
use crate::generation::{Generation, Slot};
use crate::guest::Shared;
use crate::host::PluginHost;
use crate::load::{self, LoadError};
use crate::memory::Reservation;
use crate::watch::{Stamp, stamp};
use crate::{LoadStep, PluginDiagnostic, RefusedFile};

/// How often idle instances are looked for.
const IDLE_POLL: Duration = Duration::from_secs(30);

/// Waits before the same file is tried again after a fault of the host's: the first, and the longest.
const AGAIN: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(120));

/// What the exporter and its loading task share.
pub(crate) struct Life {
    pub(crate) host: Arc<PluginHost>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) slot: Slot,
    pub(crate) readiness: watch::Sender<Readiness>,
    facts: Mutex<Facts>,
    /// Somebody wants the file tried again.
    pub(crate) asked: Notify,
    /// What its instances may use. Given back when the last call has ended.
    _memory: Reservation,
}

/// What was last seen, for reports.
#[derive(Default)]
pub(crate) struct Facts {
    pub(crate) digest: Option<String>,
    pub(crate) size: Option<u64>,
    /// The image it came out of, with its digest.
    pub(crate) image: Option<String>,
    pub(crate) last_error: Option<String>,
    pub(crate) certificates_refused: Option<String>,
    pub(crate) loading: Option<LoadStep>,
    pub(crate) refused: Option<RefusedFile>,
    /// What the file last tried does not take of its configuration.
    pub(crate) diagnostics: Vec<PluginDiagnostic>,
    /// How often a file was tried, whatever came of it.
    pub(crate) loads: u64,
    older: Vec<Weak<Generation>>,
}

impl Facts {
    /// Earlier generations that still have a call under way.
    pub(crate) fn draining(&self) -> usize {
        self.older.iter().filter(|older| older.strong_count() > 0).count()
    }
}

impl Life {
    pub(crate) fn new(host: Arc<PluginHost>, shared: Arc<Shared>, memory: Reservation) -> Self {
        let (readiness, _) = watch::channel(Readiness::Preparing);
        Life { host, shared, slot: Slot::default(), readiness, facts: Mutex::default(), asked: Notify::new(), _memory: memory }
    }

    pub(crate) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn step(&self, step: Option<LoadStep>) {
        self.facts().loading = step;
    }

    /// Reads, compiles and tries the file; on success calls go to it. A file that is what runs already changes nothing.
    async fn load(&self) -> Result<(), LoadError> {
        let before = self.slot.current();
        let file = match &self.shared.spec.image {
            Some(image) => {
                self.step(Some(LoadStep::Fetching));
                // Whoever asks for another version while one runs is told when there is none to have.
                load::fetch(&self.host, &self.shared, image, before.is_none()).await?
            }
            None => {
                self.step(Some(LoadStep::Verifying));
                load::read(&self.shared).await?
            }
        };
        let image = file.image.clone();
        let (digest, size) = (file.digest, file.bytes.len() as u64);
        let of_file = |why: LoadError| LoadError { digest: Some(digest), ..why };
        let beside = match &before {
            Some(running) if running.digest == digest => {
                self.facts().image = image;
                if self.facts().refused.take().is_some() {
                    tracing::info!(plugin = self.shared.spec.name, "the plugin's file is again the one that runs");
                }
                return Ok(());
            }
            Some(_) => {
                let beside = self.host.reserve_beside(&self.shared.spec);
                Some(beside.map_err(|why| of_file(LoadError { again: true, ..load::refused(&self.shared.spec.path, why) }))?)
            }
            None => {
                let mut facts = self.facts();
                (facts.digest, facts.size, facts.image) = (Some(digest.hex()), Some(size), image.clone());
                None
            }
        };
        let number = before.as_ref().map_or(1, |running| running.number + 1);
        let generation = load::prepare(&self.host, &self.shared, file, number, |step| self.step(Some(step))).await.map_err(of_file)?;
        self.take_over(generation, (size, image), before.zip(beside));
        Ok(())
    }

    /// From now on calls go to the generation.
    fn take_over(&self, generation: Generation, (size, image): (u64, Option<String>), before: Option<(Arc<Generation>, Reservation)>) {
        let (number, bulk) = (generation.number, generation.bulk);
        let (plugin, digest, interface) = (self.shared.spec.name.as_str(), generation.digest.hex(), generation.shape.interface.clone());
        {
            let mut facts = self.facts();
            (facts.digest, facts.size, facts.image) = (Some(digest.clone()), Some(size), image.clone());
            (facts.refused, facts.last_error) = (None, None);
            facts.diagnostics.clear();
            facts.older.retain(|older| older.strong_count() > 0);
            facts.older.extend(before.iter().map(|(older, _)| Arc::downgrade(older)));
        }
        self.slot.install(Some(Arc::new(generation)));
        let replaced = before.is_some();
        if let Some((older, memory)) = before {
            older.retire(memory);
            self.shared.counters.replacements.one();
        }
        if replaced {
            tracing::info!(plugin, interface, bulk, digest, image, generation = number, "another file took the plugin's place");
        } else {
            tracing::info!(plugin, interface, bulk, digest, image, "the plugin is ready");
        }
        // Last: who waits for it finds the line in the log.
        self.readiness.send_replace(Readiness::Ready { generation: number });
    }

    /// The file of a plugin that runs is not there any more.
    fn gone(&self) {
        let path = self.shared.spec.path.display();
        let reason = format!("{path}: the file is gone; what was loaded from it goes on until the relay ends");
        tracing::warn!(plugin = self.shared.spec.name, "{reason}");
        self.facts().refused = Some(RefusedFile { reason, digest: None, at_unix_millis: self.host.clock().unix_millis() });
    }

    /// The file does not run.
    fn refuse(&self, reason: String, digest: Option<Digest>) {
        let plugin = self.shared.spec.name.as_str();
        if self.slot.current().is_none() {
            tracing::error!(plugin, "the plugin is invalid, its events wait: {reason}");
            self.readiness.send_replace(Readiness::Invalid { reason });
            return;
        }
        let mut facts = self.facts();
        let digest = digest.map(|digest| digest.hex());
        if facts.refused.as_ref().is_some_and(|before| before.reason == reason && before.digest == digest) {
            return;
        }
        tracing::error!(plugin, "the plugin's file is not taken, the one before goes on: {reason}");
        self.shared.counters.files_refused.one();
        facts.refused = Some(RefusedFile { reason, digest, at_unix_millis: self.host.clock().unix_millis() });
    }

    /// A file of `http.tls` is another one.
    async fn renew_certificates(&self) {
        let plugin = self.shared.spec.name.as_str();
        let refused = self.shared.outbound.renew().await.err();
        match &refused {
            None => tracing::info!(plugin, "the plugin's certificates were read again"),
            Some(why) => {
                self.shared.counters.certificates_refused.one();
                tracing::warn!(plugin, "the plugin's certificates are not renewed, those before go on: {why}");
            }
        }
        self.facts().certificates_refused = refused;
    }
}

/// Runs a plugin's life until it is aborted.
pub(crate) async fn run(life: Arc<Life>) {
    let path = life.shared.spec.path.clone();
    // An image does not change by itself: it is fetched again when somebody asks for it.
    let is_file = life.shared.spec.image.is_none();
    let mut tried = if is_file { stamp(&path).await } else { None };
    let mut versions = is_file.then(|| life.host.watch(&path, tried));
    let mut certificates = Certificates::watch(&life).await;
    let mut again = AGAIN.0;
    loop {
        if life.slot.current().is_none() {
            life.readiness.send_replace(Readiness::Preparing);
        }
        let loaded = life.load().await;
        life.step(None);
        let retry = match loaded {
            Ok(()) => None,
            Err(_) if is_file && tried.is_none() && life.slot.current().is_some() => {
                life.gone();
                None
            }
            Err(LoadError { reason, digest, again: passes, diagnostics }) => {
                life.facts().diagnostics = diagnostics;
                life.refuse(reason, digest);
                passes.then_some(again)
            }
        };
        life.facts().loads += 1;
        match another(&life, (&mut versions, &mut certificates), tried, retry).await {
            Some(version) => (tried, again) = (version, AGAIN.0),
            None => again = (again * 2).min(AGAIN.1),
        }
    }
}

/// Waits for another version of the file than `tried`, or until the same one is to be tried again: `None`. Looks after idle instances
/// meanwhile.
async fn another(
    life: &Life,
    (versions, certificates): (&mut Option<watch::Receiver<Stamp>>, &mut Certificates),
    tried: Stamp,
    retry: Option<Duration>,
) -> Option<Stamp> {
    let retry_at = retry.map(|after| Instant::now() + after);
    let mut idle = tokio::time::interval(IDLE_POLL);
    idle.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let retried = async {
            match retry_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let changed = async {
            match versions {
                Some(versions) => versions.wait_for(|version| *version != tried).await.map(|version| *version),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            version = changed => match version {
                Ok(version) => return Some(version),
                // The host is gone, and this task with it.
                Err(_) => std::future::pending().await,
            },
            () = retried => return None,
            () = certificates.changed() => match life.slot.current() {
                Some(_) => life.renew_certificates().await,
                // They may be what it is invalid for, and a client may have been made of those before.
                None => {
                    life.shared.outbound.forget();
                    return None;
                }
            },
            () = life.asked.notified() => return None,
            _ = idle.tick() => if let Some(generation) = life.slot.current() {
                generation.drop_idle(Instant::now());
            },
        }
    }
}

/// The files of `http.tls`, watched like the plugin's own.
struct Certificates(Vec<watch::Receiver<Stamp>>);

impl Certificates {
    async fn watch(life: &Life) -> Self {
        let mut files = Vec::new();
        for path in life.shared.outbound.certificates() {
            files.push(life.host.watch(path, stamp(path).await));
        }
        Certificates(files)
    }

    /// Waits until one of them is another.
    async fn changed(&mut self) {
        if !self.0.is_empty() {
            let changes = self.0.iter_mut().map(|file| Box::pin(file.changed()));
            if futures_util::future::select_all(changes).await.0.is_ok() {
                return;
            }
        }
        // There are none, or the host is gone, and this task with it.
        std::future::pending().await
    }
}
