//! Events that keep coming while something is done to the relay.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::task::JoinHandle;

use crate::{Client, client, events, until};

/// A client that sends one request after the other, until it is told to end.
#[derive(Debug)]
pub struct Flow {
    ends: Arc<AtomicBool>,
    taken: Arc<AtomicU64>,
    task: JoinHandle<u64>,
}

impl Flow {
    /// Sends events with rising numbers from 1 on, `size` at a time, with `pause` between two requests so that the machine has time for
    /// more. Every request must be taken.
    pub fn start(relay: &Client, size: u64, pause: std::time::Duration) -> Flow {
        let (ends, taken) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (relay, ending, count) = (relay.clone(), ends.clone(), taken.clone());
        let task = tokio::spawn(async move {
            let http = client();
            let mut next = 1;
            while !ending.load(Ordering::Relaxed) {
                assert_eq!(relay.try_post(&http, &events(next..next + size)).await, Some(200), "at event {next}");
                next += size;
                count.store(next - 1, Ordering::Relaxed);
                tokio::time::sleep(pause).await;
            }
            next
        });
        Flow { ends, taken, task }
    }

    /// How many events were taken so far.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Waits until more events were taken.
    pub async fn goes_on(&self) {
        let before = self.taken();
        until("events come", async || (self.taken() > before).then_some(())).await;
    }

    /// Ends it; the number after the last event.
    pub async fn end(self) -> u64 {
        self.ends.store(true, Ordering::Relaxed);
        self.task.await.expect("every request was taken")
    }
}
