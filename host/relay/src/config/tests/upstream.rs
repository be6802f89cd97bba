//! Upstream's files as they are, and its sentences word for word.

use flagpost_exporter::kinds;

use super::*;

/// Shapes of upstream's documentation and examples, each with the line that makes it ours.
const FILES: &[&str] = &[
    // The minimum, and a file with everything that a first user has.
    "retriever:\n  kind: file\n  path: /goff/flags.yaml\n",
    "
server: { mode: http, port: 1031 }
pollingInterval: 1000
startWithRetrieverError: false
hideBanner: false
enableSwagger: true
logLevel: info
retrievers:
  - kind: github
    repositorySlug: owner/name
    path: flags.yaml
    authToken: x
notifiers: [{ kind: slack, webhookUrl: 'http://x' }]
exporter: { kind: log }
authorizedKeys: { evaluation: [apikey1, apikey2], admin: [apikey3] }
evaluationContextEnrichment: { region: eu }
persistentFlagConfigurationFile: /tmp/f
",
    "
retriever: { kind: file, path: f }
exporters:
  - kind: file
    outputDir: /output
    flushInterval: 10000
    maxEventInMemory: 1000
    format: json
    filename: 'data-{{ .Hostname}}-{{ .Timestamp}}.{{ .Format}}'
  - kind: webhook
    endpointUrl: https://example.com/
    secret: mysecret
    meta: { a: b, n: 1 }
    headers: { X-My: [a, b], X-One: c }
  - kind: log
    logFormat: '[{{ .FormattedDate}}] user={{ .UserKey}}'
    eventType: tracking
",
    "
flagsets:
  - name: team-a
    apiKeys: [key-a]
    retriever: { kind: file, path: a }
    exporter: { kind: file, outputDir: a }
    pollingInterval: 5
    notifier: [{ kind: discord }]
  - name: team-b
    apiKeys: [key-b]
    retrievers: [{ kind: file, path: b }]
    exporters: [{ kind: webhook, endpointUrl: 'http://h' }]
",
    "listen: 1031\nrestApiTimeout: 5000\n",
];

#[test]
fn upstreams_own_files_load_with_one_line_more() {
    for text in FILES.iter().take(FILES.len() - 1) {
        let loaded = with(&format!("{text}\nupstream: {{ url: 'http://relay:1031' }}\n"), &[]);
        assert!(loaded.is_ok(), "{text}: {:#?}", said(&loaded));
    }
    // A key that upstream does not know either is a mistake.
    assert!(with(FILES[FILES.len() - 1], &[]).is_err());
}

#[test]
fn upstreams_sentences_about_exporters_are_said_word_for_word() {
    let property = |kind: &str, key: &str| format!("no \"{key}\" property found for kind \"{kind}\"");
    let table = [
        ("kind: X", "kind \"X\" is not supported".to_owned()),
        ("kind: ''", "kind \"\" is not supported".to_owned()),
        ("name: a", "kind \"\" is not supported".to_owned()),
        ("kind: File", "kind \"File\" is not supported".to_owned()),
        ("kind: file", property("file", "outputDir")),
        ("kind: s3", property("s3", "bucket")),
        ("kind: googleStorage", property("googleStorage", "bucket")),
        ("kind: kinesis", "no \"streamArn\" or \"streamName\" property found for kind \"kinesis\"".to_owned()),
        ("kind: webhook", property("webhook", "endpointUrl")),
        ("kind: sqs", property("sqs", "queueUrl")),
        ("kind: kafka", "\"kakfa.topic\" and \"kafka.addresses\" are required for kind \"kafka\"".to_owned()),
        ("kind: kafka, kafka: { topic: t }", "\"kakfa.topic\" and \"kafka.addresses\" are required for kind \"kafka\"".to_owned()),
        ("kind: kafka, kafka: { addresses: [a] }", "\"kakfa.topic\" and \"kafka.addresses\" are required for kind \"kafka\"".to_owned()),
        ("kind: pubsub, topic: t", "\"projectID\" and \"topic\" are required for kind \"pubsub\"".to_owned()),
        ("kind: bigquery, projectID: p", "\"projectID\" and \"datasetID\" are required for kind \"bigquery\"".to_owned()),
        ("kind: azureBlobStorage", property("azureBlobStorage", "container")),
        ("kind: azureBlobStorage, container: c", property("azureBlobStorage", "accountName")),
        ("kind: log, parquetCompressionCodec: snappy", "\"parquetCompressionCodec\" err: not a valid CompressionCodec string".to_owned()),
        (
            "kind: file, outputDir: o, parquetCompressionCodec: LZ5",
            "\"parquetCompressionCodec\" err: not a valid CompressionCodec string".to_owned(),
        ),
    ];
    for (keys, sentence) in table {
        for (text, wrapper) in [
            (format!("exporter: {{ {keys} }}\n"), ""),
            (format!("exporters: [{{ kind: log }}, {{ {keys} }}]\n"), "exporter at index 1 validation failed: "),
            (
                format!("flagSets: [{{ name: N, apiKeys: [k], exporters: [{{ {keys} }}] }}]\n"),
                "flagset N: exporter at index 0 validation failed: ",
            ),
        ] {
            let problems = with(&text, &[]).unwrap_err();
            let expected = format!("{wrapper}invalid exporter: {sentence}");
            assert!(problems.iter().any(|problem| problem.message == expected), "{text}: {problems:#?}");
            assert!(problems.iter().all(|problem| problem.severity == Severity::Warning || problem.place.line() == 1), "{problems:#?}");
        }
    }
}

#[test]
fn kinds_that_are_not_served_yet_are_named_once_their_keys_are_right() {
    let table = [
        "kind: s3, bucket: b, path: p, format: parquet",
        "kind: googleStorage, bucket: b",
        "kind: azureBlobStorage, container: c, accountName: a, accountKey: k",
        "kind: pubsub, projectID: p, topic: t",
        "kind: bigquery, projectID: p, datasetID: d, autoMigrate: 'true'",
        "kind: opentelemetry, endpoint: 'http://c'",
    ];
    for keys in table {
        let kind = keys.split([' ', ',']).nth(1).unwrap();
        let said = said(&with(&format!("exporters: [{{ {keys} }}]\n"), &[]));
        let served: Vec<&str> = kinds().iter().filter(|info| info.served).map(|info| info.name).chain(["wasm"]).collect();
        if served.contains(&kind) {
            assert!(said.iter().all(|line| !line.contains("was left out of this build")), "{said:?}");
            continue;
        }
        let served = flagpost_settings::list(&served);
        assert_eq!(
            said,
            [format!(
                "1: exporters[0].kind: kind \"{kind}\" was left out of this build; build flagpost with the feature of this kind, or choose another: {served}"
            )]
        );
    }
}

#[test]
fn types_are_as_forgiving_as_upstreams() {
    let text = "
server: { port: '1032', monitoringPort: 1033.9 }
disableVersionHeader: 1
authorizedKeys: { evaluation: single, admin: [7] }
exporters:
  kind: webhook
  endpointUrl: http://h
  flushInterval: 1500.7
  maxEventInMemory: '10'
  meta: { n: 1, b: true }
  headers: { X-A: a }
shutdownTimeout: 1m30s
";
    let config = with(text, &[]).unwrap().config;
    assert_eq!((config.server.port, config.server.monitoring_port), (1032, Some(1033)));
    assert!(config.disable_version_header);
    assert_eq!((reveal(&config.authorized_keys.evaluation), reveal(&config.authorized_keys.admin)), (vec!["single"], vec!["7"]));
    let policy = &config.exporters[0].policy;
    assert_eq!((policy.flush_interval, policy.max_events), (Duration::from_millis(1500), 10));
    assert_eq!(config.shutdown_timeout, Duration::from_secs(90));
    let durations = [("0", 60_000), ("''", 60_000), ("250", 250), ("'250'", 250), ("500ms", 500), ("1m30s", 90_000), ("2s", 2_000)];
    for (written, millis) in durations {
        let text = format!("exporters: [{{ kind: log, flushInterval: {written} }}]\n");
        assert_eq!(with(&text, &[]).unwrap().config.exporters[0].policy.flush_interval, Duration::from_millis(millis), "{written}");
    }
    // Upstream starts with it and panics.
    let said = said(&with("exporters: [{ kind: log, flushInterval: -1 }]\n", &[]));
    assert_eq!(
        said[0],
        "1: exporters[0].flushInterval: expected a duration, found the negative number `-1`; write milliseconds as a whole number, or a number with a unit: 60000, 500ms, 60s"
    );
    assert!(with("exporter: [{ kind: log }]\n", &[]).is_err(), "upstream refuses a list there, too");
}
