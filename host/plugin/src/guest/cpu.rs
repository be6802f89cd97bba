//! CPU time of a call: what the thread really spent in it, not what passed on the clock.
//!
//! A call is a future that many polls drive, maybe on different threads, with waits for the network in between. Each poll notes the
//! thread's CPU clock at its start and adds the difference at its end; the epoch callback, which only fires while guest code runs, adds
//! what the running poll has spent so far and compares with the limit. So neither waiting nor being descheduled counts against a guest.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The meter of one store; calls in a store never overlap.
#[derive(Debug, Default)]
pub(super) struct CpuMeter {
    /// Nanoseconds of finished polls of this call.
    spent: AtomicU64,
    /// The thread's clock when the running poll began.
    poll_began: AtomicU64,
}

fn thread_clock() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

impl CpuMeter {
    /// CPU time of the call so far. Only meaningful from within a poll of it.
    pub(super) fn spent(&self) -> Duration {
        let running = thread_clock().saturating_sub(self.poll_began.load(Ordering::Relaxed));
        Duration::from_nanos(self.spent.load(Ordering::Relaxed) + running)
    }

    /// Runs one call under the meter, which starts at zero.
    pub(super) async fn measure<F: Future>(self: &Arc<Self>, call: F) -> F::Output {
        self.spent.store(0, Ordering::Relaxed);
        let mut call = pin!(call);
        std::future::poll_fn(|cx| {
            self.poll_began.store(thread_clock(), Ordering::Relaxed);
            let polled = call.as_mut().poll(cx);
            self.spent.store(u64::try_from(self.spent().as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
            if polled.is_ready() { polled } else { Poll::Pending }
        })
        .await
    }
}
