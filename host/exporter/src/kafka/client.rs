//! librdkafka's clients: how they are made, what they say on the side, and how they end.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::producer::FutureProducer;
use rdkafka::types::RDKafkaErrorCode as Code;

use crate::{ExportError, ProbeError, Secret};

use super::config::KafkaConfig;
use super::outcome::{Meaning, failure, meaning};
use super::properties::library;

/// Settings that say how brokers are reached; the others are a producer's own.
const CONNECTION: &[&str] = &[
    "api.version.",
    "bootstrap.",
    "broker.",
    "client.",
    "debug",
    "enable.sasl",
    "enable.ssl",
    "https.",
    "log.",
    "reconnect.",
    "sasl.",
    "security.",
    "socket.",
    "ssl.",
];

/// Makes the clients of one exporter.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    pub(super) config: KafkaConfig,
    pub(super) watch: Watch,
}

/// What clients say beside their replies: why connections fail is known from here only.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    trouble: Arc<Mutex<Option<(Code, String)>>>,
    /// Never shown.
    secrets: Arc<[Secret]>,
}

/// A producer. Ending one waits for threads: that is left to a thread of its own.
pub(super) struct Producer(Option<FutureProducer<Watch>>);

impl Deref for Producer {
    type Target = FutureProducer<Watch>;

    fn deref(&self) -> &FutureProducer<Watch> {
        match &self.0 {
            Some(producer) => producer,
            None => unreachable!("it is taken when it is dropped"),
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let producer = self.0.take();
        std::thread::spawn(move || drop(producer));
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Producer")
    }
}

impl Connector {
    pub(super) fn new(config: KafkaConfig) -> Self {
        let secrets = config.settings.secrets().into();
        Connector { config, watch: Watch { trouble: Arc::default(), secrets } }
    }

    /// Makes a producer that knows no broker and ends it again: whether the settings fit together and the certificates can be read.
    pub(super) fn trial(&self) -> Result<(), String> {
        let mut config = quiet();
        for (key, value) in self.config.settings.iter() {
            // Without them nothing is asked for a token.
            if key != "bootstrap.servers" && !key.starts_with("sasl.") {
                config.set(key, value);
            }
        }
        let encrypted = self.config.settings.get("security.protocol").is_some_and(|protocol| protocol.ends_with("ssl"));
        config.set("security.protocol", if encrypted { "ssl" } else { "plaintext" });
        if self.config.transactional.is_some() {
            config.set("transactional.id", "flagpost");
        }
        let made: Result<FutureProducer<Watch>, KafkaError> = config.create_with_context(self.watch.clone());
        made.map(drop).map_err(|error| self.watch.hide(&library(&error)))
    }

    /// A producer; with an id, a transactional one. Connects when it is used.
    pub(super) fn producer(&self, transactional: Option<&str>) -> Result<Producer, ExportError> {
        let mut config = quiet();
        for (key, value) in self.config.settings.iter() {
            config.set(key, value);
        }
        if let Some(id) = transactional {
            config.set("transactional.id", id);
        }
        self.watch.clear();
        let made = config.create_with_context(self.watch.clone());
        made.map(|producer| Producer(Some(producer))).map_err(|error| self.unmade(&error))
    }

    /// A client that can ask: it never makes a topic by asking for it.
    pub(super) fn consumer(&self, group: Option<&str>) -> Result<BaseConsumer<Watch>, ExportError> {
        let mut config = quiet();
        for (key, value) in self.config.settings.iter().filter(|(key, _)| CONNECTION.iter().any(|prefix| key.starts_with(prefix))) {
            config.set(key, value);
        }
        config.set("allow.auto.create.topics", "false");
        if let Some(group) = group {
            config.set("group.id", group);
            config.set("enable.auto.commit", "false");
            config.set("isolation.level", "read_committed");
        }
        config.create_with_context(self.watch.clone()).map_err(|error| self.unmade(&error))
    }

    /// Certificates were readable at start and no longer are, or the system gives no threads.
    fn unmade(&self, error: &KafkaError) -> ExportError {
        ExportError::misconfigured(format!("no Kafka client can be made: {}", self.watch.hide(&library(error))))
    }

    /// What an error means, and how it is told: with what the connections said, where that explains it.
    pub(super) fn explain(&self, code: Code) -> (Meaning, String) {
        let KafkaConfig { topic, addresses, .. } = &self.config;
        let told = format!("topic `{topic}` at {addresses}: {code}");
        match (meaning(code), self.watch.trouble()) {
            (Meaning::Passing, Some((cause, said))) if !told.ends_with(&said) => match meaning(cause) {
                Meaning::Alarm(advice) => (Meaning::Alarm(advice), format!("{told}: {said}")),
                _ => (Meaning::Passing, format!("{told}: {said}")),
            },
            (known, _) => (known, told),
        }
    }

    /// An operation on the client failed.
    pub(super) fn failed(&self, error: &KafkaError) -> ExportError {
        match error.rdkafka_error_code() {
            Some(code) => failure(self.explain(code)),
            None => ExportError::retryable(self.watch.hide(&library(error))),
        }
    }

    /// Asks for the topic. Blocks.
    pub(super) fn probe(&self) -> Result<(), ProbeError> {
        let asked = self.consumer(None).and_then(|consumer| {
            let metadata = consumer.fetch_metadata(Some(&self.config.topic), self.config.timeout.min(PROBE));
            let metadata = metadata.map_err(|error| {
                // What the connections said is waiting to be fetched; a consumer's client gives the codes only.
                while let Some(Err(told)) = consumer.poll(TOLD) {
                    let reason = told.rdkafka_error_code().map(|code| code.to_string()).unwrap_or_default();
                    self.watch.error(told, &reason);
                }
                self.failed(&error)
            })?;
            let topic = metadata.topics().iter().find(|topic| topic.name() == &*self.config.topic);
            match topic.and_then(|topic| topic.error()) {
                Some(error) => Err(failure(self.explain(error.into()))),
                None => Ok(()),
            }
        });
        asked.map_err(|error| ProbeError { reason: error.to_string() })
    }
}

/// How long a client is asked for what it has to say.
const TOLD: Duration = Duration::from_millis(50);

/// How long a probe may take.
const PROBE: Duration = crate::DEFAULT_TIMEOUT;

/// The library's own log is ours, see [`Watch`].
fn quiet() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set_log_level(RDKafkaLogLevel::Info);
    config
}

impl Watch {
    /// What last went wrong, if nothing went well since.
    fn trouble(&self) -> Option<(Code, String)> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Something went well.
    pub(super) fn clear(&self) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The text without secrets.
    fn hide(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.reveal(), "[redacted]"))
    }
}

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // What matters of it comes as an error, too, or as an outcome: this is for whoever looks closer.
        tracing::debug!(?level, facility, message = self.hide(message), "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let Some(code) = error.rdkafka_error_code() else { return };
        let reason = self.hide(reason);
        tracing::debug!(?code, reason, "librdkafka");
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        // "All brokers are down" follows each of them and explains nothing; what somebody must do something about is kept.
        let kept = matches!(&*trouble, Some((known, _)) if code == Code::AllBrokersDown || matches!(meaning(*known), Meaning::Alarm(_)));
        if !kept || matches!(meaning(code), Meaning::Alarm(_)) {
            *trouble = Some((code, reason));
        }
    }

    fn stats_raw(&self, _: &[u8]) {}
}

impl ConsumerContext for Watch {}
