//! Whole files: what they become, and what is said about them.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use flagpost_exporter::BuildContext;

use super::*;

fn read(text: &str) -> Result<Loaded, Vec<Problem>> {
    let vars: HashMap<&str, &str> = HashMap::from([("PORT", "8080"), ("REGION", "eu"), ("STATE_DIRECTORY", "/run/state:/other")]);
    let sources = Sources { env: &move |name| vars.get(name).map(|value| (*value).to_owned()), build: BuildContext::system() };
    from_text(text, Path::new("/etc/flagpost"), &sources)
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
    assert_eq!(config.server, Server { host: "0.0.0.0".to_owned(), port: 1031 });
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
    bucket: b
  - 7
authorizedKeys: { admin: [k] }
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
        "17: exporters[2].kind: invalid exporter: kind \"fil\" is not supported; did you mean `file`?",
        "18: exporters[3].kind: kind \"s3\" is not served yet; kinds that are served: `file`, `log`, `webhook`, `wasm`",
        "20: exporters[4]: expected an exporter's keys, found `7`; write `- kind: file` and its keys",
        "21: authorizedKeys: API keys are not served yet: the collector would be open to everyone; keep the keys in a proxy in front, and remove this key",
    ];
    assert_eq!(problems(text), expected);
}
