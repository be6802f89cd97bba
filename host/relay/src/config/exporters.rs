//! `exporter` and `exporters`: keys that every exporter has here, the rest by its kind.

use std::path::PathBuf;

use flagpost_delivery::{DEFAULT_FLUSH_INTERVAL, DEFAULT_MAX_EVENTS, Policy, RetryPolicy, WhenFull};
use flagpost_event::EventKind;
use flagpost_exporter::{BuildContext, KindInfo, kinds};
use flagpost_settings::{self as settings, Data, Entry, Millis, Node, Place, Problem, Problems, Size, Span, decode, join};
use flagpost_spool::Identity;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::model::{DEFAULT_FLAG_SET, ExporterConfig, Target};
use super::{identity, wasm};

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
    &["kind", "name", "eventType", "flushInterval", "maxEventInMemory", "maxEventsPerCall", "retry", "maxBacklog", "whenFull"];

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
            Data::List(_) => problems.error("exporter", &entry.place, "expected one exporter, found a list", "call the key `exporters`"),
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
    let mut found: Vec<(Place, ExporterConfig)> = Vec::new();
    for (path, node) in nodes {
        let Some(exporter) = one(&path, node, budget, around, problems) else { continue };
        let twin = found
            .iter()
            .find(|(_, other)| other.identity == exporter.identity && other.events.iter().any(|kind| exporter.events.contains(kind)));
        if let Some((place, _)) = twin {
            let message = format!(
                "the same exporter as the one on {place}: both are `{}`, so their places in the log are one",
                exporter.identity.exporter
            );
            problems.error(path, &node.place, message, "give each a `name` of its own");
            continue;
        }
        found.push((node.place.clone(), exporter));
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
            problems.warning("exporters", root.get("exporters").map_or(Place::Nowhere, |entry| entry.place.clone()), message, "");
        }
    }
}

fn one(path: &str, node: &Node, budget: u64, around: &Surroundings<'_>, problems: &mut Problems) -> Option<ExporterConfig> {
    if !matches!(node.data, Data::Map(_)) {
        problems.error(
            path,
            &node.place,
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
        let own = own_keys(path, &node.place, &kind, wasm::KEYS, rest, problems);
        wasm::target(path, &own, common.max_events_per_call, around, problems)?
    } else {
        native(path, node, find_kind(path, node, &kind, problems)?, rest, common.name.as_deref(), around, problems)?
    };
    let exporter = match &common.name {
        Some(name) if name.is_empty() || name.len() > 100 || name.contains(|c: char| c.is_control() || c == '/') => {
            let place = node.get("name").map_or(&node.place, |entry| &entry.place);
            problems.error(join(path, "name"), place, "a name has 1 to 100 characters and no `/`", "choose another name");
            return None;
        }
        Some(name) => name.clone(),
        None => unnamed(&kind, &location),
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
    let (common, rest): (Vec<&Entry>, Vec<&Entry>) =
        node.entries().iter().partition(|entry| settings::find(COMMON_KEYS, &entry.key).is_some());
    (Node { place: node.place.clone(), data: Data::Map(common.into_iter().cloned().collect()) }, rest)
}

/// The entries that the kind takes, in its spelling; the others are complained about.
fn own_keys(path: &str, place: &Place, kind: &str, known: &[&'static str], rest: Vec<&Entry>, problems: &mut Problems) -> Node {
    let mut own: Vec<Entry> = Vec::new();
    for entry in rest {
        let path = join(path, &entry.key);
        if let Some(name) = settings::find(known, &entry.key) {
            match own.iter().find(|other| other.key == name) {
                Some(other) => {
                    let message = format!("`{}` was given before, on {}", entry.key, other.place);
                    problems.error(path, &entry.place, message, "keep one of the two");
                }
                None => own.push(Entry { key: name.to_owned(), ..entry.clone() }),
            }
        } else if settings::find(UPSTREAM_KEYS, &entry.key).is_some() {
            problems.warning(path, &entry.place, format!("has no effect on kind \"{kind}\""), "");
        } else if !settings::is_private(&entry.key) {
            let all: Vec<&str> = known.iter().chain(COMMON_KEYS).copied().collect();
            problems.push(settings::unknown(&path, &entry.key, &entry.place, &all));
        }
    }
    Node { place: place.clone(), data: Data::Map(own) }
}

fn find_kind(path: &str, node: &Node, kind: &str, problems: &mut Problems) -> Option<&'static KindInfo> {
    if let Some(info) = kinds().iter().find(|info| info.name == kind) {
        return Some(info);
    }
    let place = node.get("kind").map_or(&node.place, |entry| &entry.place);
    let names: Vec<&str> = kinds().iter().map(|info| info.name).chain([wasm::KIND]).collect();
    // Upstream's words.
    let fix = match settings::did_you_mean(kind, &names) {
        near if near.is_empty() => format!("known kinds: {}", settings::list(&names)),
        near => near,
    };
    problems.error(join(path, "kind"), place, format!("invalid exporter: kind \"{kind}\" is not supported"), fix);
    None
}

/// Values of the keys that say where data goes.
pub(crate) type Location = Vec<(&'static str, Value)>;

fn native(
    path: &str,
    node: &Node,
    info: &'static KindInfo,
    rest: Vec<&Entry>,
    name: Option<&str>,
    around: &Surroundings<'_>,
    problems: &mut Problems,
) -> Option<(Target, Location)> {
    let own = own_keys(path, &node.place, info.name, (info.keys)(), rest, problems);
    let value = |key: &'static str| Some((key, at(&own, key)?.to_json()));
    let location: Location = info.location_keys.iter().filter_map(|key| value(key)).collect();
    let exporter = name.map_or_else(|| unnamed(info.name, &location), str::to_owned);
    let (target, found) = match (info.build)(&own, &BuildContext { exporter, ..around.build.clone() }) {
        Ok(built) => (Some(Target::Native(built.exporter)), built.warnings),
        Err(error) => (None, error.problems),
    };
    for problem in found {
        // The kind itself is none of its own keys.
        let place = if problem.path == "kind" { node.place_at("kind").cloned().unwrap_or(problem.place) } else { problem.place };
        problems.push(Problem { path: join(path, &problem.path), place, message: own.hide(problem.message), ..problem });
    }
    target.map(|target| (target, location))
}

/// What an exporter without a name is called.
fn unnamed(kind: &str, location: &Location) -> String {
    let location: Vec<(&str, &Value)> = location.iter().map(|(key, value)| (*key, value)).collect();
    identity::unnamed(kind, &location)
}

/// The value at `a.b`.
fn at<'n>(node: &'n Node, path: &str) -> Option<&'n Node> {
    path.split('.').try_fold(node, |node, key| node.get(key).map(|entry| &entry.value))
}

fn policy(common: &Common, budget: u64, path: &str, node: &Node, problems: &mut Problems) -> Policy {
    let defaults = RetryPolicy::default();
    let retry = RetryPolicy {
        initial: common.retry.initial.map_or(defaults.initial, |span| span.0),
        max: common.retry.max.map_or(defaults.max, |span| span.0),
        max_elapsed: common.retry.max_elapsed.map(|span| span.0).filter(|span| !span.is_zero()),
    };
    if retry.initial > retry.max {
        let place = node.get("retry").map_or(&node.place, |entry| &entry.place);
        problems.error(join(path, "retry"), place, "`initial` is longer than `max`", "make `max` the longer one");
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
    }
}

fn text(node: &Node, key: &str) -> String {
    match node.get(key).map(|entry| &entry.value.data) {
        Some(Data::Scalar(scalar)) => scalar.text.clone(),
        _ => String::new(),
    }
}
