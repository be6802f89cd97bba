//! `kafka.config`: the settings of upstream's producer library (sarama), as far as YAML can express them.
//!
//! Names are matched in any case, as everywhere. What a key becomes is said in `mapping.rs`; a key that librdkafka has no counterpart for is
//! accepted when nothing depends on it, and refused when leaving it out would change where or how safely data goes.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::Secret;

/// A struct of keys that are all optional.
macro_rules! section {
    ($(#[$doc:meta])* $type:ident { $($(#[$attribute:meta])* $field:ident: $of:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
        #[serde(default, rename_all = "camelCase")]
        pub(super) struct $type {
            $($(#[$attribute])* pub(super) $field: $of,)*
        }
    };
}

section! {
    /// Settings of the producer, with the names of upstream's library.
    Sarama {
        /// Connections.
        net: Net,
        /// What is known of the cluster, and how often it is asked for.
        metadata: Metadata,
        /// Messages.
        producer: Producer,
        /// The name that brokers see, and that quotas are set for.
        #[serde(rename = "clientID")]
        client_id: Option<String>,
        /// The rack this relay is in.
        #[serde(rename = "rackID")]
        rack_id: Option<String>,
        /// Without effect: the protocol's version is agreed upon with each broker.
        version: Option<String>,
        /// Whether brokers are asked for the protocol's versions.
        api_versions_request: Option<bool>,
        /// Without effect.
        channel_buffer_size: Option<i64>,
        /// Without effect on a producer.
        admin: Option<Value>,
        /// Without effect on a producer.
        consumer: Option<Value>,
    }
}

section! {
    /// Connections.
    Net {
        /// Requests under way per connection; at most 5 with an idempotent producer.
        max_open_requests: Option<u32>,
        /// How long connecting may take.
        dial_timeout: Option<GoDuration>,
        /// How long a reply may take. The longer of this and `writeTimeout` counts.
        read_timeout: Option<GoDuration>,
        /// How long sending may take. The longer of this and `readTimeout` counts.
        write_timeout: Option<GoDuration>,
        /// Keep-alives on connections: off when negative.
        keep_alive: Option<GoDuration>,
        /// Whether bootstrap addresses are replaced by their canonical names.
        resolve_canonical_bootstrap_servers: Option<bool>,
        /// Encryption.
        tls: Tls,
        /// Authentication.
        sasl: Sasl,
        /// Refused: connections through a proxy are not possible.
        proxy: Option<Value>,
        /// Refused: the system chooses the local address.
        local_addr: Option<Value>,
    }
}

section! {
    /// Encryption. Certificates stand under `kafka.tls`.
    Tls {
        /// Whether connections are encrypted.
        enable: Option<bool>,
        /// How.
        config: TlsConfig,
    }
}

section! {
    /// How connections are encrypted.
    TlsConfig {
        /// Takes any certificate for the broker's.
        insecure_skip_verify: Option<bool>,
        /// Refused: a broker's certificate is checked against the name it is connected by.
        server_name: Option<String>,
        /// The lowest version of TLS, as Go's number: 769 to 771 (TLS 1.2) are what OpenSSL insists on anyway; 772 is refused.
        min_version: Option<u16>,
    }
}

section! {
    /// Authentication.
    Sasl {
        /// Whether connections are authenticated.
        enable: Option<bool>,
        /// `PLAIN` (the default), `SCRAM-SHA-256`, `SCRAM-SHA-512` or `OAUTHBEARER` (with `kafka.oauth`).
        mechanism: Option<String>,
        /// Without effect: agreed upon with each broker.
        version: Option<i32>,
        /// Always true.
        handshake: Option<bool>,
        /// Refused: acting as somebody else is not possible.
        auth_identity: Option<String>,
        /// The user.
        user: Option<String>,
        /// The password.
        password: Option<Secret>,
        /// Refused: acting as somebody else is not possible.
        #[serde(rename = "scramAuthzID")]
        scram_authz_id: Option<String>,
        /// Refused: Kerberos is not built in.
        gssapi: Option<Value>,
    }
}

section! {
    /// What is known of the cluster.
    Metadata {
        /// How it is asked for again.
        retry: Retry,
        /// How often it is asked for; 0 switches that off.
        refresh_frequency: Option<GoDuration>,
        /// Whether all topics are asked for, not only the one that is written to.
        full: Option<bool>,
        /// Without effect: `message.timeout.ms` limits the whole.
        timeout: Option<GoDuration>,
        /// Always true: it is the brokers' `auto.create.topics.enable` that decides.
        allow_auto_topic_creation: Option<bool>,
        /// Without effect.
        single_flight: Option<bool>,
    }
}

section! {
    /// How something is tried again.
    Retry {
        /// How often.
        max: Option<u32>,
        /// The pause before it.
        backoff: Option<GoDuration>,
        /// Without effect.
        max_buffer_length: Option<i64>,
        /// Without effect.
        max_buffer_bytes: Option<i64>,
    }
}

section! {
    /// Messages.
    Producer {
        /// The largest message. A larger event is rejected.
        max_message_bytes: Option<u32>,
        /// Who must have a message before it counts as delivered: -1 or `all` (default), 1 (the leader), 0 (nobody).
        required_acks: Option<Acks>,
        /// How long a broker may wait for its replicas.
        timeout: Option<GoDuration>,
        /// `none`, `gzip`, `snappy`, `lz4`, `zstd`, or upstream's numbers 0 to 4.
        compression: Option<Compression>,
        /// The meaning depends on the compression; -1000 is its default.
        compression_level: Option<i32>,
        /// Whether brokers recognise a message that is sent again. Default: true.
        idempotent: Option<bool>,
        /// Transactions are switched on by `kafka.transactional`.
        transaction: Transaction,
        /// Accepted for upstream's sake.
        r#return: Return,
        /// When messages are sent.
        flush: Flush,
        /// How a message is sent again.
        retry: Retry,
    }
}

section! {
    /// Transactions.
    Transaction {
        /// Refused: it is made from the store and the exporter's name, so that nobody else has it.
        id: Option<String>,
        /// How long a broker waits for a transaction's end.
        timeout: Option<GoDuration>,
        /// Without effect.
        retry: Option<Value>,
    }
}

section! {
    /// Accepted for upstream's sake, which needs `successes: true`.
    Return {
        /// Without effect.
        successes: Option<bool>,
        /// Without effect.
        errors: Option<bool>,
    }
}

section! {
    /// When messages are sent.
    Flush {
        /// So many bytes go into one request.
        bytes: Option<u32>,
        /// So many messages go into one request.
        messages: Option<u32>,
        /// How long a request waits for more messages.
        frequency: Option<GoDuration>,
        /// The most messages of one request.
        max_messages: Option<u32>,
    }
}

/// Go's `time.Duration` as upstream reads it: `500ms`, `1m30s`, or a bare number of nanoseconds. Nanoseconds; may be negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GoDuration(pub(super) i64);

/// What `producer.requiredAcks` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acks {
    None,
    Leader,
    All,
}

/// librdkafka's name of a compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Compression(pub(super) &'static str);

/// In the order of their numbers.
const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

impl GoDuration {
    /// Whole milliseconds; what is more than nothing is at least one.
    pub(super) fn millis(self) -> i64 {
        if self.0 > 0 { (self.0 / 1_000_000).max(1) } else { self.0 / 1_000_000 }
    }

    /// Go's `time.ParseDuration`.
    fn parse(text: &str) -> Option<GoDuration> {
        let (sign, mut rest) = match text.strip_prefix(['-', '+']) {
            Some(rest) => (if text.starts_with('-') { -1.0 } else { 1.0 }, rest),
            None => (1.0, text),
        };
        if rest == "0" {
            return Some(GoDuration(0));
        }
        let mut total = 0.0;
        if rest.is_empty() {
            return None;
        }
        while !rest.is_empty() {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
            let number: f64 = rest[..end].parse().ok()?;
            let after = &rest[end..];
            let next = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
            total += number
                * match &after[..next] {
                    "ns" => 1.0,
                    "us" | "µs" | "μs" => 1e3,
                    "ms" => 1e6,
                    "s" => 1e9,
                    "m" => 60e9,
                    "h" => 3600e9,
                    _ => return None,
                };
            rest = &after[next..];
        }
        #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
        (total < 9.2e18).then_some(GoDuration((sign * total) as i64))
    }
}

/// A value that is text or a whole number.
struct Either<T> {
    what: &'static str,
    fix: &'static str,
    read: fn(&str) -> Option<T>,
}

impl<T> Visitor<'_> for Either<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<T, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<T, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.read)(text.trim()).ok_or_else(|| E::custom(format_args!("expected {}, found `{text}`; {}", self.what, self.fix)))
    }
}

macro_rules! either {
    ($type:ident $what:literal $fix:literal $read:expr, $shown:expr) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Either { what: $what, fix: $fix, read: $read })
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let shown: fn(&$type) -> String = $shown;
                serializer.serialize_str(&shown(self))
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "title": $what, "type": ["integer", "string"] })
            }
        }
    };
}

either!(GoDuration "a duration" "write a number with a unit: 500ms, 30s, 5m; a bare number is nanoseconds, as upstream has it" |text| {
    text.parse().ok().map(GoDuration).or_else(|| GoDuration::parse(text))
}, |duration| format!("{}ns", duration.0));

either!(Acks "-1, 0 or 1" "-1: all replicas, 1: the leader, 0: nobody" |text| match text.to_ascii_lowercase().as_str() {
    "-1" | "all" | "waitforall" => Some(Acks::All),
    "1" | "waitforlocal" => Some(Acks::Leader),
    "0" | "noresponse" => Some(Acks::None),
    _ => None,
}, |acks| format!("{acks:?}").to_lowercase());

either!(Compression "a compression" "one of `none`, `gzip`, `snappy`, `lz4`, `zstd`" |text| {
    let by_number = text.parse::<usize>().ok().and_then(|number| CODECS.get(number));
    by_number.or_else(|| CODECS.iter().find(|codec| codec.eq_ignore_ascii_case(text))).map(|codec| Compression(codec))
}, |codec| codec.0.to_owned());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        let cases = [
            ("0", Some(0)),
            ("500ms", Some(500_000_000)),
            ("1m30s", Some(90_000_000_000)),
            ("1.5s", Some(1_500_000_000)),
            ("-5s", Some(-5_000_000_000)),
            ("10us", Some(10_000)),
            ("2h", Some(7_200_000_000_000)),
            ("", None),
            ("s", None),
            ("5", None),
            ("5 s", None),
            ("5d", None),
            ("99999999999h", None),
        ];
        for (text, expected) in cases {
            assert_eq!(GoDuration::parse(text).map(|duration| duration.0), expected, "{text}");
        }
        assert_eq!([GoDuration(1).millis(), GoDuration(0).millis(), GoDuration(2_999_999).millis()], [1, 0, 2]);
    }
}
