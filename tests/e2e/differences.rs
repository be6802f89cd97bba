//! Where flagpost does otherwise than upstream, and nothing else tests it: see docs/differences.md.

use std::process::Command;

use flagpost_tests::{Finished, Program, Setup, assert_lines, events, flagpost, lines_in, program_path, until};

const FILE: &str = "  - { kind: file, name: out, outputDir: out, flushInterval: 20 }";

fn validate(setup: &Setup, variables: &[(&str, &str)]) -> Finished {
    let mut command = Command::new(program_path());
    command.current_dir(setup.directory()).args(["validate", "--config", "flagpost.yaml"]).envs(variables.iter().copied());
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    Finished { status: output.status, text }
}

#[tokio::test]
async fn the_log_exporter_writes_every_event_whatever_the_log_level_is() {
    let setup = Setup::new().with_head("evaluation: none\nlogLevel: error\n").with_exporters("  - { kind: log, name: console }");
    let relay = Program::start(&setup).await;
    // More than a hundred equal lines in a second: upstream's logger would keep one in a hundred of the rest.
    let same = vec![events(1..2).remove(0); 500];
    relay.post(&same).await;
    relay.drained(&["console"]).await;
    until("all lines are written", async || (relay.log().matches("user=\\\"u-1\\\"").count() == 500).then_some(())).await;
    relay.stop().await;
}

#[test]
fn a_negative_interval_is_a_mistake_and_no_panic() {
    let setup = Setup::new().with_exporters("  - { kind: file, outputDir: out, flushInterval: -5 }");
    let finished = validate(&setup, &[]);
    assert_eq!(finished.status.code(), Some(1), "{}", finished.text);
    assert!(finished.text.contains("exporters[0].flushInterval: expected a duration, found the negative number `-5`"), "{}", finished.text);
}

#[test]
fn a_variable_that_leads_nowhere_is_a_warning_and_no_panic() {
    let setup = Setup::new().with_exporters(FILE);
    for (name, words) in
        [("EXPORTERS", "`exporters` is a list"), ("EXPORTERS_KIND", "no index"), ("SERVER_PORT", "Kubernetes sets variables")]
    {
        let finished = validate(&setup, &[(name, "tcp://10.0.0.1:80")]);
        assert!(finished.status.success(), "{name}: {}", finished.text);
        assert!(finished.text.contains(name) && finished.text.contains(words), "{name}: {}", finished.text);
    }
}

#[test]
fn a_file_that_cannot_be_read_ends_the_program() {
    let setup = Setup::new();
    std::fs::write(setup.config(), "exporters: [").unwrap();
    for file in ["nothing-there.yaml", "flagpost.yaml"] {
        let finished = flagpost(&setup, &["--config", file]);
        assert_eq!(finished.status.code(), Some(1), "{}", finished.text);
        assert!(finished.text.contains(file), "{}", finished.text);
    }
}

#[test]
fn a_key_of_two_flag_sets_is_refused_without_being_printed() {
    let flag_sets = "evaluation: none\nflagSets:
  - { name: a, apiKeys: [ topsecret ], exporter: { kind: file, outputDir: a } }
  - { name: b, apiKeys: [ topsecret ], exporter: { kind: file, outputDir: b } }\n";
    let finished = validate(&Setup::new().with_head(flag_sets), &[]);
    assert_eq!(finished.status.code(), Some(1), "{}", finished.text);
    assert!(finished.text.contains("is used by multiple flagsets: a and b") && !finished.text.contains("topsecret"), "{}", finished.text);
}

#[test]
fn a_word_that_upstream_would_take_for_another_is_a_mistake() {
    let setup = Setup::new().with_exporters("  - { kind: file, outputDir: out, eventType: trakcing, filename: \"{{ .Nope }}\" }");
    let finished = validate(&setup, &[]);
    assert_eq!(finished.status.code(), Some(1), "{}", finished.text);
    for words in ["eventType", "`tracking`", "filename", "`{{ .Nope }}` is not known"] {
        assert!(finished.text.contains(words), "no `{words}` in:\n{}", finished.text);
    }
}

#[tokio::test]
async fn batches_of_one_second_are_files_of_their_own() {
    let setup = Setup::new().with_exporters("  - { kind: file, name: out, outputDir: out, flushInterval: 3600000, maxEventInMemory: 10 }");
    let relay = Program::start(&setup).await;
    relay.post(&events(1..101)).await;
    relay.drained(&["out"]).await;
    assert_eq!(flagpost_tests::json_files(&setup.path("out")).len(), 10);
    assert_lines(&lines_in(&setup.path("out")), &events(1..101));
    relay.stop().await;
}

#[test]
fn two_exporters_of_one_place_need_names() {
    let twice = "  - { kind: file, outputDir: out }\n  - { kind: file, outputDir: out, format: JSON }";
    let finished = validate(&Setup::new().with_exporters(twice), &[]);
    assert_eq!(finished.status.code(), Some(1), "{}", finished.text);
    assert!(finished.text.contains("the same exporter as the one on line") && finished.text.contains("`name`"), "{}", finished.text);
    let named = "  - { kind: file, name: a, outputDir: out }\n  - { kind: file, name: b, outputDir: out }";
    let finished = validate(&Setup::new().with_exporters(named), &[]);
    assert!(finished.status.success(), "{}", finished.text);
}
