//! Server, logging and access keys, and upstream's deprecated spellings of them.

use super::*;

#[test]
fn what_a_server_is_told_arrives() {
    let text = "
server: { mode: unixsocket, host: 127.0.0.1, port: 8080, monitoringPort: '9090', unixSocketPath: /run/f.sock, tls: { cert: a.crt, key: /k/a.key } }
authorizedKeys: { evaluation: [e1, e2, e1], admin: a1 }
collector: { webhookSecret: s, maxDepth: 10 }
disableVersionHeader: 'true'
logLevel: WARN
logFormat: LogFmt
";
    let config = with(text, &[]).unwrap().config;
    let tls = Tls { cert: "/etc/flagpost/a.crt".into(), key: "/k/a.key".into() };
    let expected = Server {
        host: "127.0.0.1".to_owned(),
        port: 8080,
        monitoring_port: Some(9090),
        unix_socket: Some("/run/f.sock".into()),
        tls: Some(tls),
    };
    assert_eq!(config.server, expected);
    assert_eq!(reveal(&config.authorized_keys.evaluation), ["e1", "e2"]);
    assert_eq!(reveal(&config.authorized_keys.admin), ["a1"]);
    assert_eq!(config.collector.webhook_secret.as_ref().map(flagpost_exporter::Secret::reveal), Some("s"));
    assert_eq!(config.collector.limits.max_depth, 10);
    assert!(config.disable_version_header);
    assert_eq!((config.log_level, config.log_format), (LogLevel(tracing::Level::WARN), LogFormat::Logfmt));
}

#[test]
fn zaps_levels_are_known_in_any_case() {
    use tracing::Level;
    let levels = [
        ("debug", Level::DEBUG),
        ("INFO", Level::INFO),
        ("Warn", Level::WARN),
        ("error", Level::ERROR),
        ("dpanic", Level::ERROR),
        ("panic", Level::ERROR),
        ("FATAL", Level::ERROR),
        ("", Level::INFO),
    ];
    for (text, level) in levels {
        assert_eq!(with(&format!("logLevel: '{text}'\n"), &[]).unwrap().config.log_level, LogLevel(level), "{text}");
    }
}

#[test]
fn deprecated_keys_mean_what_their_successors_mean_and_say_so() {
    let text = "
Listen: 1032
host: 10.0.0.1
monitoringPort: 1033
apiKeys: [k1, k2]
authorizedKeys: { evaluation: [k0] }
enableSwagger: true
awsLambdaAdapter: ALB
awsApiGatewayBasePath: /x
startAsAwsLambda: false
notifier: [{ kind: slack }]
";
    let loaded = with(text, &[]);
    assert_eq!(
        said(&loaded),
        [
            "2: Listen: warning: deprecated; use `server.port`",
            "3: host: warning: deprecated; use `server.host`",
            "4: monitoringPort: warning: deprecated; use `server.monitoringPort`",
            "5: apiKeys: warning: deprecated; use `authorizedKeys.evaluation`",
            "7: enableSwagger: warning: deprecated, and has no effect here: there is no Swagger page; use `swagger.enabled`",
            "8: awsLambdaAdapter: warning: deprecated, and has no effect here: the relay does not run as a lambda; use `server.awsLambdaAdapter`",
            "9: awsApiGatewayBasePath: warning: deprecated, and has no effect here: the relay does not run as a lambda; use `server.awsApiGatewayBasePath`",
            "10: startAsAwsLambda: warning: deprecated; use `server.mode`",
            "11: notifier: warning: deprecated, and has no effect here: flags are evaluated by the relay behind `upstream.url`; use `notifiers`",
        ]
    );
    let config = loaded.unwrap().config;
    assert_eq!((config.server.port, config.server.host.as_str(), config.server.monitoring_port), (1032, "10.0.0.1", Some(1033)));
    assert_eq!(reveal(&config.authorized_keys.evaluation), ["k0", "k1", "k2"]);
}

#[test]
fn a_successor_wins_over_the_deprecated_key() {
    let config = with("listen: 1\nserver: { port: 2 }\nhost: a\nmonitoringPort: 3\n", &[("SERVER_HOST", "b")]).unwrap().config;
    assert_eq!((config.server.port, config.server.host.as_str(), config.server.monitoring_port), (2, "b", Some(3)));
    // A value that does not fit is told at its own line.
    assert_eq!(said(&with("\nlisten: many\n", &[]))[1], "2: server.port: expected a whole number, found `many`");
}

#[test]
fn modes_and_keys_that_cannot_be_are_told() {
    let table = [
        (
            "server: { mode: unixsocket }",
            "1: server.unixSocketPath: unixSocketPath must be set when server mode is unixsocket; set `server.unixSocketPath: /run/flagpost.sock`",
        ),
        (
            "server: { mode: lambda }",
            "1: server.mode: the relay does not run as a lambda: it would lose what its disk holds; remove the key and set `upstream.url` to a relay that evaluates, or `evaluation: none` to only collect and export events",
        ),
        (
            "startAsAwsLambda: true",
            "1: server.mode: the relay does not run as a lambda: it would lose what its disk holds; remove the key and set `upstream.url` to a relay that evaluates, or `evaluation: none` to only collect and export events",
        ),
        (
            "server: { mode: HTTP }",
            "1: server.mode: warning: not known, and taken for `http`, as upstream does; use `http` or `unixsocket`",
        ),
        (
            "server: { unixSocketPath: /x }",
            "1: server.unixSocketPath: warning: no effect: the mode is `http`; set `server.mode: unixsocket`",
        ),
        (
            "server: { monitoringPort: 1031 }",
            "1: server.monitoringPort: the same port as `server.port`; remove it: `server.port` serves health and metrics, too",
        ),
        (
            "server: { tls: { cert: a } }",
            "1: server.tls.key: TLS needs both `cert` and `key`; write `tls: { cert: tls.crt, key: tls.key }`",
        ),
        ("server: { port: 65536 }", "1: server.port: expected a whole number from 0 to 65535, found `65536`"),
        ("authorizedKeys: { admin: [''] }", "1: authorizedKeys.admin: an empty key: a request without one would be let in; remove it"),
        (
            "authorizedKeys: { admin: [' a'] }",
            "1: authorizedKeys.admin: warning: the key sha256:7de598b3… has blanks around it, and they count; remove them unless clients send them, too",
        ),
        ("logLevel: xx", "1: logLevel: unrecognized level: \"xx\"; use one of `debug`, `info`, `warn`, `error`"),
        ("logFormat: xx", "1: logFormat: invalid log format xx; use `json` or `logfmt`"),
        (
            "otel: { service: { name: a } }",
            "1: otel: warning: has no effect here: only exporters of kind `opentelemetry` use it; the relay itself is not traced",
        ),
        (
            "openTelemetryOtlpEndpoint: x",
            "1: openTelemetryOtlpEndpoint: warning: has no effect here: only exporters of kind `opentelemetry` use it; the relay itself is not traced",
        ),
        ("jaeger: {}", "1: jaeger: warning: has no effect here: the relay traces nothing"),
    ];
    for (text, expected) in table {
        let said = said(&with(text, &[]));
        assert!(said.iter().any(|line| line == expected), "{text}: {said:#?}");
    }
}
