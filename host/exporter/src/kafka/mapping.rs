//! From sarama's settings to librdkafka's.
//!
//! Upstream's merge drops every setting whose default is not zero: `requiredAcks`, `retry`, timeouts, `maxMessageBytes`, `clientID`. Here
//! each is effective, warned about (harmless, no counterpart), or refused (leaving it out would change where or how safely data goes).

use flagpost_settings::{Place, Problems};

use super::properties::Settings;
use super::sarama::{Acks, GoDuration, Metadata, Net, Producer, Sarama, Sasl, Tls};

/// Where these keys stand.
const AT: &str = "kafka.config";

/// TLS 1.2 as Go writes it; OpenSSL 3 takes nothing older.
const TLS_1_2: u16 = 0x0303;

/// The mechanisms that can be had.
const MECHANISMS: [&str; 4] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"];

/// What the rest of the configuration needs to know.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    pub(super) tls: Option<bool>,
    pub(super) sasl: Option<bool>,
    pub(super) mechanism: Option<String>,
}

/// Puts what `config` says into `out`.
pub(super) fn map(config: &Sarama, out: &mut Settings, problems: &mut Problems) -> Wishes {
    let mut map = Map { out, problems };
    map.set("client.id", config.client_id.clone());
    map.set("client.rack", config.rack_id.clone());
    map.set("api.version.request", config.api_versions_request);
    map.unused("version", config.version.is_some(), "the protocol's version is agreed upon with each broker");
    map.unused("channelBufferSize", config.channel_buffer_size.is_some(), "there is no such buffer");
    map.unused("admin", config.admin.is_some(), "nothing is administered");
    map.unused("consumer", config.consumer.is_some(), "nothing is consumed");
    map.net(&config.net);
    map.metadata(&config.metadata);
    map.producer(&config.producer);
    let tls = map.tls(&config.net.tls);
    let (sasl, mechanism) = map.sasl(&config.net.sasl);
    Wishes { tls, sasl, mechanism }
}

struct Map<'a> {
    out: &'a mut Settings,
    problems: &'a mut Problems,
}

impl Map<'_> {
    fn set(&mut self, key: &'static str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.out.set(key, value.to_string());
        }
    }

    fn time(&mut self, key: &'static str, path: &str, value: Option<GoDuration>) {
        match value.map(GoDuration::millis) {
            Some(millis) if millis < 1 => self.refused(path, "is no time at all", "write a duration such as `10s`"),
            Some(millis) => self.out.set(key, millis.to_string()),
            None => {}
        }
    }

    fn unused(&mut self, path: &str, given: bool, why: &str) {
        if given {
            self.problems.warning(format!("{AT}.{path}"), Place::Nowhere, format!("has no effect: {why}"), "");
        }
    }

    fn refused(&mut self, path: &str, why: &str, fix: &str) {
        self.problems.error(format!("{AT}.{path}"), Place::Nowhere, why, fix);
    }

    fn net(&mut self, net: &Net) {
        self.set("max.in.flight.requests.per.connection", net.max_open_requests);
        self.time("socket.connection.setup.timeout.ms", "net.dialTimeout", net.dial_timeout);
        let longest = net.read_timeout.into_iter().chain(net.write_timeout).max_by_key(|timeout| timeout.0);
        self.time("socket.timeout.ms", if net.read_timeout.is_some() { "net.readTimeout" } else { "net.writeTimeout" }, longest);
        self.set("socket.keepalive.enable", net.keep_alive.map(|period| period.0 >= 0));
        let canonical = net.resolve_canonical_bootstrap_servers;
        let lookup = |canonical| if canonical { "resolve_canonical_bootstrap_servers_only" } else { "use_all_dns_ips" };
        self.set("client.dns.lookup", canonical.map(lookup));
        if net.proxy.is_some() {
            self.refused("net.proxy", "connections through a proxy are not possible", "remove it");
        }
        if net.local_addr.is_some() {
            self.refused("net.localAddr", "the system chooses the local address", "remove it");
        }
    }

    fn tls(&mut self, tls: &Tls) -> Option<bool> {
        self.set("enable.ssl.certificate.verification", tls.config.insecure_skip_verify.map(|skip| !skip));
        if tls.config.server_name.as_ref().is_some_and(|name| !name.is_empty()) {
            let fix =
                "connect by a name that the certificate has, or set `kafka.properties: { ssl.endpoint.identification.algorithm: none }`";
            self.refused("net.tls.config.serverName", "a certificate is checked against the name that is connected to", fix);
        }
        if tls.config.min_version.is_some_and(|version| version > TLS_1_2) {
            let fix = "remove it: TLS 1.3 is used wherever the broker has it; or require it at the broker (`ssl.enabled.protocols`)";
            self.refused("net.tls.config.minVersion", "versions above TLS 1.2 cannot be required here", fix);
        }
        tls.enable
    }

    fn sasl(&mut self, sasl: &Sasl) -> (Option<bool>, Option<String>) {
        let mechanism = sasl.mechanism.as_deref().filter(|name| !name.is_empty());
        let known = mechanism.map(|name| MECHANISMS.iter().find(|known| known.eq_ignore_ascii_case(name)));
        if known == Some(None) {
            self.refused(
                "net.sasl.mechanism",
                "no such mechanism is built in",
                "one of `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512`, `OAUTHBEARER`",
            );
        }
        self.set("sasl.username", sasl.user.clone());
        self.set("sasl.password", sasl.password.as_ref().map(|password| password.reveal().to_owned()));
        self.unused("net.sasl.version", sasl.version.is_some(), "it is agreed upon with each broker");
        if sasl.handshake == Some(false) {
            self.refused("net.sasl.handshake", "the handshake cannot be left out", "remove it");
        }
        for (path, value) in [("net.sasl.authIdentity", &sasl.auth_identity), ("net.sasl.scramAuthzID", &sasl.scram_authz_id)] {
            if value.as_ref().is_some_and(|value| !value.is_empty()) {
                self.refused(path, "acting as somebody else is not possible", "remove it and use a user of its own");
            }
        }
        if sasl.gssapi.is_some() {
            self.refused("net.sasl.gssapi", "Kerberos is not built in", "use SCRAM, OAUTHBEARER or client certificates");
        }
        (sasl.enable, known.flatten().map(|name| (*name).to_owned()))
    }

    fn metadata(&mut self, metadata: &Metadata) {
        let limited = "`message.timeout.ms` under `kafka.properties` limits the whole";
        self.time("topic.metadata.refresh.fast.interval.ms", "metadata.retry.backoff", metadata.retry.backoff);
        self.unused("metadata.retry.max", metadata.retry.max.is_some(), limited);
        self.unused("metadata.timeout", metadata.timeout.is_some(), limited);
        self.unused("metadata.singleFlight", metadata.single_flight.is_some(), "requests are combined anyway");
        self.set("topic.metadata.refresh.sparse", metadata.full.map(|full| !full));
        match metadata.refresh_frequency.map(GoDuration::millis) {
            Some(millis) if millis <= 0 => self.out.set("topic.metadata.refresh.interval.ms", "-1".to_owned()),
            Some(millis) => {
                self.out.set("topic.metadata.refresh.interval.ms", millis.to_string());
                // The library's own proportion: a refresh may fail twice before what is known is forgotten.
                self.out.set("metadata.max.age.ms", millis.saturating_mul(3).clamp(1, 86_400_000).to_string());
            }
            None => {}
        }
        if metadata.allow_auto_topic_creation == Some(false) {
            let fix = "set `auto.create.topics.enable=false` at the brokers";
            self.refused("metadata.allowAutoTopicCreation", "a producer always allows it; the brokers decide", fix);
        }
    }

    fn producer(&mut self, producer: &Producer) {
        self.set("message.max.bytes", producer.max_message_bytes);
        self.time("request.timeout.ms", "producer.timeout", producer.timeout);
        self.set("compression.codec", producer.compression.map(|codec| codec.0));
        // -1000 is sarama's way of writing the default, which librdkafka writes -1.
        self.set("compression.level", producer.compression_level.map(|level| if level == -1000 { -1 } else { level }));
        self.acks(producer);
        self.set("message.send.max.retries", producer.retry.max);
        self.time("retry.backoff.ms", "producer.retry.backoff", producer.retry.backoff);
        let buffered = "what waits is on disk";
        self.unused("producer.retry.maxBufferLength", producer.retry.max_buffer_length.is_some(), buffered);
        self.unused("producer.retry.maxBufferBytes", producer.retry.max_buffer_bytes.is_some(), buffered);
        let flush = &producer.flush;
        let messages = flush.messages.into_iter().chain(flush.max_messages).filter(|&messages| messages > 0).min();
        self.set("batch.num.messages", messages);
        self.set("batch.size", flush.bytes.filter(|&bytes| bytes > 0));
        self.set("linger.ms", flush.frequency.map(|wait| wait.millis().max(0)));
        self.time("transaction.timeout.ms", "producer.transaction.timeout", producer.transaction.timeout);
        self.unused("producer.transaction.retry", producer.transaction.retry.is_some(), "`message.timeout.ms` limits the whole");
        if producer.transaction.id.as_ref().is_some_and(|id| !id.is_empty()) {
            let fix = "set `kafka.transactional: true` instead";
            self.refused("producer.transaction.id", "the id is made from the store and the exporter's name", fix);
        }
    }

    /// Weaker acknowledgements and idempotence exclude each other: upstream's files say one of the two at most.
    fn acks(&mut self, producer: &Producer) {
        let weak = matches!(producer.required_acks, Some(Acks::None | Acks::Leader));
        if weak && producer.idempotent == Some(true) {
            self.refused("producer.requiredAcks", "an idempotent producer needs the acknowledgement of all replicas", "set it to -1");
            return;
        }
        if producer.retry.max == Some(0) && producer.idempotent != Some(false) {
            self.refused(
                "producer.retry.max",
                "an idempotent producer must be allowed to send again",
                "remove it, or set `idempotent: false`",
            );
        }
        let promise = match producer.required_acks {
            Some(Acks::None) => Some(("0", "events count as delivered when they were sent: any failure of a broker loses them in silence")),
            Some(Acks::Leader) => Some(("1", "events count as delivered before they are replicated: a leader that fails loses them")),
            Some(Acks::All) | None => None,
        };
        if let Some((acks, meaning)) = promise {
            self.out.set("acks", acks.to_owned());
            self.problems.warning(
                format!("{AT}.producer.requiredAcks"),
                Place::Nowhere,
                meaning,
                "remove it: the default waits for all replicas",
            );
        }
        if weak || producer.idempotent == Some(false) {
            self.out.set("enable.idempotence", "false".to_owned());
        }
    }
}
