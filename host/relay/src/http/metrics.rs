//! `/metrics`: numbers are read when they are asked for. Nothing is counted twice; events of an exporter are computed from its cursor.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use flagpost_delivery::{Delivery, StateKind, TaskStatus};
use flagpost_event::EventKind;
use flagpost_plugin::{PluginMetric, PluginReport, PluginStats, WasmExporter};
use flagpost_spool::{DropReason, EventLog, Identity, LogStats};
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::snapshot::Snapshot;
use super::traffic::{self, Numbers, Traffic};
use super::{Proxy, Reply, Room, exposition};
use crate::intake::{IntakeStats, Intakes};
use crate::reloads::Reloads;
use crate::tls::Certificate;
use crate::{logging, process};

const OPEN_METRICS: HeaderValue = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// A plugin among the exporters.
#[derive(Clone)]
pub(crate) struct Plugin {
    pub(crate) identity: Identity,
    /// The streams it reads; two exporters of one identity read different ones.
    pub(crate) events: Vec<EventKind>,
    pub(crate) exporter: Arc<WasmExporter>,
}

/// All plugins; a reload replaces them.
#[derive(Default)]
pub(crate) struct Plugins(ArcSwap<Vec<Plugin>>);

impl Plugins {
    pub(crate) fn now(&self) -> Guard<Arc<Vec<Plugin>>> {
        self.0.load()
    }

    pub(crate) fn replace(&self, plugins: Vec<Plugin>) {
        self.0.store(Arc::new(plugins));
    }
}

/// Where the numbers are.
pub(crate) struct Sources {
    pub(crate) log: Arc<dyn EventLog>,
    /// What the log on disk counts about itself.
    pub(crate) log_stats: Option<LogStats>,
    pub(crate) delivery: Option<Arc<Delivery>>,
    pub(crate) plugins: Arc<Plugins>,
    pub(crate) intakes: Arc<Intakes>,
    pub(crate) traffic: Arc<Traffic>,
    /// The certificate that is served, if any.
    pub(crate) certificate: Option<Arc<Certificate>>,
    pub(crate) proxy: Option<Arc<Proxy>>,
    pub(crate) room: Arc<Room>,
    pub(crate) reloads: Arc<Reloads>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").finish_non_exhaustive()
    }
}

/// What `/metrics` shows.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
}

impl Metrics {
    pub(crate) fn new(sources: Sources) -> Metrics {
        let mut registry = Registry::default();
        if let Some(stats) = &sources.log_stats {
            stats.register(registry.sub_registry_with_prefix("flagpost"));
        }
        registry.register_collector(Box::new(sources));
        Metrics { registry }
    }

    /// The text of one scrape, in the form that is asked for.
    pub(crate) fn answer(&self, asked: &HeaderMap) -> Response<Reply> {
        let mut body = String::new();
        match text::encode(&mut body, &self.registry) {
            Ok(()) => {
                let (body, kind) =
                    if exposition::wants_open_metrics(asked) { (body, OPEN_METRICS) } else { (exposition::plain(&body), PLAIN) };
                let mut response = Reply::json(StatusCode::OK, body);
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
                response
            }
            Err(error) => Reply::error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    }
}

type Labels = Vec<(&'static str, String)>;

/// Writes families, each with its samples.
struct Families<'a>(DescriptorEncoder<'a>);

impl Families<'_> {
    fn counters(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = (Labels, u64)>) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        samples.into_iter().try_for_each(|(labels, value)| ConstCounter::new(value).encode(family.encode_family(&labels)?))
    }

    fn gauges(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = (Labels, f64)>) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        samples.into_iter().try_for_each(|(labels, value)| ConstGauge::new(value).encode(family.encode_family(&labels)?))
    }

    fn histograms<'h>(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = (Labels, &'h Histogram)>) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        samples.into_iter().try_for_each(|(labels, histogram)| histogram.encode(family.encode_family(&labels)?))
    }

    /// One of the histograms in each of these numbers.
    fn spreads<T>(&mut self, name: &str, help: &str, all: &[(Labels, T)], of: impl Fn(&T) -> (f64, Vec<(f64, u64)>)) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        all.iter().try_for_each(|(labels, numbers)| {
            let (sum, buckets) = of(numbers);
            let count = buckets.iter().map(|(_, count)| count).sum();
            family.encode_family(labels)?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
        })
    }
}

impl Collector for Sources {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families(encoder);
        self.program(&mut families)?;
        self.configuration(&mut families)?;
        self.requests(&mut families)?;
        self.collector(&mut families)?;
        self.spool(&mut families)?;
        self.exporters(&mut families)?;
        self.plugins(&mut families)
    }
}

impl Sources {
    fn program(&self, families: &mut Families<'_>) -> fmt::Result {
        let version = || ("version", env!("CARGO_PKG_VERSION").to_owned());
        families.gauges("flagpost_build_info", "The program that answers", [(vec![version()], 1.0)])?;
        // Upstream's has labels of a Go build, too; those that mean nothing here are left out.
        let machine = [("goarch", std::env::consts::ARCH), ("goos", std::env::consts::OS)].map(|(name, value)| (name, value.to_owned()));
        let build = [vec![version()], machine.to_vec()].concat();
        families.gauges("gofeatureflag_build_info", "The program that answers", [(build, 1.0)])?;
        let facts = process::facts();
        families.gauges("process_resident_memory_bytes", "Resident memory", facts.resident_bytes.map(|bytes| (vec![], bytes as f64)))?;
        let mut cpu = families.0.encode_descriptor("process_cpu_seconds", "User and system time spent", None, MetricType::Counter)?;
        if let Some(seconds) = facts.cpu_seconds {
            ConstCounter::new(seconds).encode(cpu.encode_family(&Labels::new())?)?;
        }
        families.gauges("process_open_fds", "Open file descriptors", facts.open_fds.map(|fds| (vec![], fds as f64)))?;
        families.gauges("process_max_fds", "Most file descriptors that may be open", facts.max_fds.map(|fds| (vec![], fds as f64)))?;
        let virtual_bytes = facts.virtual_bytes.map(|bytes| (vec![], bytes as f64));
        families.gauges("process_virtual_memory_bytes", "Virtual memory", virtual_bytes)?;
        families.gauges("process_start_time_seconds", "When the program started, Unix seconds", [(vec![], facts.started)])?;
        if let Some(certificate) = &self.certificate {
            let bad = if certificate.is_stale() { 1.0 } else { 0.0 };
            let help = "1 while server.tls.cert and server.tls.key cannot be used and an older pair is served";
            families.gauges("flagpost_tls_certificate_stale", help, [(vec![], bad)])?;
            let help = "Pairs of certificate and key that were taken after the first";
            families.counters("flagpost_tls_reloads", help, [(vec![], certificate.reloads())])?;
        }
        let dropped = [(vec![], logging::dropped())];
        families.counters("flagpost_log_dropped_lines", "Lines of the program's log that nobody read in time", dropped)?;
        let Some(proxy) = &self.proxy else { return Ok(()) };
        let (passed, failed) = proxy.counts();
        families.counters("flagpost_upstream_requests", "Requests that the relay behind upstream.url answered", [(vec![], passed)])?;
        families.counters("flagpost_upstream_failures", "Requests that could not be passed on (502)", [(vec![], failed)])
    }

    fn configuration(&self, families: &mut Families<'_>) -> fmt::Result {
        let now = self.reloads.now();
        let good = if now.last_reload_successful { 1.0 } else { 0.0 };
        families.gauges(
            "flagpost_config_last_reload_successful",
            "0 while the configuration that is there is refused",
            [(vec![], good)],
        )?;
        let help = "When a configuration was last taken, Unix seconds";
        families.gauges("flagpost_config_last_reload_success_timestamp_seconds", help, [(vec![], now.taken_at_unix_seconds as f64)])?;
        let of = |result: &str| vec![("result", result.to_owned())];
        let reloads = [(of("applied"), now.applied), (of("refused"), now.refused)];
        families.counters("flagpost_config_reloads", "Configurations that were read while the relay ran", reloads)?;
        let waiting = [(vec![], now.needs_restart.len() as f64)];
        families.gauges("flagpost_config_needs_restart", "Changed keys that hold from the next start on", waiting)
    }

    /// Upstream's names, so that its dashboards go on.
    fn requests(&self, families: &mut Families<'_>) -> fmt::Result {
        let ingested = self.intakes.all().iter().map(|intake| intake.stats().ingested()).sum();
        families.counters("gofeatureflag_collect_eval_data", "Counter events for data collector.", [(vec![], ingested)])?;
        let all: Vec<(Labels, Numbers)> =
            self.traffic.all().into_iter().map(|(labels, numbers)| (request_labels(&labels), numbers)).collect();
        let help = "How many HTTP requests processed, partitioned by status code and HTTP method.";
        families.counters("gofeatureflag_requests", help, all.iter().map(|(labels, numbers)| (labels.clone(), numbers.count)))?;
        let seconds = |numbers: &Numbers| (numbers.seconds.sum, numbers.seconds.buckets(numbers.count, &traffic::SECONDS));
        let sent = |numbers: &Numbers| (numbers.response_bytes.sum, numbers.response_bytes.buckets(numbers.count, &traffic::BYTES));
        let taken = |numbers: &Numbers| (numbers.request_bytes.sum, numbers.request_bytes.buckets(numbers.count, &traffic::BYTES));
        families.spreads("gofeatureflag_request_duration_seconds", "The HTTP request latencies in seconds.", &all, seconds)?;
        families.spreads("gofeatureflag_response_size_bytes", "The HTTP response sizes in bytes.", &all, sent)?;
        families.spreads("gofeatureflag_request_size_bytes", "The HTTP request sizes in bytes.", &all, taken)
    }

    fn collector(&self, families: &mut Families<'_>) -> fmt::Result {
        let of = |flag_set: &str, more: Vec<(&'static str, String)>| [vec![("flag_set", flag_set.to_owned())], more].concat();
        let intakes = self.intakes.all();
        let events = intakes.iter().flat_map(|intake| {
            let labels = move |kind: EventKind| of(intake.flag_set(), vec![("event_type", kind.as_str().to_owned())]);
            EventKind::ALL.map(|kind| (labels(kind), intake.stats().taken(kind)))
        });
        families.counters("flagpost_collector_events", "Events that were stored", events)?;
        let dropped = intakes.iter().flat_map(|intake| {
            let labels = move |reason: &str| of(intake.flag_set(), vec![("reason", reason.to_owned())]);
            intake.stats().dropped().map(move |(reason, count)| (labels(reason), count))
        });
        families.counters("flagpost_collector_dropped", "Events that were answered with 200 and not stored", dropped)?;
        // Requests without a good key belong to no flag set.
        let strangers = (!self.intakes.strangers().requests().is_empty()).then_some(("", self.intakes.strangers()));
        let all: Vec<(&str, &Arc<IntakeStats>)> =
            intakes.iter().map(|intake| (intake.flag_set(), intake.stats())).chain(strangers).collect();
        let requests = all.iter().flat_map(|(flag_set, stats)| {
            stats.requests().into_iter().map(move |(status, count)| (of(flag_set, vec![("code", status.to_string())]), count))
        });
        families.counters("flagpost_collector_requests", "Requests to the collector by status", requests)?;
        let seconds = all.iter().map(|(flag_set, stats)| (of(flag_set, vec![]), &stats.request_seconds));
        families.histograms("flagpost_collector_request_seconds", "From a request's head to its answer", seconds)?;
        let (held, refused) = self.room.counts();
        families.gauges("flagpost_collector_in_flight_bytes", "Bytes that requests hold while they are taken", [(vec![], held as f64)])?;
        families.counters("flagpost_collector_no_room", "Requests refused for collector.maxInFlight", [(vec![], refused)])
    }

    fn spool(&self, families: &mut Families<'_>) -> fmt::Result {
        let pressure = self.log.pressure();
        families.gauges("flagpost_spool_queue_bytes", "Bytes that wait for a sync", [(vec![], pressure.queued_bytes as f64)])?;
        families.gauges("flagpost_spool_held_bytes", "Bytes that the event log holds", [(vec![], pressure.held_bytes as f64)])?;
        families.gauges(
            "flagpost_spool_free_bytes",
            "Free bytes on its file system",
            pressure.free_bytes.map(|bytes| (vec![], bytes as f64)),
        )
    }

    fn exporters(&self, families: &mut Families<'_>) -> fmt::Result {
        let tasks = self.delivery.as_ref().map(|delivery| delivery.statuses()).unwrap_or_default();
        let counts: Vec<(&TaskStatus, Snapshot)> = tasks.iter().map(|task| (&**task, Snapshot::of(task))).collect();
        let counter = |value: fn(&Snapshot) -> u64| counts.iter().map(move |(task, counts)| (labels(task), value(counts)));
        let gauge = |value: fn(&TaskStatus) -> f64| tasks.iter().map(move |task| (labels(task), value(task)));
        families.counters("flagpost_exporter_accepted", "Events accepted for the exporter", counter(|counts| counts.accepted))?;
        families.counters("flagpost_exporter_delivered", "Events delivered", counter(|counts| counts.delivered))?;
        let waiting = counts.iter().map(|(task, counts)| (labels(task), counts.waiting as f64));
        families.gauges("flagpost_exporter_waiting_events", "Events that wait", waiting)?;
        families.counters("flagpost_exporter_dead", "Events condemned to the dead letters", counter(Snapshot::condemned))?;
        let letters = counts.iter().map(|(task, counts)| (labels(task), counts.dead as f64));
        families.gauges("flagpost_exporter_dead_letters", "Events in the dead letters", letters)?;
        families.counters("flagpost_exporter_replayed", "Events delivered out of the dead letters", counter(|counts| counts.replayed))?;
        let dropped = counts.iter().flat_map(|(task, counts)| {
            // All reasons from the start: an alert on a counter that appears with its first event never sees it rise.
            DropReason::ALL.map(|reason| {
                let mut labels = labels(task);
                labels.push(("reason", reason.as_str().to_owned()));
                (labels, counts.dropped.get(&reason).copied().unwrap_or(0))
            })
        });
        families.counters("flagpost_exporter_dropped", "Events given up without delivery", dropped)?;
        families.gauges("flagpost_exporter_waiting_bytes", "Bytes of JSON lines that wait", gauge(|task| task.waiting_bytes() as f64))?;
        families.gauges(
            "flagpost_exporter_oldest_age_seconds",
            "How long the oldest event has waited",
            gauge(|task| task.oldest_age().as_secs_f64()),
        )?;
        let retried = tasks.iter().map(|task| (labels(task), task.retried()));
        families.counters("flagpost_exporter_retried", "Attempts that repeated an earlier one", retried)?;
        families.histograms(
            "flagpost_exporter_attempt_seconds",
            "How long attempts took",
            tasks.iter().map(|task| (labels(task), task.attempt_seconds())),
        )?;
        let success = tasks.iter().filter_map(|task| Some((labels(task), task.last_success()? as f64)));
        families.gauges("flagpost_exporter_last_success_timestamp_seconds", "When something was last delivered, Unix seconds", success)?;
        let states = tasks.iter().flat_map(|task| {
            let now = task.state().kind;
            StateKind::ALL.map(|state| {
                let mut labels = labels(task);
                labels.push(("state", state.as_str().to_owned()));
                (labels, if state == now { 1.0 } else { 0.0 })
            })
        });
        families.gauges("flagpost_exporter_state", "1 for the state the exporter is in", states)
    }

    fn plugins(&self, families: &mut Families<'_>) -> fmt::Result {
        let plugins = self.plugins.now();
        let labels = |plugin: &Plugin| -> Labels {
            let events = plugin.events.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(",");
            let Identity { flag_set, exporter } = plugin.identity.clone();
            vec![("flag_set", flag_set), ("exporter", exporter), ("event_type", events)]
        };
        for (name, help, value) in PLUGIN_COUNTERS {
            families.counters(name, help, plugins.iter().map(|plugin| (labels(plugin), value(&plugin.exporter.stats()))))?;
        }
        let reports: Vec<_> = plugins.iter().map(|plugin| (labels(plugin), plugin.exporter.report())).collect();
        for (name, help, value) in PLUGIN_GAUGES {
            families.gauges(name, help, reports.iter().map(|(labels, report)| (labels.clone(), value(report))))?;
        }
        self.own_numbers(families, plugins.iter().map(|plugin| (labels(plugin), plugin.exporter.metrics())))
    }

    /// What plugins count themselves. A name is a counter's or a gauge's for all of them: the first one decides.
    fn own_numbers(&self, families: &mut Families<'_>, plugins: impl Iterator<Item = (Labels, Vec<PluginMetric>)>) -> fmt::Result {
        /// Whether the name is a counter's, and its labels and values.
        type Own = (bool, Vec<(Vec<(String, String)>, f64)>);
        let mut found: BTreeMap<String, Own> = BTreeMap::new();
        for (labels, metrics) in plugins {
            let labels: Vec<(String, String)> = labels.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            for PluginMetric { name, counter, labels: own, value } in metrics {
                let (kind, samples) = found.entry(name).or_insert_with(|| (counter, Vec::new()));
                if *kind == counter {
                    samples.push(([labels.clone(), own].concat(), value));
                }
            }
        }
        for (name, (counter, samples)) in found {
            let kind = if counter { MetricType::Counter } else { MetricType::Gauge };
            let name = format!("flagpost_plugin_custom_{name}");
            let mut family = families.0.encode_descriptor(&name, "A plugin's own number", None, kind)?;
            for (labels, value) in samples {
                let sample = family.encode_family(&labels)?;
                if counter { ConstCounter::new(value).encode(sample)? } else { ConstGauge::new(value).encode(sample)? }
            }
        }
        Ok(())
    }
}

/// Upstream's labels, in its order.
fn request_labels(labels: &traffic::Labels) -> Labels {
    vec![
        ("code", labels.code.to_string()),
        ("method", labels.method.to_owned()),
        ("host", labels.host.to_string()),
        ("url", labels.url.to_owned()),
    ]
}

/// A task's labels. `event_type` tells the two tasks of `eventType: all` apart.
fn labels(task: &TaskStatus) -> Labels {
    vec![
        ("flag_set", task.stream().flag_set.to_string()),
        ("exporter", task.identity().exporter.clone()),
        ("kind", task.kind().to_owned()),
        ("event_type", task.stream().kind.as_str().to_owned()),
    ]
}

/// A counter of a plugin: name, help, value.
type PluginCounter = (&'static str, &'static str, fn(&PluginStats) -> u64);

const PLUGIN_COUNTERS: &[PluginCounter] = &[
    ("flagpost_plugin_calls", "Calls of the plugin", |stats| stats.calls),
    ("flagpost_plugin_instances", "Instances made", |stats| stats.instances),
    ("flagpost_plugin_traps", "Calls ended by a trap", |stats| stats.traps),
    ("flagpost_plugin_timeouts", "Calls ended by limits.timeout", |stats| stats.timeouts),
    ("flagpost_plugin_cpu_exceeded", "Calls ended by limits.cpu", |stats| stats.cpu_exceeded),
    ("flagpost_plugin_memory_refused", "Growths of memory refused (limits.memory)", |stats| stats.memory_refused),
    ("flagpost_plugin_tables_refused", "Growths of tables refused", |stats| stats.tables_refused),
    ("flagpost_plugin_resources_refused", "Handles refused", |stats| stats.resources_refused),
    ("flagpost_plugin_hostcall_exceeded", "Calls that handed the host too much at once", |stats| stats.hostcall_exceeded),
    ("flagpost_plugin_http_requests", "HTTP requests made", |stats| stats.http_requests),
    ("flagpost_plugin_http_denied", "HTTP requests refused (allowedHosts)", |stats| stats.http_denied),
    ("flagpost_plugin_http_truncated", "HTTP responses cut at the cap", |stats| stats.http_truncated),
    ("flagpost_plugin_log_dropped_bytes", "Bytes of log and output dropped over the cap", |stats| stats.log_dropped_bytes),
    ("flagpost_plugin_bad_results", "Results that broke the contract", |stats| stats.bad_results),
    ("flagpost_plugin_duplicates", "Results that named an event twice", |stats| stats.duplicates),
    ("flagpost_plugin_texts_cut", "Reasons that were cut", |stats| stats.texts_cut),
    ("flagpost_plugin_sockets_denied", "Connections and look-ups refused (allowedSockets)", |stats| stats.sockets_denied),
    ("flagpost_plugin_secrets_refused", "Requests that would have taken a secret where it is not granted", |stats| stats.secrets_refused),
    ("flagpost_plugin_secrets_blanked", "Answers in which a secret was blanked", |stats| stats.secrets_blanked),
    ("flagpost_plugin_state_refused", "Uses of state refused (state)", |stats| stats.state_refused),
    ("flagpost_plugin_metrics_dropped", "Numbers of the plugin's own dropped over the bounds", |stats| stats.metrics_dropped),
    ("flagpost_plugin_replacements", "Files that took the place of one that ran", |stats| stats.replacements),
    ("flagpost_plugin_files_refused", "Files that were not taken in place of one that ran", |stats| stats.files_refused),
    ("flagpost_plugin_certificates_refused", "Changes of the files of http.tls that cannot be used; those before go on", |stats| {
        stats.certificates_refused
    }),
];

/// A gauge of a plugin: name, help, value.
type PluginGauge = (&'static str, &'static str, fn(&PluginReport) -> f64);

const PLUGIN_GAUGES: &[PluginGauge] = &[
    ("flagpost_plugin_generation", "Counts the files that ran, from 1; 0 before the first", |report| report.generation.unwrap_or(0) as f64),
    ("flagpost_plugin_file_refused", "1 while another file is there than the one that runs", |report| {
        f64::from(u8::from(report.refused.is_some()))
    }),
    ("flagpost_plugin_crashes_in_a_row", "Calls in a row that ended without an answer", |report| f64::from(report.crashes_in_a_row)),
];
