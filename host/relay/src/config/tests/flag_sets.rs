//! Flag sets, their keys and their exporters.

use super::*;

const TWO: &str = "
flagSets:
  - name: acme
    apiKeys: [a1, a2]
    exporter: { kind: log }
    exporters:
      - { kind: file, outputDir: a }
  - name: beta
    apiKeys: b1
    exporters: { kind: file, outputDir: a }
";

#[test]
fn each_flag_set_has_keys_and_exporters_of_its_own() {
    let loaded = with(TWO, &[]).unwrap();
    let sets: Vec<(&str, Vec<&str>)> = loaded.config.flag_sets.iter().map(|set| (set.name.as_str(), reveal(&set.api_keys))).collect();
    assert_eq!(sets, [("acme", vec!["a1", "a2"]), ("beta", vec!["b1"])]);
    let exporters: Vec<(&str, &str)> =
        loaded.config.exporters.iter().map(|exporter| (exporter.identity.flag_set.as_str(), exporter.kind.as_str())).collect();
    // The same directory twice is no conflict: identities are the flag set's.
    assert_eq!(exporters, [("acme", "log"), ("acme", "file"), ("beta", "file")]);
    assert!(loaded.config.exporters.iter().all(|exporter| exporter.policy.max_backlog == 2 << 30), "each may fill half of the buffer");
    let unread: Vec<String> = loaded.warnings.iter().map(ToString::to_string).filter(|line| line.contains("no exporter takes")).collect();
    assert_eq!(unread.len(), 2, "tracking events of each flag set: {unread:?}");
    assert!(unread[0].starts_with("6: flagSets[0].exporters: warning: no exporter takes tracking events"), "{unread:?}");
}

#[test]
fn the_key_is_found_in_any_case() {
    for key in ["flagSets", "flagsets", "FLAGSETS"] {
        let config = with(&format!("{key}: [{{ NAME: a, apikeys: [k], exporters: [{{ kind: log }}] }}]\n"), &[]).unwrap().config;
        assert_eq!((config.flag_sets[0].name.as_str(), config.exporters.len()), ("a", 1), "{key}");
    }
    assert!(with("flagSets: []\nexporters: [{ kind: log }]\n", &[]).unwrap().config.flag_sets.is_empty());
}

#[test]
fn top_level_exporters_are_not_used_beside_flag_sets_and_that_is_said() {
    let text =
        "flagSets: [{ name: a, apiKeys: [k], exporters: [{ kind: log }] }]\nexporters: [{ kind: nonsense }]\nexporter: { kind: file }\n";
    let loaded = with(text, &[]);
    assert_eq!(
        said(&loaded),
        [
            "2: exporters: warning: not used: with `flagSets`, each flag set has exporters of its own; move them into the flag sets, or remove `flagSets`",
            "3: exporter: warning: not used: with `flagSets`, each flag set has exporters of its own; move them into the flag sets, or remove `flagSets`",
        ]
    );
    assert_eq!(loaded.unwrap().config.exporters.len(), 1);
}

#[test]
fn a_flag_set_without_a_name_is_called_by_its_keys() {
    let name = |text: &str| with(text, &[]).unwrap().config.flag_sets[0].name.clone();
    let one = name("flagSets: [{ apiKeys: [b, a] }]\n");
    assert_eq!(one, "flagset-ab19ec53");
    assert_eq!(one, name("flagSets: [{ apiKeys: [a, b], exporters: [{ kind: log }] }]\n"));
    let loaded = with("flagSets: [{ name: default, apiKeys: [a, b] }]\n", &[]);
    assert_eq!(
        said(&loaded),
        [
            "1: flagSets[0].name: warning: `default` is the flag set of a relay without flag sets: this one has no name; give it a name of its own"
        ]
    );
    assert_eq!(loaded.unwrap().config.flag_sets[0].name, one);
}

#[test]
fn upstreams_sentences_about_flag_sets_are_said_without_a_key_in_them() {
    let table = [
        ("flagSets: [{ name: a }]", "1: flagSets[0].apiKeys: flagset a has no API keys; give it `apiKeys`"),
        ("flagSets: [{ name: a, apiKeys: [] }]", "1: flagSets[0].apiKeys: flagset a has no API keys; give it `apiKeys`"),
        ("flagSets: [{ apiKeys: [] }]", "1: flagSets[0].apiKeys: flagset flagSets[0] has no API keys; give it `apiKeys`"),
        (
            "flagSets: [{ name: a, apiKeys: [hunter2] }, { name: b, apiKeys: [x, hunter2] }]",
            "1: flagSets[1].apiKeys: API key sha256:f52fbd32… is used by multiple flagsets: a and b; give each flag set keys of its own",
        ),
        (
            "flagSets: [{ name: a, apiKeys: [x] }, { name: a, apiKeys: [y] }]",
            "1: flagSets[1].name: the flag set on line 1 has the same name; give each a name of its own",
        ),
        (
            "flagSets: [{ name: a, apiKeys: [x], exporters: [{ kind: log }, { kind: s3 }] }]",
            "1: flagSets[0].exporters[1].bucket: flagset a: exporter at index 1 validation failed: invalid exporter: no \"bucket\" property found for kind \"s3\"; set `bucket: my-bucket`",
        ),
        (
            "flagSets: [{ name: a, apiKeys: [x], exporter: { kind: file } }]",
            "1: flagSets[0].exporter.outputDir: flagset a: invalid exporter: no \"outputDir\" property found for kind \"file\"; set `outputDir: out`",
        ),
        (
            "flagSets: [{ name: a, apiKeys: [x], exporters: [{ kind: log }, { kind: log }] }]",
            "1: flagSets[0].exporters[1]: the same exporter as the one on line 1: both are `log-e3b0c442`, so their places in the log are one; give each a `name` of its own",
        ),
        ("flagSets: [{ name: a, apiKey: [x] }]", "1: flagSets[0].apiKey: unknown key; did you mean `apiKeys`?"),
        ("flagSets: [7]", "1: flagSets[0]: expected a map of keys, found `7`; indent its keys below it"),
        (
            "flagSets: [{ name: a, apiKeys: [x], retriever: { kind: file } }]",
            "1: flagSets[0].retriever: this relay does not evaluate flags itself yet; set `upstream.url` to a relay that evaluates, or `evaluation: none` to only collect and export events",
        ),
        (
            "flagSets: [{ name: a, apiKeys: [x], pollingInterval: 5 }]",
            "1: flagSets[0].pollingInterval: warning: has no effect here: flags are evaluated by the relay behind `upstream.url`",
        ),
        (
            "flagSets: [{ name: a, apiKeys: [x], hideBanner: true }]",
            "1: flagSets[0].hideBanner: unknown key; known here: `name`, `apiKeys`, `exporter`, `exporters`",
        ),
        (
            "flagSets: [{ name: a, apiKeys: [x] }]\nauthorizedKeys: { evaluation: [x, z] }",
            "2: authorizedKeys.evaluation: warning: with flag sets, a request with such a key has no flag set and is answered 400; put the keys into `apiKeys` of a flag set",
        ),
    ];
    for (text, expected) in table {
        let said = said(&with(text, &[]));
        assert!(said.iter().any(|line| line == expected), "{text}: {said:#?}");
        assert!(!said.concat().contains("hunter2"), "{said:?}");
    }
}
