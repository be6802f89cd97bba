//! What plugins are granted: keys into specifications, and what is said about wrong ones.

use std::path::PathBuf;

use flagpost_event::EventKind;
use flagpost_plugin::{PluginSpec, SecretUse, StateQuota};

use super::*;
use crate::config::Target;

fn spec(text: &str, env: &[(&str, &str)]) -> PluginSpec {
    let loaded = with(text, env).unwrap_or_else(|problems| panic!("{problems:?}"));
    match &loaded.config.exporters[0].target {
        Target::Wasm(spec) => (**spec).clone(),
        Target::Native(_) => panic!("another kind"),
    }
}

#[test]
fn every_grant_becomes_what_the_host_takes() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("login");
    std::fs::write(&file, "anna:hunter22\n").unwrap();
    let text = format!(
        "exporters:
  - kind: wasm
    name: acme
    path: acme.wasm
    eventType: all
    config:
      token: ${{TOKEN}}
      retry:
        max: 3
      hosts: [ a, b ]
    allowedHosts: [ https://in.acme.dev ]
    allowedSockets: [ tcp://redis:6379 ]
    secrets:
      KEY: {{ env: ACME_KEY, hosts: [ https://in.acme.dev ] }}
      LOGIN: {{ file: {}, hosts: [ https://in.acme.dev ], as: basic }}
      SEED: {{ env: ACME_KEY, as: reveal }}
    http: {{ proxy: http://proxy:3128, redirects: 2, tls: {{ ca: ca.pem, cert: /c.pem, key: /k.pem }} }}
    files: {{ /data: ./lookup }}
    state: {{ maxBytes: 2MiB }}
",
        file.display()
    );
    let spec = spec(&text, &[("ACME_KEY", "k3y-of-acme"), ("TOKEN", "t0ken-value")]);
    assert_eq!((spec.name.as_str(), spec.flag_set.as_str(), spec.events.as_slice()), ("acme", "default", &EventKind::ALL[..]));
    assert_eq!(spec.allowed_sockets, ["tcp://redis:6379"]);
    let secrets: Vec<_> = spec.secrets.iter().map(|(name, secret)| (name.as_str(), secret.value.reveal(), secret.exposure)).collect();
    let expected = [
        ("KEY", "k3y-of-acme", SecretUse::Header),
        ("LOGIN", "anna:hunter22", SecretUse::Basic),
        ("SEED", "k3y-of-acme", SecretUse::Reveal),
    ];
    assert_eq!(secrets, expected);
    assert_eq!((spec.http.proxy.as_ref().unwrap().reveal(), spec.http.redirects), ("http://proxy:3128", 2));
    assert_eq!(spec.http.ca, Some(PathBuf::from("/etc/flagpost/ca.pem")));
    assert_eq!(spec.http.key, Some(PathBuf::from("/k.pem")));
    assert_eq!(spec.files["/data"], PathBuf::from("/etc/flagpost/./lookup"));
    assert_eq!(spec.state, Some(StateQuota { max_bytes: 2 << 20, max_keys: 1000 }));
    for (path, place) in [("", "line 6"), ("token", "line 7"), ("retry.max", "line 9"), ("hosts[1]", "line 10")] {
        assert_eq!(spec.places.find(path), Some(place), "{path}");
    }
    let shown = format!("{spec:?}");
    for secret in ["k3y-of", "hunter22", "t0ken"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    // What was only moved to other lines is the same plugin; another secret is another one.
    let env = [("ACME_KEY", "k3y-of-acme"), ("TOKEN", "t0ken-value")];
    let moved = with(&format!("# moved\n{text}"), &env).unwrap();
    assert!(moved.config.exporters[0].does_the_same(&with(&text, &env).unwrap().config.exporters[0]));
    let other = with(&text, &[("ACME_KEY", "another"), ("TOKEN", "t0ken-value")]).unwrap();
    assert!(!moved.config.exporters[0].does_the_same(&other.config.exporters[0]));
}

#[test]
fn nothing_is_granted_that_is_not_written() {
    let spec = spec("exporters: [{ kind: wasm, name: a, path: a.wasm }]", &[]);
    assert_eq!(spec, PluginSpec { events: vec![EventKind::Feature], ..PluginSpec::new("a", "/etc/flagpost/plugins/a.wasm") });
}

#[test]
fn wrong_grants_are_told_with_their_lines() {
    let text = "exporters:
  - kind: wasm
    path: acme.wasm
    secrets:
      MISSING: { env: ACME_KEY, hosts: [ https://in.acme.dev ] }
      GONE: { file: /nowhere/at/all }
      BOTH: { env: A, file: b }
      NOWHERE: { env: HERE }
      HOW: { env: HERE, as: cookie }
    allowedSockets:
      - redis:6379
    state: { maxKeys: 0 }
";
    let said = said(&with(text, &[("HERE", "s3cret-value")]));
    let expected = [
        "5: exporters[0].secrets.MISSING: the environment variable ACME_KEY is not set; set it for the relay",
        "6: exporters[0].secrets.GONE: the file /nowhere/at/all cannot be read",
        "7: exporters[0].secrets.BOTH: expected where the secret is; give one of `env: NAME` and `file: path`",
        "8: exporters[0].secrets.NOWHERE.hosts: goes nowhere; add the hosts that may get it",
        "9: exporters[0].secrets.HOW.as: expected one of `header`, `basic`, `reveal`",
        "11: exporters[0].allowedSockets[0]: `redis:6379` is not `tcp://…`",
        "12: exporters[0].state.maxKeys: 0 keys keep nothing",
    ];
    for line in expected {
        assert!(said.iter().any(|one| one.starts_with(line)), "{line} is not in {said:#?}");
    }
    assert!(!format!("{said:?}").contains("s3cret"), "{said:?}");
}
