//! The two runtimes: `door` answers requests and does nothing else; `work` delivers and runs guests, at a lower priority of the operating
//! system, so that no exporter takes a request's turn.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// How much lower, in steps of `nice`: enough to yield to the door, not so much that a busy machine starves delivery.
const WORK_NICENESS: i32 = 5;

/// Both runtimes. Dropping them ends their tasks without waiting, also inside another runtime.
#[derive(Debug)]
pub(crate) struct Runtimes {
    door: Option<Runtime>,
    work: Option<Runtime>,
}

impl Runtimes {
    pub(crate) fn start() -> io::Result<Runtimes> {
        let door = Builder::new_multi_thread().thread_name("flagpost-door").enable_all().build()?;
        let work = Builder::new_multi_thread()
            .thread_name("flagpost-work")
            .on_thread_start(|| {
                // On Linux a priority belongs to a thread. Refused (a container's rule), the work runs at the normal one.
                if let Err(error) = rustix::process::nice(WORK_NICENESS) {
                    tracing::debug!(%error, "the priority of a work thread could not be lowered");
                }
            })
            .enable_all()
            .build()?;
        Ok(Runtimes { door: Some(door), work: Some(work) })
    }

    pub(crate) fn door(&self) -> Option<&Handle> {
        self.door.as_ref().map(Runtime::handle)
    }

    pub(crate) fn work(&self) -> Option<&Handle> {
        self.work.as_ref().map(Runtime::handle)
    }
}

impl Drop for Runtimes {
    fn drop(&mut self) {
        for runtime in [self.door.take(), self.work.take()].into_iter().flatten() {
            runtime.shutdown_background();
        }
    }
}
