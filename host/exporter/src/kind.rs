//! The registry of kinds: what the configuration calls them, which keys they take, how they are built.
//!
//! A kind's keys are a struct ([`Kind`]): its doc comments are the reference, its `Default` the defaults, its fields the known keys. What the
//! configuration, its JSON schema and its reference page know of a kind is read off that struct.

use std::fmt;
use std::sync::Arc;

use flagpost_event::{Clock, Encodings, EventKind, SystemClock, Zone};
use flagpost_settings::{Node, Place, Problems, decode, fields, schema};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

#[cfg(feature = "azure")]
use crate::azure;
#[cfg(feature = "bigquery")]
use crate::bigquery;
#[cfg(feature = "googlestorage")]
use crate::googlestorage;
#[cfg(feature = "kafka")]
use crate::kafka;
#[cfg(feature = "kinesis")]
use crate::kinesis;
#[cfg(feature = "opentelemetry")]
use crate::opentelemetry;
use crate::otel::Otel;
#[cfg(feature = "pubsub")]
use crate::pubsub;
#[cfg(feature = "s3")]
use crate::s3;
#[cfg(feature = "sqs")]
use crate::sqs;
use crate::{ConfigError, ConfigProblem, Exporter, LineSink, file, log, webhook};

/// Builds an exporter from its own keys.
pub type BuildFn = fn(&Node, &BuildContext) -> Result<Built, ConfigError>;

/// An exporter, and what is to be said about its configuration all the same.
pub struct Built {
    /// The exporter.
    pub exporter: Arc<dyn Exporter>,
    /// Warnings: paths relative to the exporter, as in [`ConfigError`].
    pub warnings: Vec<ConfigProblem>,
}

impl fmt::Debug for Built {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Built").field("warnings", &self.warnings).finish_non_exhaustive()
    }
}

/// A kind of exporter.
#[derive(Clone, Copy, Debug)]
pub struct KindInfo {
    /// The `kind` in the configuration; upstream's name.
    pub name: &'static str,
    /// Whether this version has it. The keys of one that it does not have are checked all the same.
    pub served: bool,
    /// The keys it takes beside the ones every exporter has (`kind`, `name`, `eventType`, `flushInterval`, ...), in the order of the reference.
    pub keys: fn() -> &'static [&'static str],
    /// JSON schema of those keys: descriptions, types and defaults.
    pub schema: fn() -> serde_json::Value,
    /// Those keys that say where data goes: an unnamed exporter's identity is a hash over them. `kafka.topic` is the
    /// key `topic` below `kafka`.
    pub location_keys: &'static [&'static str],
    /// Builds one from a map with nothing but [`keys`](Self::keys). Writes nothing and connects to nothing. The error holds all problems, each
    /// with its path and, where it has one, its place.
    pub build: BuildFn,
}

/// The keys of a kind, and what becomes of them. Mandatory keys are empty by default, since everything has a default.
pub(crate) trait Kind: DeserializeOwned + Default + JsonSchema {
    /// The `kind` in the configuration.
    const NAME: &'static str;
    /// The keys that say where data goes.
    const LOCATION: &'static [&'static str];
    /// Whether [`build`](Self::build) can succeed.
    const SERVED: bool = true;

    /// Checks the keys and builds the exporter; `None` only when something was complained about.
    fn build(self, problems: &mut Problems, context: &BuildContext) -> Option<Arc<dyn Exporter>>;
}

impl KindInfo {
    const fn of<K: Kind>() -> KindInfo {
        KindInfo { name: K::NAME, served: K::SERVED, keys: fields::<K>, schema: schema::<K>, location_keys: K::LOCATION, build: build::<K> }
    }
}

fn build<K: Kind>(keys: &Node, context: &BuildContext) -> Result<Built, ConfigError> {
    let mut problems = Problems::default();
    let exporter = decode::<K>(keys, "", &mut problems).build(&mut problems, context);
    let (mut problems, fatal) = problems.finish();
    for problem in problems.iter_mut().filter(|problem| problem.place == Place::Nowhere) {
        problem.place = keys.place_at(&problem.path).unwrap_or(&keys.place).clone();
    }
    match exporter {
        Some(exporter) if !fatal => Ok(Built { exporter, warnings: problems }),
        _ => Err(ConfigError { problems }),
    }
}

/// What an exporter knows of the program it runs in.
#[derive(Clone)]
pub struct BuildContext {
    /// The machine's name, upstream's `os.Hostname()`.
    pub hostname: String,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// Where the `log` exporter writes.
    pub lines: Arc<dyn LineSink>,
    /// The kinds of events that the exporter gets: templates must fit each.
    pub events: Vec<EventKind>,
    /// The time zone of dates in templates, upstream's process zone.
    pub zone: Zone,
    /// What the program's exporters encode, so that equal encodings are shared.
    pub encodings: Arc<Encodings>,
    /// What the exporter is called within its flag set: no other one is called so. For ids that must be its own at the destination.
    pub exporter: String,
    /// What the configuration says about OpenTelemetry outside of exporters.
    pub otel: Arc<Otel>,
}

impl fmt::Debug for BuildContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BuildContext").field("hostname", &self.hostname).finish_non_exhaustive()
    }
}

impl BuildContext {
    /// This machine's name, clock and time zone, log lines to standard error, events of both kinds.
    pub fn system() -> Self {
        let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
        BuildContext {
            hostname,
            clock: Arc::new(SystemClock),
            lines: Arc::new(crate::StderrLines),
            events: EventKind::ALL.to_vec(),
            zone: Zone::system(),
            encodings: Arc::default(),
            exporter: String::new(),
            otel: Arc::default(),
        }
    }
}

/// All of upstream's kinds, those first that this version serves.
pub fn kinds() -> &'static [KindInfo] {
    const KINDS: &[KindInfo] = &[
        KindInfo::of::<file::Keys>(),
        KindInfo::of::<log::Keys>(),
        KindInfo::of::<webhook::Keys>(),
        #[cfg(feature = "s3")]
        KindInfo::of::<s3::Keys>(),
        #[cfg(not(feature = "s3"))]
        KindInfo::of::<crate::left_out::S3>(),
        #[cfg(feature = "googlestorage")]
        KindInfo::of::<googlestorage::Keys>(),
        #[cfg(not(feature = "googlestorage"))]
        KindInfo::of::<crate::left_out::GoogleStorage>(),
        #[cfg(feature = "azure")]
        KindInfo::of::<azure::Keys>(),
        #[cfg(not(feature = "azure"))]
        KindInfo::of::<crate::left_out::AzureBlobStorage>(),
        #[cfg(feature = "kafka")]
        KindInfo::of::<kafka::Keys>(),
        #[cfg(not(feature = "kafka"))]
        KindInfo::of::<crate::left_out::Kafka>(),
        #[cfg(feature = "kinesis")]
        KindInfo::of::<kinesis::Keys>(),
        #[cfg(not(feature = "kinesis"))]
        KindInfo::of::<crate::left_out::Kinesis>(),
        #[cfg(feature = "sqs")]
        KindInfo::of::<sqs::Keys>(),
        #[cfg(not(feature = "sqs"))]
        KindInfo::of::<crate::left_out::Sqs>(),
        #[cfg(feature = "pubsub")]
        KindInfo::of::<pubsub::Keys>(),
        #[cfg(not(feature = "pubsub"))]
        KindInfo::of::<crate::left_out::PubSub>(),
        #[cfg(feature = "bigquery")]
        KindInfo::of::<bigquery::Keys>(),
        #[cfg(not(feature = "bigquery"))]
        KindInfo::of::<crate::left_out::BigQuery>(),
        #[cfg(feature = "opentelemetry")]
        KindInfo::of::<opentelemetry::Keys>(),
        #[cfg(not(feature = "opentelemetry"))]
        KindInfo::of::<crate::left_out::OpenTelemetry>(),
    ];
    KINDS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_every_kind_is_documented() {
        for info in kinds() {
            let schema = (info.schema)();
            assert!(schema["description"].is_string(), "{}", info.name);
            for key in (info.keys)() {
                assert!(schema["properties"][key]["description"].is_string(), "{}: {key}", info.name);
            }
            for key in info.location_keys {
                let head = key.split('.').next().unwrap_or(key);
                assert!((info.keys)().contains(&head), "{}: {key}", info.name);
            }
        }
    }

    #[test]
    fn mandatory_keys_are_asked_for_in_upstreams_words() {
        let property = |kind: &str, key: &str| format!("invalid exporter: no \"{key}\" property found for kind \"{kind}\"");
        let both = |kind: &str, keys: &str| format!("invalid exporter: {keys} are required for kind \"{kind}\"");
        let table = [
            ("file", vec![property("file", "outputDir")]),
            ("webhook", vec![property("webhook", "endpointUrl")]),
            ("s3", vec![property("s3", "bucket")]),
            ("googleStorage", vec![property("googleStorage", "bucket")]),
            ("azureBlobStorage", vec![property("azureBlobStorage", "container"), property("azureBlobStorage", "accountName")]),
            ("kafka", vec![both("kafka", "\"kakfa.topic\" and \"kafka.addresses\"")]),
            ("kinesis", vec!["invalid exporter: no \"streamArn\" or \"streamName\" property found for kind \"kinesis\"".to_owned()]),
            ("sqs", vec![property("sqs", "queueUrl")]),
            ("pubsub", vec![both("pubsub", "\"projectID\" and \"topic\"")]),
            ("bigquery", vec![both("bigquery", "\"projectID\" and \"datasetID\"")]),
            ("opentelemetry", vec!["no endpoint: upstream exports nothing then, and says nothing".to_owned()]),
            ("log", vec![]),
        ];
        assert_eq!(table.len(), kinds().len());
        for (kind, expected) in table {
            let info = kinds().iter().find(|info| info.name == kind).unwrap_or_else(|| panic!("{kind} is missing"));
            let problems = (info.build)(&Node::null(), &BuildContext::system()).err().map(|error| error.problems).unwrap_or_default();
            let mut said: Vec<String> = problems.into_iter().map(|problem| problem.message).collect();
            if expected.is_empty() && !info.served {
                assert_eq!(said, [format!("kind \"{kind}\" was left out of this build")]);
                said.clear();
            }
            assert_eq!(said, expected, "{kind}");
        }
    }
}
