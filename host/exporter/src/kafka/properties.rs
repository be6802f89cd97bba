//! librdkafka's settings: ours by default, what upstream's keys mean, and the operator's own (`kafka.properties`), which win.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use flagpost_settings::{Place, Problems, did_you_mean};
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::Secret;

/// Where these keys stand.
const AT: &str = "kafka.properties";

/// Settings with librdkafka's names. Any of them may be a secret.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings(BTreeMap<String, Secret>);

/// Settings that are the exporter's own business, and what to use instead.
const OWN: &[(&str, &str)] = &[
    ("bootstrap.servers", "use `kafka.addresses`"),
    ("metadata.broker.list", "use `kafka.addresses`"),
    ("transactional.id", "use `kafka.transactional: true`: the id is made from the store and the exporter's name"),
    ("partitioner", "use `kafka.partitioner`"),
    ("group.id", "nothing is consumed"),
    ("plugin.library.paths", "code is added as a WebAssembly exporter"),
    ("statistics.interval.ms", "see `/metrics`"),
];

/// Settings a producer is likely to be given: to find the one that was meant. librdkafka's CONFIGURATION.md has all of them.
const LIKELY: &[&str] = &[
    "acks",
    "batch.num.messages",
    "batch.size",
    "broker.address.family",
    "broker.address.ttl",
    "client.dns.lookup",
    "client.id",
    "client.rack",
    "compression.codec",
    "compression.level",
    "compression.type",
    "connections.max.idle.ms",
    "debug",
    "delivery.timeout.ms",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "enable.random.seed",
    "enable.sasl.oauthbearer.unsecure.jwt",
    "enable.ssl.certificate.verification",
    "https.ca.location",
    "https.ca.pem",
    "linger.ms",
    "log.connection.close",
    "max.in.flight.requests.per.connection",
    "message.copy.max.bytes",
    "message.max.bytes",
    "message.send.max.retries",
    "message.timeout.ms",
    "metadata.max.age.ms",
    "metadata.recovery.strategy",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queue.buffering.max.ms",
    "receive.message.max.bytes",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "request.required.acks",
    "request.timeout.ms",
    "retries",
    "retry.backoff.max.ms",
    "retry.backoff.ms",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.config",
    "sasl.oauthbearer.extensions",
    "sasl.oauthbearer.method",
    "sasl.oauthbearer.scope",
    "sasl.oauthbearer.token.endpoint.url",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "socket.connection.setup.timeout.ms",
    "socket.keepalive.enable",
    "socket.max.fails",
    "socket.nagle.disable",
    "socket.receive.buffer.bytes",
    "socket.send.buffer.bytes",
    "socket.timeout.ms",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.cipher.suites",
    "ssl.crl.location",
    "ssl.curves.list",
    "ssl.endpoint.identification.algorithm",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.sigalgs.list",
    "sticky.partitioning.linger.ms",
    "topic.metadata.propagation.max.ms",
    "topic.metadata.refresh.fast.interval.ms",
    "topic.metadata.refresh.interval.ms",
    "topic.metadata.refresh.sparse",
    "transaction.timeout.ms",
];

/// Names of librdkafka's that mean the same: the one that is looked up here first.
const ALIASES: &[(&str, &str)] = &[
    ("compression.type", "compression.codec"),
    ("delivery.timeout.ms", "message.timeout.ms"),
    ("queue.buffering.max.ms", "linger.ms"),
    ("request.required.acks", "acks"),
    ("retries", "message.send.max.retries"),
    ("sasl.mechanisms", "sasl.mechanism"),
    ("max.in.flight", "max.in.flight.requests.per.connection"),
];

impl Settings {
    /// Sets one; the last word counts.
    pub(super) fn set(&mut self, key: &str, value: String) {
        let key = ALIASES.iter().find(|(alias, _)| *alias == key).map_or(key, |(_, name)| name);
        self.0.insert(key.to_owned(), Secret::new(value));
    }

    /// Sets one that nobody has set.
    pub(super) fn fill(&mut self, key: &str, value: impl ToString) {
        if self.get(key).is_none() {
            self.set(key, value.to_string());
        }
    }

    /// Its value; may be a secret.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(Secret::reveal)
    }

    /// Takes over the operator's own, after a look at each.
    pub(super) fn overlay(&mut self, own: &Settings, problems: &mut Problems) {
        for (key, value) in &own.0 {
            let path = format!("{AT}.{key}");
            if let Some((_, fix)) = OWN.iter().find(|(name, _)| name == key) {
                problems.error(path, Place::Nowhere, "is not to be set here", *fix);
                continue;
            }
            let mut alone = ClientConfig::new();
            alone.set(key.as_str(), value.reveal());
            match alone.create_native_config() {
                Ok(_) => self.set(key, value.reveal().to_owned()),
                // What the library says may hold the value.
                Err(error) => problems.error(path, Place::Nowhere, hide(&library(&error), value), did_you_mean(key, LIKELY)),
            }
        }
    }

    /// All of them; values may be secrets.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.reveal()))
    }

    /// Texts that must not be printed.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        const SECRET: [&str; 5] = ["password", "secret", ".pem", "oauthbearer.config", "assertion"];
        let secret = |key: &str| SECRET.iter().any(|part| key.contains(part));
        self.0.iter().filter(|(key, value)| secret(key) && value.reveal().len() > 1).map(|(_, value)| value.clone()).collect()
    }
}

/// What librdkafka says of a setting, without the setting.
pub(super) fn library(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, description, _, _) => one_line(description),
        KafkaError::ClientCreation(description) => one_line(description),
        other => one_line(&other.to_string()),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn hide(text: &str, secret: &Secret) -> String {
    if secret.reveal().is_empty() { text.to_owned() } else { text.replace(secret.reveal(), "…") }
}

/// A map whose keys may be nested, as environment variables write them: `SASL_PASSWORD` is `sasl: { password: … }` is `sasl.password`.
enum Tree {
    Leaf(String),
    Map(BTreeMap<String, Tree>),
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Tree;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text, a number, `true` or `false`")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
                Ok(Tree::Leaf(value.to_string()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
                Ok(Tree::Leaf(value.to_string()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
                Ok(Tree::Leaf(value.to_string()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
                Ok(Tree::Leaf(value.to_string()))
            }

            fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
                Ok(Tree::Leaf(text.to_owned()))
            }

            fn visit_unit<E>(self) -> Result<Tree, E> {
                Ok(Tree::Leaf(String::new()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some((key, value)) = map.next_entry()? {
                    entries.insert(key, value);
                }
                Ok(Tree::Map(entries))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

impl Tree {
    fn flatten(self, key: String, out: &mut Settings) {
        match self {
            Tree::Leaf(text) => out.set(&key, text),
            Tree::Map(entries) => {
                for (name, tree) in entries {
                    tree.flatten(flagpost_settings::join(&key, &name.to_lowercase()), out);
                }
            }
        }
    }
}

impl<'de> Deserialize<'de> for Settings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut settings = Settings::default();
        for (key, tree) in BTreeMap::<String, Tree>::deserialize(deserializer)? {
            tree.flatten(key.to_lowercase(), &mut settings);
        }
        Ok(settings)
    }
}

impl Serialize for Settings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl JsonSchema for Settings {
    fn schema_name() -> Cow<'static, str> {
        "librdkafka settings".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": { "type": ["string", "number", "boolean"] } })
    }
}
