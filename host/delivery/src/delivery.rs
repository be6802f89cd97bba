//! The door to this room: tasks come, go, and are shut down.

use std::sync::Arc;
use std::time::Duration;

use flagpost_event::StreamName;
use flagpost_spool::{EventLog, Identity};

use crate::{Admission, DeliveryOptions, TaskSpec, TaskStatus};

/// Stands where the spool's `Ledger` comes.
#[derive(Clone, Debug)]
pub struct Ledger;

/// All tasks of one relay.
#[derive(Debug)]
pub struct Delivery {
    admission: Admission,
}

/// Delivery could not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// Two tasks of the same exporter on the same stream.
    #[error("exporter `{identity}` is already delivering `{stream}`: give one of the two a `name`")]
    Duplicate {
        /// Whose task it is.
        identity: Identity,
        /// What it reads.
        stream: StreamName,
    },
    /// Delivery is being shut down.
    #[error("delivery is being shut down")]
    ShuttingDown,
}

/// What a shutdown left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShutdownReport {
    /// Whether every worker ended by itself before the time was up.
    pub in_time: bool,
    /// What was not sent and stays in the log.
    pub unsent: Vec<Unsent>,
}

/// Events that wait for the next start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsent {
    /// Whose they are.
    pub identity: Identity,
    /// Their stream.
    pub stream: StreamName,
    /// How many.
    pub events: u64,
}

impl Delivery {
    /// Opens delivery over a log and its bookkeeping: budgets and trimming run from now on. Exporters come with [`add`](Self::add).
    pub async fn start(log: Arc<dyn EventLog>, ledger: Ledger, options: DeliveryOptions) -> Result<Delivery, DeliveryError> {
        let _ = (log, ledger, options);
        Ok(Delivery { admission: Admission::default() })
    }

    /// Starts a task. An exporter that was never seen starts at the stream's head, durably before it runs; a known one goes on where it was.
    pub async fn add(&self, spec: TaskSpec) -> Result<Arc<TaskStatus>, DeliveryError> {
        let _ = spec;
        Err(DeliveryError::ShuttingDown)
    }

    /// Tells which exporters are configured: all others that the bookkeeping knows become orphaned.
    pub async fn retain(&self, configured: &[(Identity, StreamName)]) -> Result<(), DeliveryError> {
        let _ = configured;
        Ok(())
    }

    /// Every task, orphaned ones included.
    pub fn statuses(&self) -> Vec<Arc<TaskStatus>> {
        Vec::new()
    }

    /// Asked by the collector before it takes a request.
    pub fn admission(&self) -> Admission {
        self.admission.clone()
    }

    /// Ends all tasks within the time: bulk exporters get what waits, streaming ones finish. What is not sent stays in the log.
    pub async fn shutdown(&self, within: Duration) -> ShutdownReport {
        let _ = within;
        ShutdownReport::default()
    }
}
