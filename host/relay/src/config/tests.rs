//! Whole files: what they become, and what is said about them.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use flagpost_event::collect::CollectLimits;
use flagpost_exporter::BuildContext;

use super::*;

mod aliases;
mod flag_sets;
mod formats;
mod grants;
mod images;
mod otel;
mod sources;
mod upstream;
mod variables;

/// Reads a YAML text with an environment.
fn with(text: &str, env: &[(&str, &str)]) -> Result<Loaded, Vec<Problem>> {
    in_format(text, Format::Yaml, env)
}

fn in_format(text: &str, format: Format, env: &[(&str, &str)]) -> Result<Loaded, Vec<Problem>> {
    let env = env.iter().copied().collect();
    from_text(text, format, Path::new("/etc/flagpost"), &Sources { env, build: BuildContext::system() })
}

/// Everything that is said about it, as it is shown.
fn said(loaded: &Result<Loaded, Vec<Problem>>) -> Vec<String> {
    let problems = match loaded {
        Ok(loaded) => &loaded.warnings,
        Err(problems) => problems,
    };
    let unread = |line: &String| line.contains("no exporter takes");
    problems.iter().map(ToString::to_string).filter(|line| !unread(line)).collect()
}

fn reveal(keys: &[flagpost_exporter::Secret]) -> Vec<&str> {
    keys.iter().map(flagpost_exporter::Secret::reveal).collect()
}

fn read(text: &str) -> Result<Loaded, Vec<Problem>> {
    let env = Environment::from_iter([("PORT", "8080"), ("REGION", "eu"), ("STATE_DIRECTORY", "/run/state:/other")]);
    from_text(text, Format::Yaml, Path::new("/etc/flagpost"), &Sources { env, build: BuildContext::system() })
}

fn problems(text: &str) -> Vec<String> {
    match read(text) {
        Ok(loaded) => loaded.warnings,
        Err(problems) => problems,
    }
    .iter()
    .map(ToString::to_string)
    .collect()
}

#[test]
fn an_empty_file_is_the_defaults() {
    let config = read("").unwrap().config;
    let server = Server { host: "0.0.0.0".to_owned(), port: 1031, monitoring_port: None, unix_socket: None, tls: None };
    assert_eq!(config.server, server);
    assert_eq!(config.buffer.kind, BufferType::Disk);
    assert_eq!(config.buffer.path, Path::new("/run/state"));
    assert_eq!((config.buffer.max_bytes, config.buffer.min_free), (4 << 30, 512 << 20));
    assert_eq!((config.buffer.lock_timeout, config.buffer.keep_removed), (Duration::from_secs(30), Duration::from_secs(86_400)));
    assert_eq!((config.collector.max_body, config.collector.max_inflated), (32 << 20, 128 << 20));
    assert_eq!(config.collector.limits, CollectLimits::default());
    assert!(config.exporters.is_empty() && config.upstream.is_none() && !config.plugins_required);
}

#[test]
fn ten_mistakes_in_one_file_are_all_said_with_line_path_and_fix() {
    let text = "server:
  port: eighty
  hosst: 127.0.0.1
upstream: { url: relay:1031 }
buffer:
  maxBytes: 4 gigs
  lockTimeout: 30
logLevel: loud
exporters:
  - kind: wasm
    path: a.wasm
    flushIntervall: 5
    limits: { memory: -1, timeout: '${UNSET}' }
  - kind: wasm
    path: a.wasm
    whenFull: explode
  - kind: fil
  - kind: s3
    bucket: ''
  - 7
collector: { maxEvents: -1 }
";
    let expected = [
        "2: server.port: expected a whole number, found `eighty`",
        "3: server.hosst: unknown key; did you mean `host`?",
        "4: upstream.url: expected an `http` or `https` URL; write it like `http://relay:1031`",
        "6: buffer.maxBytes: expected a size; write bytes as a whole number or with a unit: 512KiB, 64MiB, 4GiB, 10MB",
        "7: buffer.lockTimeout: expected a duration, found `30` without a unit; write a number with a unit: 500ms, 30s, 5m, 24h",
        "8: logLevel: unrecognized level: \"loud\"; use one of `debug`, `info`, `warn`, `error`",
        "12: exporters[0].flushIntervall: unknown key; did you mean `flushInterval`?",
        "13: exporters[0].limits.timeout: the environment variable `UNSET` is not set; set it, or write the value here",
        "13: exporters[0].limits.memory: expected a size, found the negative number `-1`; write bytes as a whole number or with a unit: 512KiB, 64MiB, 4GiB, 10MB",
        "14: exporters[1]: the same exporter as the one on line 10: both are `wasm-4b015509`, so their places in the log are one; give each a `name` of its own",
        "16: exporters[1].whenFull: expected one of `drop-oldest`, `block`, found `explode`",
        "17: exporters[2].kind: exporter at index 2 validation failed: invalid exporter: kind \"fil\" is not supported; did you mean `file`?",
        "19: exporters[3].bucket: exporter at index 3 validation failed: invalid exporter: no \"bucket\" property found for kind \"s3\"; set `bucket: my-bucket`",
        "20: exporters[4]: expected an exporter's keys, found `7`; write `- kind: file` and its keys",
        "21: collector.maxEvents: expected a whole number from 0 to 4294967295, found `-1`",
    ];
    assert_eq!(problems(text), expected);
}

#[test]
fn upstreams_own_file_loads_with_one_line_more() {
    let text = "
listen: 1031
pollingInterval: 1000
startWithRetrieverError: false
retriever:
  kind: http
  url: https://example.com/flags.yaml
exporter:
  kind: webhook
  endpointUrl: http://collector.example
notifier:
  - kind: slack
    slackWebhookUrl: x
upstream: { url: 'http://relay:1031' }
";
    let found = problems(text);
    let errors: Vec<&String> = found.iter().filter(|line| !line.contains("warning: ")).collect();
    assert!(errors.is_empty(), "{errors:?}");
    assert!(found.contains(&"2: listen: warning: deprecated; use `server.port`".to_owned()), "{found:?}");
    assert!(
        found
            .iter()
            .any(|line| line == "3: pollingInterval: warning: has no effect here: flags are evaluated by the relay behind `upstream.url`"),
        "{found:?}"
    );
}

#[test]
fn a_retriever_needs_somebody_who_evaluates() {
    let retriever = "retriever: { kind: file, path: flags.yaml }\n";
    let two_ways = "this relay does not evaluate flags itself yet; set `upstream.url` to a relay that evaluates, or `evaluation: none` to only collect and export events";
    assert!(problems(retriever).contains(&format!("1: retriever: {two_ways}")));
    for way_out in ["upstream: { url: 'http://relay:1031' }\n", "evaluation: none\n"] {
        assert!(read(&format!("{retriever}{way_out}")).is_ok(), "{way_out}");
    }
    let lambda = problems("server: { mode: lambda }\n");
    assert!(lambda.iter().any(|line| line.contains("does not run as a lambda") && line.contains("`upstream.url`")), "{lambda:?}");
}

#[test]
fn keys_are_found_in_any_case_and_private_ones_left_alone() {
    let text = "
SERVER: { Port: '8081' }
X-notes: { anything: [1] }
x-defaults: &d { flushinterval: 5000 }
BUFFER: { maxbytes: 1GiB }
exporters:
  - { <<: *d, KIND: wasm, Path: a.wasm, x-why: 7, MAXEVENTINMEMORY: 10 }
";
    let config = read(text).unwrap().config;
    assert_eq!((config.server.port, config.buffer.max_bytes), (8081, 1 << 30));
    let policy = &config.exporters[0].policy;
    assert_eq!((policy.flush_interval, policy.max_events), (Duration::from_secs(5), 10));
    assert_eq!(policy.max_backlog, 1 << 30, "alone, an exporter has the whole buffer");
    assert_eq!(
        problems("server: { port: 1, Port: 2 }\n")[0],
        "1: server.port: `Port` and `port` (line 1) are the same key; keep one of the two"
    );
}

#[test]
fn a_plugin_gets_what_the_file_says() {
    let text = "
pluginsDir: /opt/plugins
exporters:
  - kind: wasm
    path: acme.wasm
    name: acme
    eventType: all
    config: { endpoint: 'https://in.acme.dev/v1', batch: 3, deep: [true, null, { a: 1.5 }] }
    allowedHosts: [ 'POST https://in.acme.dev' ]
    allowedNetworks: [ 10.0.0.0/8 ]
    env: { ACME_REGION: '${REGION}' }
    limits: { memory: 64MiB, timeout: 5s, cpu: 500ms, instances: 2 }
    ordered: false
    maxEventsPerCall: 100
    retry: { initial: 1s, max: 2m, maxElapsed: 0s }
    maxBacklog: 1GiB
    whenFull: block
  - kind: wasm
    path: other.wasm
";
    let config = read(text).unwrap().config;
    let acme = &config.exporters[0];
    let Target::Wasm(spec) = &acme.target else { panic!("a plugin") };
    assert_eq!((spec.name.as_str(), spec.path.as_path()), ("acme", Path::new("/opt/plugins/acme.wasm")));
    let settings = serde_json::json!({"endpoint": "https://in.acme.dev/v1", "batch": 3, "deep": [true, null, {"a": 1.5}]});
    assert_eq!(spec.config, settings);
    assert_eq!(spec.env["ACME_REGION"], "eu");
    assert_eq!((spec.limits.memory, spec.limits.cpu, spec.limits.instances), (64 << 20, Duration::from_millis(500), 2));
    assert_eq!((spec.max_events_per_call, acme.policy.max_events_per_call), (Some(100), Some(100)));
    assert_eq!(acme.events, flagpost_event::EventKind::ALL);
    assert_eq!((acme.policy.max_backlog, acme.policy.when_full), (1 << 30, flagpost_delivery::WhenFull::Block));
    assert_eq!((acme.policy.retry.max_elapsed, acme.policy.ordered), (None, Some(false)));
    assert_eq!(config.exporters[1].policy.max_backlog, 2 << 30, "beside another, an exporter has half of the buffer");
    assert_eq!(config.exporters[1].identity.exporter, "wasm-181a3c22");
}

#[test]
fn a_variables_content_is_never_shown() {
    let env = ["PASSWORD", "A", "B", "C", "D"].iter().map(|name| (*name, "hunter2")).collect();
    let sources = Sources { env, build: BuildContext::system() };
    let text = "server: { port: '${PASSWORD}' }\nlogLevel: '${A}'\nupstream: { url: '${B}' }\nbuffer: { type: '${C}', maxBytes: '${D}' }\n";
    let problems = from_text(text, Format::Yaml, Path::new("."), &sources).unwrap_err();
    assert_eq!(problems.len(), 5, "{problems:?}");
    for problem in problems {
        assert!(!problem.to_string().contains("hunter2"), "{problem}");
    }
}

#[test]
fn a_blocking_or_unknown_word_has_its_neighbours_named() {
    let found = problems("exporters: [{ kind: wasm, path: a.wasm, eventType: features, secrets: { A: { env: A } } }]\n");
    assert!(
        found.iter().any(|line| line
            .ends_with("exporters[0].eventType: expected one of `feature`, `tracking`, `all`, found `features`; did you mean `feature`?")),
        "{found:?}"
    );
    assert!(found.iter().any(|line| line.contains("exporters[0].secrets.A: the environment variable A is not set")), "{found:?}");
}

#[test]
fn variables_are_replaced_below_free_keys_that_begin_with_x_and_left_alone_in_notes() {
    let text = "
x-note: '${UNSET}'
server: { x-note: '${UNSET}' }
exporters:
  - kind: wasm
    path: a.wasm
    x-note: { any: '${UNSET}' }
    config: { X-Region: '${REGION}', headers: { x-region: '${REGION}' } }
    env: { X-REGION: '${REGION}' }
";
    let config = read(text).unwrap().config;
    let Target::Wasm(spec) = &config.exporters[0].target else { panic!("a plugin") };
    assert_eq!(spec.config, serde_json::json!({ "X-Region": "eu", "headers": { "x-region": "eu" } }));
    assert_eq!(spec.env["X-REGION"], "eu");
    let header = "exporters: [{ kind: webhook, endpointUrl: 'http://h/', headers: { X-Api-Key: '${UNSET}' } }]\n";
    assert_eq!(
        problems(header)[0],
        "1: exporters[0].headers.X-Api-Key: the environment variable `UNSET` is not set; set it, or write the value here"
    );
}

#[test]
fn an_unnamed_exporters_name_does_not_depend_on_what_a_variable_holds() {
    let name = |secret: &str, text: &str| {
        let sources = Sources { env: Environment::from_iter([("T", secret)]), build: BuildContext::system() };
        let text = format!("exporters: [{{ kind: {text} }}]\n");
        from_text(&text, Format::Yaml, Path::new("."), &sources).unwrap().config.exporters[0].identity.exporter.clone()
    };
    for text in [
        "webhook, endpointUrl: 'https://hooks.example/${T}'",
        "webhook, endpointUrl: 'https://u:${T}@hooks.example/x?key=${T}'",
        "wasm, path: '${T}/a.wasm'",
        "file, outputDir: '${T}'",
    ] {
        assert_eq!(name("one", text), name("two", text), "{text}");
    }
    let webhook = |url: &str| name("", &format!("webhook, endpointUrl: '{url}'"));
    assert_eq!(webhook("https://h/x?key=1"), webhook("https://a:b@h/x?key=2"));
    assert_ne!(webhook("https://h/x"), webhook("https://h/y"));
}

#[test]
fn several_instances_need_ordered_false() {
    let wasm = |more: &str| problems(&format!("exporters: [{{ kind: wasm, path: a.wasm, limits: {{ instances: 2 }}{more} }}]\n"));
    for ordered in ["", ", ordered: true"] {
        let expected = "1: exporters[0].limits.instances: 2 instances, and one at a time would be used: batches are sent in order; \
                        set `ordered: false` if events may arrive in another order, or remove `instances`";
        assert_eq!(wasm(ordered)[0], expected);
    }
    assert!(wasm(", ordered: false").iter().all(|line| line.contains("warning")), "{:?}", wasm(", ordered: false"));
}
