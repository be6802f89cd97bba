//! `exporter` and `exporters`: keys that every exporter has here, the rest by its kind.

use std::path::PathBuf;

use flagpost_delivery::{DEFAULT_FLUSH_INTERVAL, DEFAULT_MAX_EVENTS, Policy, RetryPolicy, WhenFull};
use flagpost_event::EventKind;
use flagpost_exporter::{BuildContext, KindInfo, kinds};
use flagpost_spool::Identity;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::decode::{decode, join};
use super::model::{DEFAULT_FLAG_SET, ExporterConfig, Target};
use super::node::{Data, Entry, Node};
use super::problem::Problems;
use super::units::{Millis, Size, Span};
use super::{identity, keys, wasm};

/// Upstream's kinds, exact and case-sensitive.
const UPSTREAM_KINDS: &[&str] = &[
    "file",
    "webhook",
    "log",
    "s3",
    "kinesis",
    "googleStorage",
    "sqs",
    "kafka",
    "pubsub",
    "bigquery",
    "azureBlobStorage",
    "opentelemetry",
];

/// Upstream's exporter keys: it takes each of them for every kind and uses those that fit.
const UPSTREAM_KEYS: &[&str] = &[
    "outputDir",
    "format",
    "filename",
    "csvTemplate",
    "parquetCompressionCodec",
    "bucket",
    "path",
    "endpointUrl",
    "secret",
    "meta",
    "headers",
    "logFormat",
    "queueUrl",
    "kafka",
    "projectID",
    "topic",
    "datasetID",
    "tableName",
    "googleCredentials",
    "autoMigrate",
    "streamArn",
    "streamName",
    "accountName",
    "accountKey",
    "container",
    "tracerName",
];

/// The keys of [`Common`].
const COMMON_KEYS: &[&str] =
    &["kind", "name", "eventType", "flushInterval", "maxEventInMemory", "maxEventsPerCall", "ordered", "retry", "maxBacklog", "whenFull"];

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Common {
    #[serde(rename = "kind")]
    _kind: IgnoredAny,
    name: Option<String>,
    event_type: EventType,
    flush_interval: Option<Millis>,
    max_event_in_memory: Option<u32>,
    max_events_per_call: Option<u32>,
    ordered: Option<bool>,
    retry: Retry,
    max_backlog: Option<Size>,
    when_full: Full,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
enum EventType {
    #[default]
    Feature,
    Tracking,
    All,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Retry {
    initial: Option<Span>,
    max: Option<Span>,
    max_elapsed: Option<Span>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Full {
    #[default]
    DropOldest,
    Block,
}

/// What exporters need to know of the rest.
pub(crate) struct Surroundings<'a> {
    /// `buffer.maxBytes`.
    pub(crate) max_bytes: u64,
    /// Where bare plugin names are.
    pub(crate) plugins_dir: PathBuf,
    /// What plugin paths with a `/` are relative to.
    pub(crate) base: PathBuf,
    /// What built-in kinds are built with.
    pub(crate) build: &'a BuildContext,
}

/// All exporters of the file: `exporter` first, as upstream has it.
pub(crate) fn exporters(root: &Node, around: &Surroundings<'_>, problems: &mut Problems) -> Vec<ExporterConfig> {
    let mut nodes: Vec<(String, &Node)> = Vec::new();
    if let Some(entry) = root.get("exporter") {
        match &entry.value.data {
            Data::Null => {}
            Data::List(_) => problems.error("exporter", entry.line, "expected one exporter, found a list", "call the key `exporters`"),
            _ => nodes.push(("exporter".to_owned(), &entry.value)),
        }
    }
    if let Some(entry) = root.get("exporters") {
        match &entry.value.data {
            Data::Null => {}
            Data::List(items) => nodes.extend(items.iter().enumerate().map(|(index, item)| (format!("exporters[{index}]"), item))),
            // Upstream takes a map for a list of one.
            _ => nodes.push(("exporters[0]".to_owned(), &entry.value)),
        }
    }
    let alone = nodes.len() == 1;
    let budget = if alone { around.max_bytes } else { around.max_bytes / 2 };
    let mut found: Vec<(u32, ExporterConfig)> = Vec::new();
    for (path, node) in nodes {
        let Some(exporter) = one(&path, node, budget, around, problems) else { continue };
        let twin = found
            .iter()
            .find(|(_, other)| other.identity == exporter.identity && other.events.iter().any(|kind| exporter.events.contains(kind)));
        if let Some((line, _)) = twin {
            let message = format!(
                "the same exporter as the one on line {line}: both are `{}`, so their places in the log are one",
                exporter.identity.exporter
            );
            problems.error(path, node.line, message, "give each a `name` of its own");
            continue;
        }
        found.push((node.line, exporter));
    }
    found.into_iter().map(|(_, exporter)| exporter).collect()
}

/// Says which events nobody reads; only of a configuration that holds, since a wrong exporter may be the one that would.
pub(crate) fn warn_unread(root: &Node, exporters: &[ExporterConfig], problems: &mut Problems) {
    if problems.has_errors() {
        return;
    }
    for kind in EventKind::ALL {
        if !exporters.iter().any(|exporter| exporter.events.contains(&kind)) {
            let message = format!("no exporter takes {kind} events: they are answered with 200, counted as `no_exporter`, and not kept");
            problems.warning("exporters", root.get("exporters").map_or(0, |entry| entry.line), message, "");
        }
    }
}

fn one(path: &str, node: &Node, budget: u64, around: &Surroundings<'_>, problems: &mut Problems) -> Option<ExporterConfig> {
    if !matches!(node.data, Data::Map(_)) {
        problems.error(
            path,
            node.line,
            format!("expected an exporter's keys, found {}", node.describe()),
            "write `- kind: file` and its keys",
        );
        return None;
    }
    let (common, rest) = split(node);
    let common: Common = decode(&common, path, problems);
    let policy = policy(&common, budget, path, node, problems);
    let kind = text(node, "kind");
    let (target, location) = if kind == wasm::KIND {
        let own = own_keys(path, &kind, wasm::KEYS, rest, problems);
        wasm::target(path, &own, common.max_events_per_call, around, problems)?
    } else {
        native(path, node, find_kind(path, node, &kind, problems)?, rest, around, problems)?
    };
    if let Target::Wasm(spec) = &target
        && spec.limits.instances > 1
        && common.ordered != Some(false)
    {
        let line = node.line_at("limits.instances").unwrap_or(node.line);
        let message = format!("{} instances, and one at a time would be used: batches are sent in order", spec.limits.instances);
        let fix = "set `ordered: false` if events may arrive in another order, or remove `instances`";
        problems.error(join(path, "limits.instances"), line, message, fix);
    }
    let exporter = match &common.name {
        Some(name) if name.is_empty() || name.len() > 100 || name.contains(|c: char| c.is_control() || c == '/') => {
            let line = node.get("name").map_or(node.line, |entry| entry.line);
            problems.error(join(path, "name"), line, "a name has 1 to 100 characters and no `/`", "choose another name");
            return None;
        }
        Some(name) => name.clone(),
        None => {
            let location: Vec<(&str, &Value)> = location.iter().map(|(key, value)| (*key, value)).collect();
            identity::unnamed(&kind, &location)
        }
    };
    let events = match common.event_type {
        EventType::Feature => vec![EventKind::Feature],
        EventType::Tracking => vec![EventKind::Tracking],
        EventType::All => EventKind::ALL.to_vec(),
    };
    let target = target.named(&exporter);
    let identity = Identity { flag_set: DEFAULT_FLAG_SET.to_owned(), exporter };
    Some(ExporterConfig { identity, kind, events, policy, target })
}

/// The node with the keys that every exporter has, and the other entries.
fn split(node: &Node) -> (Node, Vec<&Entry>) {
    let (common, rest): (Vec<&Entry>, Vec<&Entry>) = node.entries().iter().partition(|entry| keys::find(COMMON_KEYS, &entry.key).is_some());
    (Node { line: node.line, data: Data::Map(common.into_iter().cloned().collect()) }, rest)
}

/// The entries that the kind takes, in its spelling; the others are complained about.
fn own_keys(path: &str, kind: &str, known: &[&'static str], rest: Vec<&Entry>, problems: &mut Problems) -> Node {
    let mut own: Vec<Entry> = Vec::new();
    for entry in rest {
        let place = join(path, &entry.key);
        if let Some(name) = keys::find(known, &entry.key) {
            match own.iter().find(|other| other.key == name) {
                Some(other) => {
                    let message = format!("`{}` was given before, on line {}", entry.key, other.line);
                    problems.error(place, entry.line, message, "keep one of the two");
                }
                None => own.push(Entry { key: name.to_owned(), ..entry.clone() }),
            }
        } else if keys::find(UPSTREAM_KEYS, &entry.key).is_some() {
            problems.warning(place, entry.line, format!("has no effect on kind \"{kind}\""), "");
        } else if !keys::is_private(&entry.key) {
            let all: Vec<&str> = known.iter().chain(COMMON_KEYS).copied().collect();
            problems.push(keys::unknown(&place, &entry.key, entry.line, &all));
        }
    }
    Node { line: 0, data: Data::Map(own) }
}

fn find_kind(path: &str, node: &Node, kind: &str, problems: &mut Problems) -> Option<&'static KindInfo> {
    if let Some(info) = kinds().iter().find(|info| info.name == kind) {
        return Some(info);
    }
    let line = node.get("kind").map_or(node.line, |entry| entry.line);
    let served: Vec<&str> = kinds().iter().map(|info| info.name).chain([wasm::KIND]).collect();
    let known = format!("kinds that are served: {}", keys::list(&served));
    if UPSTREAM_KINDS.contains(&kind) {
        problems.error(join(path, "kind"), line, format!("kind \"{kind}\" is not served yet"), known);
    } else {
        // Upstream's words.
        let fix = match keys::did_you_mean(kind, &served) {
            near if near.is_empty() => known,
            near => near,
        };
        problems.error(join(path, "kind"), line, format!("invalid exporter: kind \"{kind}\" is not supported"), fix);
    }
    None
}

/// Values of the keys that say where data goes.
pub(crate) type Location = Vec<(&'static str, Value)>;

fn native(
    path: &str,
    node: &Node,
    info: &'static KindInfo,
    rest: Vec<&Entry>,
    around: &Surroundings<'_>,
    problems: &mut Problems,
) -> Option<(Target, Location)> {
    let own = own_keys(path, info.name, info.keys, rest, problems);
    let entries = own.entries();
    let value = |key: &'static str| entries.iter().find(|entry| entry.key == key).map(|entry| (key, identity::written(&entry.value)));
    let location = info.location_keys.iter().filter_map(|key| value(key)).collect();
    let settings: Map<String, Value> = entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect();
    match (info.build)(Value::Object(settings), around.build) {
        Ok(exporter) => Some((Target::Native(exporter), location)),
        Err(error) => {
            for problem in error.problems {
                let line = own.line_at(&problem.path).unwrap_or(node.line);
                problems.error(join(path, &problem.path), line, own.hide(problem.message), problem.help);
            }
            None
        }
    }
}

fn policy(common: &Common, budget: u64, path: &str, node: &Node, problems: &mut Problems) -> Policy {
    let defaults = RetryPolicy::default();
    let retry = RetryPolicy {
        initial: common.retry.initial.map_or(defaults.initial, |span| span.0),
        max: common.retry.max.map_or(defaults.max, |span| span.0),
        max_elapsed: common.retry.max_elapsed.map(|span| span.0).filter(|span| !span.is_zero()),
    };
    if retry.initial > retry.max {
        let line = node.get("retry").map_or(node.line, |entry| entry.line);
        problems.error(join(path, "retry"), line, "`initial` is longer than `max`", "make `max` the longer one");
    }
    Policy {
        // 0 is upstream's way of writing the default.
        max_events: common.max_event_in_memory.filter(|&events| events > 0).map_or(DEFAULT_MAX_EVENTS, |events| events as usize),
        flush_interval: common.flush_interval.map(|millis| millis.0).filter(|span| !span.is_zero()).unwrap_or(DEFAULT_FLUSH_INTERVAL),
        retry,
        max_backlog: common.max_backlog.map_or(budget, |size| size.0),
        when_full: match common.when_full {
            Full::DropOldest => WhenFull::DropOldest,
            Full::Block => WhenFull::Block,
        },
        max_events_per_call: common.max_events_per_call.filter(|&events| events > 0).map(|events| events as usize),
        ordered: common.ordered,
    }
}

fn text(node: &Node, key: &str) -> String {
    match node.get(key).map(|entry| &entry.value.data) {
        Some(Data::Scalar(scalar)) => scalar.text.clone(),
        _ => String::new(),
    }
}
