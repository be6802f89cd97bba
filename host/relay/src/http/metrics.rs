//! `/metrics`: numbers are read when they are asked for. Nothing is counted twice; events of an exporter are computed from its cursor.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use flagpost_delivery::{Delivery, StateKind, TaskStatus};
use flagpost_event::EventKind;
use flagpost_plugin::{PluginStats, WasmExporter};
use flagpost_spool::{EventLog, Identity};
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::{Proxy, Reply};
use crate::intake::IntakeStats;
use crate::process;

/// OpenMetrics text, which Prometheus reads.
const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// What `/metrics` shows.
pub(crate) struct Metrics {
    registry: Registry,
}

/// Where the numbers are.
pub(crate) struct Sources {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) delivery: Option<Arc<Delivery>>,
    pub(crate) plugins: Arc<HashMap<Identity, Arc<WasmExporter>>>,
    /// Per flag set.
    pub(crate) intakes: Vec<(String, Arc<IntakeStats>)>,
    pub(crate) proxy: Option<Arc<Proxy>>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").finish_non_exhaustive()
    }
}
