//! The `kafka` exporter's keys.

use std::sync::Arc;
use std::time::Duration;

use flagpost_settings::{Place, Problems};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::invalid;
use crate::kind::Kind;
use crate::{BuildContext, Exporter, Secret};

use super::KafkaExporter;
use super::client::Connector;
use super::mapping::{Wishes, map};
use super::properties::Settings;
use super::sarama::Sarama;

/// How long a message may take, attempts at it included: then the events are tried again from the log. Long enough for a broker to be
/// restarted: what the library sends again by itself makes no duplicates.
const DELIVERY: Duration = Duration::from_secs(30);

/// How long a broker waits for a transaction's end, at least: a transaction outlives its messages. sarama's and Java's.
const TRANSACTION: Duration = Duration::from_secs(60);

/// sarama's largest message, and (nearly) what brokers take by default.
const LARGEST_MESSAGE: u32 = 1 << 20;

/// librdkafka's largest request.
const LARGEST_REQUEST: u32 = 1_000_000;

/// One Kafka message per event: the key is the event's user key, the value its JSON.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Keys {
    /// Mandatory. Where messages go and how.
    kafka: Target,
}

/// A topic, its brokers, and how they are talked to.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct Target {
    /// Mandatory. The topic.
    topic: String,
    /// Mandatory. Brokers as `host:port`; one text may hold several, with commas between them.
    addresses: Vec<String>,
    /// Settings of the producer, with the names of upstream's library (sarama).
    config: Sarama,
    /// Which partition a message goes to: by a hash of its key.
    partitioner: Partitioner,
    /// Each batch is one transaction: a consumer with `isolation.level=read_committed` sees each event exactly once, even if the relay is
    /// killed in between. Batches are then cut by `maxEventInMemory` and `flushInterval`.
    transactional: bool,
    /// Certificates; giving one switches encryption on.
    tls: TlsFiles,
    /// Tokens for the mechanism OAUTHBEARER, from an OpenID Connect provider (client credentials).
    oauth: OAuth,
    /// Settings with librdkafka's names; they win over all others.
    properties: Settings,
}

/// Files in PEM form.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct TlsFiles {
    /// Certificates of the authorities that the brokers' certificates come from. Default: the system's.
    ca_file: String,
    /// This relay's certificate and those above it.
    certificate_file: String,
    /// The private key of that certificate.
    key_file: String,
    /// The private key's password.
    key_password: Option<Secret>,
}

/// Where tokens come from.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct OAuth {
    /// The provider's token endpoint.
    token_endpoint_url: String,
    /// This relay's id there.
    client_id: String,
    /// This relay's secret there.
    client_secret: Option<Secret>,
    /// What is asked for.
    scope: String,
    /// Extensions for the broker: `name=value`, with commas between them.
    extensions: String,
}

/// Which partition a message goes to.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Partitioner {
    /// Upstream's: |FNV-1a| modulo the number of partitions. The default, so that existing topics keep their placement.
    #[default]
    Fnv1a,
    /// The Java client's: the same placement as Kafka Streams and Connect.
    Murmur2,
    /// librdkafka's: the same placement as the clients for C, Go (Confluent's) and .NET.
    Crc32,
    /// Any. No order per user.
    Random,
}

impl Partitioner {
    /// librdkafka's name. Keys are never null (an empty user key is an empty key), so the variants that treat null apart are the same.
    fn name(self) -> &'static str {
        match self {
            Partitioner::Fnv1a => "fnv1a",
            Partitioner::Murmur2 => "murmur2",
            Partitioner::Crc32 => "consistent",
            Partitioner::Random => "random",
        }
    }
}

/// A checked configuration.
#[derive(Clone, Debug)]
pub(super) struct KafkaConfig {
    pub(super) topic: Arc<str>,
    /// For messages.
    pub(super) addresses: String,
    pub(super) settings: Settings,
    /// How long a message, and each step of a transaction, may take.
    pub(super) timeout: Duration,
    /// The exporter's name within its flag set, when batches are transactions.
    pub(super) transactional: Option<Arc<str>>,
}

impl Kind for Keys {
    const NAME: &'static str = "kafka";
    const LOCATION: &'static [&'static str] = &["kafka.topic", "kafka.addresses"];

    fn build(self, problems: &mut Problems, context: &BuildContext) -> Option<Arc<dyn Exporter>> {
        let config = self.kafka.check(problems, context);
        if problems.has_errors() {
            return None;
        }
        let connector = Connector::new(config);
        match connector.trial() {
            Ok(()) => Some(Arc::new(KafkaExporter::new(connector))),
            Err(message) => {
                problems.error("kafka", Place::Nowhere, message, "");
                None
            }
        }
    }
}

#[cfg(test)]
impl Keys {
    pub(super) fn check(self, problems: &mut Problems, context: &BuildContext) -> KafkaConfig {
        self.kafka.check(problems, context)
    }
}

impl Target {
    fn check(self, problems: &mut Problems, context: &BuildContext) -> KafkaConfig {
        let texts = self.addresses.iter().flat_map(|text| text.split(','));
        let addresses = texts.map(str::trim).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(",");
        if self.topic.is_empty() || addresses.is_empty() {
            // Upstream's words, letter by letter.
            let what = "\"kakfa.topic\" and \"kafka.addresses\" are required for kind \"kafka\"";
            invalid(problems, "kafka", what, "set `kafka: { topic: my-topic, addresses: [ \"broker:9092\" ] }`");
        } else if !is_topic(&self.topic) {
            let fix = "1 to 249 of: ASCII letters, digits, `.`, `_`, `-`";
            problems.error("kafka.topic", Place::Nowhere, "no topic can be called so", fix);
        }
        let mut settings = Settings::default();
        let wishes = map(&self.config, &mut settings, problems);
        self.security(wishes, &mut settings, problems);
        settings.overlay(&self.properties, problems);
        if self.transactional {
            let acks = settings.get("acks").is_some_and(|acks| !matches!(acks, "all" | "-1"));
            if acks || settings.get("enable.idempotence") == Some("false") {
                let fix = "remove `requiredAcks` (`acks`) and `idempotent` (`enable.idempotence`)";
                problems.error("kafka.transactional", Place::Nowhere, "transactions need an idempotent producer", fix);
            }
        }
        settings.set("bootstrap.servers", addresses.clone());
        settings.set("partitioner", self.partitioner.name().to_owned());
        defaults(&mut settings);
        let timeout = settings.get("message.timeout.ms").and_then(|millis| millis.parse().ok()).filter(|&millis| millis > 0);
        if timeout.is_none() {
            let fix = "write milliseconds; events that were not delivered are tried again from the log, for ever";
            problems.error("kafka.properties.message.timeout.ms", Place::Nowhere, "an attempt needs an end", fix);
        }
        let timeout = timeout.map_or(DELIVERY, Duration::from_millis);
        if self.transactional {
            settings.fill("transaction.timeout.ms", TRANSACTION.max(timeout * 2).as_millis());
        }
        KafkaConfig {
            topic: self.topic.into(),
            addresses,
            settings,
            timeout,
            transactional: self.transactional.then(|| context.exporter.as_str().into()),
        }
    }

    /// Encryption and authentication.
    fn security(&self, wishes: Wishes, settings: &mut Settings, problems: &mut Problems) {
        let files = &self.tls;
        let password = files.key_password.as_ref().map(|password| password.reveal().to_owned());
        for (key, value) in [
            ("ssl.ca.location", files.ca_file.clone()),
            ("ssl.certificate.location", files.certificate_file.clone()),
            ("ssl.key.location", files.key_file.clone()),
            ("ssl.key.password", password.unwrap_or_default()),
        ] {
            if !value.is_empty() {
                settings.set(key, value);
            }
        }
        let given = [&files.ca_file, &files.certificate_file, &files.key_file].iter().any(|file| !file.is_empty());
        if given && wishes.tls == Some(false) {
            let fix = "remove one of the two";
            problems.error("kafka.tls", Place::Nowhere, "certificates are given, but `net.tls.enable` is false", fix);
        }
        if files.certificate_file.is_empty() != files.key_file.is_empty() {
            let message = "a client's certificate and its key belong together";
            problems.error("kafka.tls", Place::Nowhere, message, "set both `certificateFile` and `keyFile`");
        }
        let mechanism = self.mechanism(&wishes, settings, problems);
        let tls = wishes.tls.unwrap_or(given);
        let protocol = match (tls, mechanism.is_some()) {
            (false, false) => "plaintext",
            (true, false) => "ssl",
            (false, true) => "sasl_plaintext",
            (true, true) => "sasl_ssl",
        };
        settings.set("security.protocol", protocol.to_owned());
        if let Some(mechanism) = mechanism {
            settings.set("sasl.mechanism", mechanism);
        }
    }

    fn mechanism(&self, wishes: &Wishes, settings: &mut Settings, problems: &mut Problems) -> Option<String> {
        let oauth = &self.oauth;
        let tokens = !oauth.token_endpoint_url.is_empty();
        let chosen = wishes.mechanism.as_deref();
        let on = wishes.sasl.unwrap_or(tokens);
        if tokens && (!on || chosen.is_some_and(|mechanism| mechanism != "OAUTHBEARER")) {
            let message = "tokens are used by the mechanism OAUTHBEARER only";
            problems.error(
                "kafka.oauth",
                Place::Nowhere,
                message,
                "set `net.sasl: { enable: true, mechanism: OAUTHBEARER }`, or nothing there",
            );
        }
        if !on {
            return None;
        }
        let mechanism = chosen.unwrap_or(if tokens { "OAUTHBEARER" } else { "PLAIN" });
        if tokens {
            let secret = oauth.client_secret.as_ref().map(|secret| secret.reveal().to_owned());
            settings.set("sasl.oauthbearer.method", "oidc".to_owned());
            for (key, value) in [
                ("sasl.oauthbearer.token.endpoint.url", oauth.token_endpoint_url.clone()),
                ("sasl.oauthbearer.client.id", oauth.client_id.clone()),
                ("sasl.oauthbearer.client.secret", secret.unwrap_or_default()),
                ("sasl.oauthbearer.scope", oauth.scope.clone()),
                ("sasl.oauthbearer.extensions", oauth.extensions.clone()),
            ] {
                if !value.is_empty() {
                    settings.set(key, value);
                }
            }
        } else if mechanism == "OAUTHBEARER" && self.properties.get("sasl.oauthbearer.config").is_none() {
            let fix = "set `tokenEndpointUrl`, `clientId` and `clientSecret`";
            problems.error("kafka.oauth", Place::Nowhere, "OAUTHBEARER needs a place where tokens come from", fix);
        } else if mechanism != "OAUTHBEARER" && settings.get("sasl.username").or(self.properties.get("sasl.username")).is_none() {
            let message = format!("{mechanism} needs a user");
            problems.error("kafka.config.net.sasl.user", Place::Nowhere, message, "set `user` and `password`");
        }
        Some(mechanism.to_owned())
    }
}

/// What is used when nobody said otherwise.
fn defaults(settings: &mut Settings) {
    settings.fill("client.id", "flagpost");
    settings.fill("enable.idempotence", true);
    settings.fill("acks", "all");
    settings.fill("message.timeout.ms", DELIVERY.as_millis());
    settings.fill("message.max.bytes", LARGEST_MESSAGE);
    // A request that is larger than the largest message would be refused as a whole.
    let largest = settings.get("message.max.bytes").and_then(|bytes| bytes.parse().ok()).unwrap_or(LARGEST_MESSAGE);
    settings.fill("batch.size", largest.min(LARGEST_REQUEST));
    // sarama's.
    settings.fill("request.timeout.ms", 10_000);
    settings.fill("socket.timeout.ms", 30_000);
    // With the library's ten seconds, a broker that came back is not tried before the messages have timed out.
    settings.fill("reconnect.backoff.max.ms", 2_000);
    // What waits, waits on disk: here is room for a few calls.
    settings.fill("queue.buffering.max.kbytes", 64 << 10);
    settings.fill("log.connection.close", false);
}

/// Kafka's rule.
fn is_topic(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    name.len() <= 249 && name != "." && name != ".." && name.bytes().all(legal)
}
