//! Environment variables as keys: upstream's grammar, and what it does better.

use flagpost_exporter::kinds;
use flagpost_settings::{Data, Node};

use super::*;

/// The tree of a YAML text once the variables are applied, and what was said.
fn applied(text: &str, prefix: &str, env: &[(&str, &str)]) -> (Node, Vec<String>) {
    let mut root = yaml::parse(text).unwrap();
    let mut problems = Problems::default();
    super::super::variables::apply(&mut root, prefix, &env.iter().copied().collect(), &mut problems);
    (root, problems.finish().0.iter().map(ToString::to_string).collect())
}

fn tree(text: &str, env: &[(&str, &str)]) -> serde_json::Value {
    let (root, said) = applied(text, "", env);
    assert!(said.is_empty(), "{said:?}");
    root.to_json()
}

#[test]
fn every_form_of_upstreams_grammar_is_read() {
    use serde_json::json;
    let table = [
        // The default rule.
        ("", ("SERVER_PORT", "8080"), json!({"server": {"port": "8080"}})),
        ("", ("server_port", "8080"), json!({"server": {"port": "8080"}})),
        ("server: {port: 1, host: a}", ("SERVER_PORT", "8080"), json!({"server": {"port": "8080", "host": "a"}})),
        ("Server: {PORT: 1}", ("SERVER_PORT", "8080"), json!({"Server": {"PORT": "8080"}})),
        ("", ("LOGLEVEL", "debug"), json!({"logLevel": "debug"})),
        ("logLevel: warn", ("LOGLEVEL", ""), json!({"logLevel": null})),
        ("", ("EXPORTER_ENDPOINTURL", "http://h"), json!({"exporter": {"endpointUrl": "http://h"}})),
        ("exporter: {kind: file, outputDir: a}", ("EXPORTER_OUTPUTDIR", "b"), json!({"exporter": {"kind": "file", "outputDir": "b"}})),
        ("", ("EXPORTER_META_FOO", "bar"), json!({"exporter": {"meta": {"foo": "bar"}}})),
        // Indexed groups: editing, appending, filling gaps.
        ("exporters: [{kind: log}]", ("EXPORTERS_0_LOGFORMAT", "x"), json!({"exporters": [{"kind": "log", "logFormat": "x"}]})),
        ("exporters: [{kind: log}]", ("EXPORTERS_1_KIND", "file"), json!({"exporters": [{"kind": "log"}, {"kind": "file"}]})),
        ("", ("EXPORTERS_2_KIND", "file"), json!({"exporters": [null, null, {"kind": "file"}]})),
        ("exporters: {kind: log}", ("EXPORTERS_1_KIND", "file"), json!({"exporters": [{"kind": "log"}, {"kind": "file"}]})),
        (
            "",
            ("EXPORTERS_1_KAFKA_CONFIG_NET_SASL_USER", "u"),
            json!({"exporters": [null, {"kafka": {"config": {"net": {"sasl": {"user": "u"}}}}}]}),
        ),
        ("", ("EXPORTERS_0_HEADERS_X-API-KEY", "v"), json!({"exporters": [{"headers": {"x-api-key": ["v"]}}]})),
        ("", ("EXPORTERS_0_META_FOO_BAR", "v"), json!({"exporters": [{"meta": {"foo_bar": "v"}}]})),
        // The file's own spelling of a member is found, where upstream makes a second one.
        (
            "exporters: [{headers: {X-Api-Key: [a]}}]",
            ("EXPORTERS_0_HEADERS_X-API-KEY", "v"),
            json!({"exporters": [{"headers": {"X-Api-Key": ["v"]}}]}),
        ),
        (
            "exporters: [{config: {endPoint: a}}]",
            ("EXPORTERS_0_CONFIG_ENDPOINT", "b"),
            json!({"exporters": [{"config": {"endPoint": "b"}}]}),
        ),
        ("", ("EXPORTERS_0_ENV_ACME_REGION", "eu"), json!({"exporters": [{"env": {"ACME_REGION": "eu"}}]})),
        // Flag sets, one level deeper. Upstream makes a second list beside the file's `flagSets`.
        ("", ("FLAGSETS_0_EXPORTERS_1_KIND", "log"), json!({"flagSets": [{"exporters": [null, {"kind": "log"}]}]})),
        ("", ("FLAGSETS_0_EXPORTER_KIND", "log"), json!({"flagSets": [{"exporter": {"kind": "log"}}]})),
        ("flagSets: [{name: a}]", ("FLAGSETS_0_NAME", "b"), json!({"flagSets": [{"name": "b"}]})),
        ("flagSets: [{name: a}]", ("FLAGSETS_0_APIKEYS", "k1, k2"), json!({"flagSets": [{"name": "a", "apiKeys": ["k1", "k2"]}]})),
        // Lists with commas: blanks count except below an index.
        ("", ("AUTHORIZEDKEYS_EVALUATION", "k1, k2"), json!({"authorizedKeys": {"evaluation": ["k1", " k2"]}})),
        ("authorizedKeys: {admin: [a]}", ("AUTHORIZEDKEYS_ADMIN", "b,c"), json!({"authorizedKeys": {"admin": ["b", "c"]}})),
        ("", ("APIKEYS", "k1,k2"), json!({"apiKeys": ["k1", "k2"]})),
        ("", ("AUTHORIZEDKEYS_ADMIN", ""), json!({"authorizedKeys": {"admin": []}})),
        ("", ("EXPORTER_KAFKA_ADDRESSES", "a:1, b:1"), json!({"exporter": {"kafka": {"addresses": ["a:1", " b:1"]}}})),
        ("", ("EXPORTERS_0_KAFKA_ADDRESSES", "a:1, b:1"), json!({"exporters": [{"kafka": {"addresses": ["a:1", "b:1"]}}]})),
        (
            "",
            ("FLAGSETS_0_EXPORTERS_0_KAFKA_ADDRESSES", "a:1,b:1"),
            json!({"flagSets": [{"exporters": [{"kafka": {"addresses": ["a:1", "b:1"]}}]}]}),
        ),
        ("", ("EXPORTERS_0_ALLOWEDHOSTS", "GET,POST https://h"), json!({"exporters": [{"allowedHosts": ["GET,POST https://h"]}]})),
        ("", ("EXPORTERS_0_ALLOWEDHOSTS_0", "https://h"), json!({"exporters": [{"allowedHosts": ["https://h"]}]})),
        // A section in the place of a value gives way, as upstream's later source does.
        ("server: 5", ("SERVER_PORT", "1"), json!({"server": {"port": "1"}})),
        ("", ("RETRIEVERS_0_KIND", "file"), json!({"retrievers": {"0": {"kind": "file"}}})),
        // Not ours.
        ("", ("PATH", "/bin"), json!(null)),
    ];
    for (text, variable, expected) in table {
        assert_eq!(tree(text, &[variable]), expected, "{text} {variable:?}");
    }
}

#[test]
fn every_key_of_every_kind_can_be_set_by_a_variable() {
    for info in kinds() {
        let schema = (info.schema)();
        for key in (info.keys)() {
            let of = &schema["properties"][key];
            // A section is set by one of its keys, whichever.
            let inner = of["properties"].as_object().and_then(|inner| inner.iter().find(|(_, of)| of["type"] == "string"));
            let (suffix, value) = match (of["type"].as_str(), inner) {
                (Some("object"), Some((inner, _))) => (format!("_{}", inner.to_ascii_uppercase()), "v"),
                (Some("object"), None) => ("_NAME".to_owned(), "v"),
                _ => (String::new(), "v"),
            };
            for (start, path) in
                [("EXPORTERS_0", "exporters[0]"), ("EXPORTER", "exporter"), ("FLAGSETS_1_EXPORTERS_0", "flagSets[1].exporters[0]")]
            {
                let name = format!("{start}_{}{suffix}", key.to_ascii_uppercase());
                let (root, said) = applied("", "", &[(&name, value)]);
                assert!(said.is_empty(), "{name}: {said:?}");
                let place = root.place_at(&format!("{path}.{key}"));
                assert_eq!(place, Some(&Place::Variable(name.as_str().into())), "{name} is no variable of `{key}`");
            }
        }
    }
}

#[test]
fn variables_that_lead_nowhere_are_warnings_and_change_nothing() {
    let unused = ": the variable is not used";
    let table = [
        ("EXPORTERS", format!("`exporters` is a list of sections{unused}; write `EXPORTERS_0_KIND` and so on")),
        ("FLAGSETS", format!("`flagSets` is a list of sections{unused}; write `FLAGSETS_0_NAME` and so on")),
        ("EXPORTERS_KIND", format!("`exporters` is a list, and the name has no index{unused}; write `EXPORTERS_0_KIND`")),
        (
            "FLAGSETS_0_EXPORTERS_KIND",
            format!("`flagSets[0].exporters` is a list, and the name has no index{unused}; write `FLAGSETS_0_EXPORTERS_0_KIND`"),
        ),
        ("EXPORTERS_1000_KIND", format!("the index 1000 is beyond 999{unused}; count from 0")),
        ("EXPORTERS_0_BUKET", format!("there is no key `buket` below `exporters[0]`{unused}; did you mean `bucket`?")),
        ("SERVER", format!("`server` is a section, not a value{unused}; write `SERVER_` and a key of it")),
        ("SERVER_PRT", format!("there is no key `prt` below `server`{unused}; did you mean `port`?")),
        ("SERVER_PORT_NUMBER", format!("there is no key `number` below `server.port`{unused}")),
        ("LISTEN_FDS", format!("there is no key `fds` below `listen`{unused}")),
        ("EXPORTERS_0_META", format!("`exporters[0].meta` is a section, not a value{unused}; write `EXPORTERS_0_META_` and a key of it")),
    ];
    for (name, expected) in table {
        let (root, said) = applied("", "", &[(name, "hunter2")]);
        assert_eq!(said, [format!("environment variable {name}: warning: {expected}")]);
        assert!(matches!(root.data, Data::Null), "{name}");
    }
}

#[test]
fn an_ordinary_environment_says_nothing() {
    let env: Vec<(&str, &str)> = [
        "PATH",
        "HOME",
        "HOSTNAME",
        "USER",
        "LOG",
        "LOGNAME",
        "LANG",
        "LC_ALL",
        "TERM",
        "PWD",
        "SHLVL",
        "_",
        "TZ",
        "KUBERNETES_PORT",
        "KUBERNETES_SERVICE_HOST",
        "VERSION",
        "DEBUG",
        "ENVIRONMENT",
        "OTEL_RESOURCE_ATTRIBUTES",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "JAEGER_AGENT_HOST",
        "AWS_REGION",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "STATE_DIRECTORY",
        "NOTIFY_SOCKET",
        "INVOCATION_ID",
        "RUST_LOG",
        "X_Y",
        "NAME",
        "KIND",
    ]
    .map(|name| (name, "x"))
    .to_vec();
    let loaded = with("evaluation: none\n", &env);
    assert!(said(&loaded).is_empty(), "{:?}", said(&loaded));
    assert!(loaded.unwrap().values.iter().all(|value| !matches!(value.place, Place::Variable(_))));
}

#[test]
fn kubernetes_service_variables_are_recognised() {
    let env = [
        ("SERVER_PORT", "tcp://10.0.0.1:80"),
        ("SERVER_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("SERVER_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("SERVER_SERVICE_HOST", "10.0.0.1"),
        ("SERVER_SERVICE_PORT", "80"),
        ("SERVER_SERVICE_PORT_HTTP", "80"),
        ("SERVER_HOST", "127.0.0.1"),
    ];
    let loaded = with("server: { port: 5 }\n", &env);
    assert_eq!(
        said(&loaded),
        [
            "environment variable SERVER_PORT: warning: Kubernetes sets variables like `SERVER_PORT=tcp://…` for a service called `server`: they are not used; set `enableServiceLinks: false` in the pod, give the service another name, or set `envVariablePrefix`"
        ]
    );
    let server = loaded.unwrap().config.server;
    assert_eq!((server.port, server.host.as_str()), (5, "127.0.0.1"));
}

#[test]
fn with_a_prefix_only_its_variables_count() {
    let text = "envVariablePrefix: GOFF_\nserver: { port: 1 }\n";
    let env = [("SERVER_PORT", "2"), ("GOFF_SERVER_HOST", "h"), ("GOFF_SEVER_PORT", "3"), ("GOFF_", "x"), ("goff_server_port", "9")];
    let loaded = with(text, &env);
    assert_eq!(
        said(&loaded),
        ["environment variable GOFF_SEVER_PORT: warning: begins with no known key: the variable is not used; did you mean `server`?"]
    );
    let server = loaded.unwrap().config.server;
    assert_eq!((server.port, server.host.as_str()), (1, "h"));
    let said = said(&with("envVariablePrefix: GOFF_\n", &[("GOFF_POLLINGINTERVAL", "5"), ("GOFF_EXPORTERS_KIND", "x")]));
    assert_eq!(
        said,
        [
            "environment variable GOFF_EXPORTERS_KIND: warning: `exporters` is a list, and the name has no index: the variable is not used; write `GOFF_EXPORTERS_0_KIND`",
            "environment variable GOFF_POLLINGINTERVAL: pollingInterval: warning: has no effect here: flags are evaluated by the relay behind `upstream.url`"
        ]
    );
}

#[test]
fn a_wrong_value_names_its_variable_and_never_shows_it() {
    let table = [
        ("SERVER_PORT", "hunter2", "environment variable SERVER_PORT: server.port: expected a whole number, found `${SERVER_PORT}`"),
        (
            "LOGLEVEL",
            "hunter2",
            "environment variable LOGLEVEL: logLevel: unrecognized level: \"${LOGLEVEL}\"; use one of `debug`, `info`, `warn`, `error`",
        ),
        (
            "EXPORTERS_0_ENDPOINTURL",
            "hunter2",
            "environment variable EXPORTERS_0_ENDPOINTURL: exporters[0].endpointUrl: is no URL of a web server; write it as https://host/path",
        ),
    ];
    for (name, value, expected) in table {
        let said = said(&with("", &[("EXPORTERS_0_KIND", "webhook"), ("EXPORTERS_0_NAME", "a"), (name, value)]));
        assert!(said.iter().any(|line| line == expected), "{said:#?}");
        assert!(!said.concat().contains("hunter2"), "{said:?}");
    }
}

#[test]
fn a_gap_between_indices_is_upstreams_unsupported_kind() {
    let said = said(&with("exporters: [{ kind: log }]\n", &[("EXPORTERS_2_KIND", "file"), ("EXPORTERS_2_OUTPUTDIR", "o")]));
    assert_eq!(
        said,
        [
            "environment variable EXPORTERS_2_KIND: exporters[1].kind: exporter at index 1 validation failed: invalid exporter: kind \"\" is not supported; known kinds: `file`, `log`, `webhook`, `s3`, `googleStorage`, `azureBlobStorage`, `kafka`, `kinesis`, `sqs`, `pubsub`, `bigquery`, `opentelemetry`, `wasm`"
        ]
    );
}

#[test]
fn a_whole_configuration_comes_from_variables_alone() {
    let env = [
        ("SERVER_PORT", "0x409"),
        ("EVALUATION", "none"),
        ("FLAGSETS_0_NAME", "acme"),
        ("FLAGSETS_0_APIKEYS", "k1,k2"),
        ("FLAGSETS_0_EXPORTERS_0_KIND", "file"),
        ("FLAGSETS_0_EXPORTERS_0_OUTPUTDIR", "out"),
        ("FLAGSETS_0_EXPORTERS_0_FLUSHINTERVAL", "2000"),
        ("AUTHORIZEDKEYS_ADMIN", "${A}"),
        ("A", "b"),
    ];
    let loaded = with("", &env).unwrap();
    let config = loaded.config;
    assert_eq!((config.server.port, config.flag_sets[0].name.as_str()), (1033, "acme"));
    assert_eq!(reveal(&config.flag_sets[0].api_keys), ["k1", "k2"]);
    assert_eq!(config.exporters[0].policy.flush_interval, Duration::from_secs(2));
    assert_eq!(reveal(&config.authorized_keys.admin), ["${A}"], "a variable's value is taken as it is");
    // The index in the variable's name is no part of who the exporter is.
    let file = with("flagSets: [{ name: acme, apiKeys: [k1], exporters: [{ kind: file, outputDir: out }] }]\n", &[]).unwrap();
    assert_eq!(config.exporters[0].identity, file.config.exporters[0].identity);
}
