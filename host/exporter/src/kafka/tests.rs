//! From the operator's keys to librdkafka's settings: what is effective, what is warned about, what is refused.
#![allow(clippy::unwrap_used)]

use flagpost_settings::{Node, Problems, decode};
use serde_json::{Value, json};

use super::config::Keys;
use crate::kind::kinds;
use crate::{BuildContext, Exporter};

/// The keys below `kafka`, with a topic and a broker. The settings they become, and what is said.
fn read(mut kafka: Value) -> (super::config::KafkaConfig, Vec<String>) {
    for (key, value) in [("topic", json!("t")), ("addresses", json!("a:1, b:2"))] {
        kafka.as_object_mut().unwrap().entry(key).or_insert(value);
    }
    let mut problems = Problems::default();
    let keys: Keys = decode(&Node::from(json!({ "kafka": kafka })), "", &mut problems);
    let context = BuildContext { exporter: "mine".to_owned(), ..BuildContext::system() };
    let config = keys.check(&mut problems, &context);
    (config, problems.finish().0.iter().map(ToString::to_string).collect())
}

#[test]
fn each_setting_of_upstreams_is_effective() {
    let ns = |text: &str| json!(text);
    let cases: Vec<(Value, &[(&str, &str)])> = vec![
        (json!({"clientID": "me"}), &[("client.id", "me")]),
        (json!({"CLIENTid": "me"}), &[("client.id", "me")]),
        (json!({"rackID": "r"}), &[("client.rack", "r")]),
        (json!({"apiVersionsRequest": true}), &[("api.version.request", "true")]),
        (json!({"net": {"maxOpenRequests": 3}}), &[("max.in.flight.requests.per.connection", "3")]),
        (json!({"net": {"dialTimeout": "3s"}}), &[("socket.connection.setup.timeout.ms", "3000")]),
        (json!({"net": {"readTimeout": "3s", "writeTimeout": "4s"}}), &[("socket.timeout.ms", "4000")]),
        (json!({"net": {"writeTimeout": 5_000_000_000u64}}), &[("socket.timeout.ms", "5000")]),
        (json!({"net": {"keepAlive": "-1s"}}), &[("socket.keepalive.enable", "false")]),
        (json!({"net": {"resolveCanonicalBootstrapServers": true}}), &[("client.dns.lookup", "resolve_canonical_bootstrap_servers_only")]),
        (json!({"net": {"tls": {"enable": true}}}), &[("security.protocol", "ssl")]),
        (
            json!({"net": {"tls": {"enable": true, "config": {"insecureSkipVerify": true, "minVersion": 771}}}}),
            &[("security.protocol", "ssl"), ("enable.ssl.certificate.verification", "false")],
        ),
        (
            json!({"net": {"sasl": {"enable": true, "user": "u", "password": "p"}}}),
            &[("security.protocol", "sasl_plaintext"), ("sasl.mechanism", "PLAIN"), ("sasl.username", "u"), ("sasl.password", "p")],
        ),
        (
            json!({"net": {"tls": {"enable": true}, "sasl": {"enable": true, "mechanism": "scram-sha-512", "user": "u", "password": "p"}}}),
            &[("security.protocol", "sasl_ssl"), ("sasl.mechanism", "SCRAM-SHA-512")],
        ),
        (json!({"metadata": {"retry": {"backoff": "1s"}}}), &[("topic.metadata.refresh.fast.interval.ms", "1000")]),
        (
            json!({"metadata": {"refreshFrequency": "1m"}}),
            &[("topic.metadata.refresh.interval.ms", "60000"), ("metadata.max.age.ms", "180000")],
        ),
        (json!({"metadata": {"refreshFrequency": 0}}), &[("topic.metadata.refresh.interval.ms", "-1")]),
        (json!({"metadata": {"full": true}}), &[("topic.metadata.refresh.sparse", "false")]),
        (json!({"producer": {"maxMessageBytes": 5000}}), &[("message.max.bytes", "5000"), ("batch.size", "5000")]),
        (json!({"producer": {"requiredAcks": -1}}), &[("acks", "all"), ("enable.idempotence", "true")]),
        (json!({"producer": {"requiredAcks": 1}}), &[("acks", "1"), ("enable.idempotence", "false")]),
        (json!({"producer": {"idempotent": false}}), &[("acks", "all"), ("enable.idempotence", "false")]),
        (json!({"producer": {"timeout": "7s"}}), &[("request.timeout.ms", "7000")]),
        (json!({"producer": {"compression": "ZSTD", "compressionLevel": 3}}), &[("compression.codec", "zstd"), ("compression.level", "3")]),
        (
            json!({"producer": {"compression": 2, "compressionLevel": -1000}}),
            &[("compression.codec", "snappy"), ("compression.level", "-1")],
        ),
        (json!({"producer": {"retry": {"max": 4, "backoff": "200ms"}}}), &[("message.send.max.retries", "4"), ("retry.backoff.ms", "200")]),
        (
            json!({"producer": {"flush": {"messages": 100, "maxMessages": 50, "bytes": 1000, "frequency": ns("20ms")}}}),
            &[("batch.num.messages", "50"), ("batch.size", "1000"), ("linger.ms", "20")],
        ),
        (json!({"producer": {"transaction": {"timeout": "90s"}}}), &[("transaction.timeout.ms", "90000")]),
        (json!({"producer": {"return": {"successes": true, "errors": true}}}), &[]),
        (
            json!({}),
            &[
                ("acks", "all"),
                ("enable.idempotence", "true"),
                ("bootstrap.servers", "a:1,b:2"),
                ("client.id", "flagpost"),
                ("partitioner", "fnv1a"),
                ("security.protocol", "plaintext"),
            ],
        ),
    ];
    for (config, expected) in cases {
        let (found, problems) = read(json!({ "config": config }));
        for (key, value) in expected {
            assert_eq!(found.settings.get(key), Some(*value), "{key}: {config}");
        }
        assert!(problems.iter().all(|problem| problem.contains("warning: events count as delivered before")), "{config}: {problems:?}");
        if !config.to_string().contains("\"tls\"") && !config.to_string().contains("sasl") {
            super::client::Connector::new(found).trial().unwrap_or_else(|error| panic!("{config}: {error}"));
        }
    }
}

#[test]
fn what_has_no_effect_is_told_and_what_would_change_the_meaning_is_refused() {
    let cases = [
        (json!({"version": "3.6.0"}), "kafka.config.version: warning: has no effect: the protocol's version"),
        (json!({"channelBufferSize": 9}), "kafka.config.channelBufferSize: warning: has no effect"),
        (json!({"consumer": {"group": {}}}), "kafka.config.consumer: warning: has no effect"),
        (json!({"metadata": {"retry": {"max": 3}}}), "kafka.config.metadata.retry.max: warning: has no effect"),
        (
            json!({"producer": {"requiredAcks": 0}}),
            "kafka.config.producer.requiredAcks: warning: events count as delivered when they were sent",
        ),
        (json!({"producer": {"requiredAcks": 1, "idempotent": true}}), "kafka.config.producer.requiredAcks: an idempotent producer needs"),
        (json!({"producer": {"requiredAcks": 7}}), "kafka.config.producer.requiredAcks: expected -1, 0 or 1, found `7`"),
        (json!({"producer": {"compression": "brotli"}}), "kafka.config.producer.compression: expected a compression, found `brotli`"),
        (json!({"producer": {"retry": {"max": 0}}}), "kafka.config.producer.retry.max: an idempotent producer"),
        (json!({"producer": {"transaction": {"id": "x"}}}), "kafka.config.producer.transaction.id: the id is made"),
        (json!({"producer": {"timeout": "0s"}}), "kafka.config.producer.timeout: is no time at all"),
        (json!({"producer": {"timeout": "soon"}}), "kafka.config.producer.timeout: expected a duration, found `soon`"),
        (json!({"producer": {"partitionr": 1}}), "kafka.config.producer.partitionr: unknown key"),
        (json!({"producr": {}}), "kafka.config.producr: unknown key; did you mean `producer`?"),
        (
            json!({"net": {"sasl": {"enable": true, "mechanism": "GSSAPI", "user": "u"}}}),
            "kafka.config.net.sasl.mechanism: no such mechanism",
        ),
        (json!({"net": {"sasl": {"enable": true}}}), "kafka.config.net.sasl.user: PLAIN needs a user; set `user` and `password`"),
        (
            json!({"net": {"sasl": {"enable": true, "mechanism": "OAUTHBEARER"}}}),
            "kafka.oauth: OAUTHBEARER needs a place where tokens come from",
        ),
        (json!({"net": {"sasl": {"scramAuthzID": "x"}}}), "kafka.config.net.sasl.scramAuthzID: acting as somebody else"),
        (json!({"net": {"sasl": {"gssapi": {}}}}), "kafka.config.net.sasl.gssapi: Kerberos is not built in"),
        (json!({"net": {"tls": {"config": {"serverName": "x"}}}}), "kafka.config.net.tls.config.serverName: a certificate is checked"),
        (json!({"net": {"tls": {"config": {"minVersion": 772}}}}), "kafka.config.net.tls.config.minVersion: versions above TLS 1.2"),
        (json!({"net": {"proxy": {"enable": true}}}), "kafka.config.net.proxy: connections through a proxy"),
    ];
    for (config, expected) in cases {
        let (_, problems) = read(json!({ "config": config }));
        assert!(problems.iter().any(|problem| problem.starts_with(expected)), "{config}: {problems:?}");
    }
}

#[test]
fn raw_settings_win_are_checked_one_by_one_and_may_be_nested() {
    let (config, problems) = read(json!({
        "config": {"producer": {"timeout": "7s", "retry": {"max": 2}}},
        "properties": {"Linger.ms": 50, "request": {"timeout": {"ms": 8000}}, "retries": 9, "delivery.timeout.ms": "20000", "log.connection.close": true}
    }));
    assert_eq!(problems, Vec::<String>::new());
    let get = |key| config.settings.get(key);
    assert_eq!(
        [get("linger.ms"), get("request.timeout.ms"), get("message.send.max.retries"), get("message.timeout.ms")],
        [Some("50"), Some("8000"), Some("9"), Some("20000")]
    );
    assert_eq!(config.timeout.as_secs(), 20);
    let cases = [
        (
            json!({"linger.mss": 5}),
            "kafka.properties.linger.mss: No such configuration property: \"linger.mss\"; did you mean `linger.ms`?",
        ),
        (json!({"linger.ms": "soon"}), "kafka.properties.linger.ms: Invalid value"),
        (json!({"bootstrap.servers": "x"}), "kafka.properties.bootstrap.servers: is not to be set here; use `kafka.addresses`"),
        (json!({"transactional.id": "x"}), "kafka.properties.transactional.id: is not to be set here"),
        (json!({"message.timeout.ms": 0}), "kafka.properties.message.timeout.ms: an attempt needs an end"),
    ];
    for (properties, expected) in cases {
        let (_, problems) = read(json!({ "properties": properties }));
        assert!(problems.iter().any(|problem| problem.starts_with(expected)), "{properties}: {problems:?}");
    }
}

#[test]
fn certificates_tokens_partitioners_and_transactions_have_keys_of_their_own() {
    let settings = |kafka: Value, expected: &[(&str, &str)]| {
        let (config, problems) = read(kafka.clone());
        assert_eq!(problems, Vec::<String>::new(), "{kafka}");
        for (key, value) in expected {
            assert_eq!(config.settings.get(key), Some(*value), "{key}: {kafka}");
        }
    };
    settings(
        json!({"tls": {"caFile": "ca.pem", "certificateFile": "c.pem", "keyFile": "k.pem", "keyPassword": "p"}}),
        &[
            ("security.protocol", "ssl"),
            ("ssl.ca.location", "ca.pem"),
            ("ssl.certificate.location", "c.pem"),
            ("ssl.key.location", "k.pem"),
            ("ssl.key.password", "p"),
        ],
    );
    settings(
        json!({"oauth": {"tokenEndpointUrl": "https://id/token", "clientId": "i", "clientSecret": "s", "scope": "x"}}),
        &[
            ("security.protocol", "sasl_plaintext"),
            ("sasl.mechanism", "OAUTHBEARER"),
            ("sasl.oauthbearer.method", "oidc"),
            ("sasl.oauthbearer.token.endpoint.url", "https://id/token"),
            ("sasl.oauthbearer.client.id", "i"),
            ("sasl.oauthbearer.client.secret", "s"),
            ("sasl.oauthbearer.scope", "x"),
        ],
    );
    for (name, library) in [("fnv1a", "fnv1a"), ("murmur2", "murmur2"), ("crc32", "consistent"), ("random", "random")] {
        settings(json!({ "partitioner": name }), &[("partitioner", library)]);
    }
    settings(json!({"transactional": true}), &[("transaction.timeout.ms", "60000")]);
    assert_eq!(read(json!({"transactional": true})).0.transactional.as_deref(), Some("mine"));
    for (kafka, expected) in [
        (json!({"transactional": true, "config": {"producer": {"idempotent": false}}}), "kafka.transactional: transactions need"),
        (json!({"transactional": true, "properties": {"acks": 1}}), "kafka.transactional: transactions need"),
        (json!({"tls": {"certificateFile": "c.pem"}}), "kafka.tls: a client's certificate and its key belong together"),
        (json!({"tls": {"caFile": "c.pem"}, "config": {"net": {"tls": {"enable": false}}}}), "kafka.tls: certificates are given, but"),
        (json!({"topic": "a b"}), "kafka.topic: no topic can be called so"),
        (json!({"partitioner": "fnv1"}), "kafka.partitioner: expected one of"),
    ] {
        let (_, problems) = read(kafka.clone());
        assert!(problems.iter().any(|problem| problem.starts_with(expected)), "{kafka}: {problems:?}");
    }
}

pub(super) fn build(kafka: Value) -> Result<std::sync::Arc<dyn Exporter>, String> {
    let info = kinds().iter().find(|info| info.name == "kafka").unwrap();
    let built = (info.build)(&json!({ "kafka": kafka }).into(), &BuildContext::system());
    built.map(|built| built.exporter).map_err(|error| error.to_string())
}

#[test]
fn settings_that_do_not_fit_together_are_told_at_start_without_their_secrets() {
    let cases = [
        json!({"properties": {"max.in.flight": 9}}),
        json!({"tls": {"caFile": "/no/such/file"}}),
        json!({"config": {"net": {"tls": {"enable": true}}}, "properties": {"ssl.key.pem": "hunter2hunter2"}}),
        json!({"transactional": true, "properties": {"transaction.timeout.ms": 1000}}),
    ];
    for mut kafka in cases {
        kafka["topic"] = json!("t");
        kafka["addresses"] = json!("127.0.0.1:1");
        let error = build(kafka.clone()).map(|_| ()).unwrap_err();
        assert!(error.contains("kafka") && !error.contains("hunter2"), "{kafka}: {error}");
    }
}

#[test]
fn no_way_of_printing_shows_a_password() {
    let (config, _) = read(json!({
        "config": {"net": {"sasl": {"enable": true, "user": "u", "password": "hunter2"}}},
        "properties": {"ssl.key.password": "hunter2"}, "oauth": {"clientSecret": "hunter2"}
    }));
    assert!(!format!("{config:?}").contains("hunter2"));
    let exporter = build(json!({"topic": "t", "addresses": "a:1", "properties": {"sasl.password": "hunter2"}}));
    assert!(!format!("{:?}", exporter.map(|exporter| exporter.is_bulk())).contains("hunter2"));
}
