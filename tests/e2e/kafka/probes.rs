//! Probes of brokers.

use flagpost_tests::servers::kafka::{self, Listener};
use flagpost_tests::servers::unique;
use flagpost_tests::{Setup, flagpost};

use super::{QUICK, exporter};

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_tells_a_missing_topic_from_wrong_credentials_and_makes_no_topic() {
    let Some(broker) = kafka::local().await else { return };
    let (topic, missing) = (broker.topic(1, &[]).await, unique("missing"));
    broker.admin("allow", &["alice", "TOPIC", &topic, "WRITE", "DESCRIBE"]).await;
    let sasl = |password: &str| {
        format!("config: {{ net: {{ sasl: {{ enable: true, mechanism: PLAIN, user: alice, password: {password} }} }} }}\n      {QUICK}")
    };
    let exporters = [
        exporter("good", &topic, &broker.address(Listener::Sasl), &sasl("alice-secret")),
        exporter("wrong", &topic, &broker.address(Listener::Sasl), &sasl("not-alices")),
        exporter("missing", &missing, &broker.address(Listener::Plain), QUICK),
        exporter("denied", &broker.topic(1, &[]).await, &broker.address(Listener::Sasl), &sasl("alice-secret")),
        exporter("nobody", &topic, "127.0.0.1:1", QUICK),
    ];
    let setup = Setup::new().with_exporters(&exporters.concat());
    let finished = tokio::task::block_in_place(|| flagpost(&setup, &["validate", "--config", "flagpost.yaml", "--probe"]));
    assert_eq!(finished.status.code(), Some(1), "{}", finished.text);
    for (name, begins, words) in [
        ("good", "probe ok: ", "asked the brokers for the topic"),
        ("wrong", "probe failed: ", "check the credentials"),
        ("missing", "probe failed: ", "create the topic, or correct `kafka.topic`"),
        ("denied", "probe failed: ", "operations Write and Describe"),
        ("nobody", "probe failed: ", "127.0.0.1:1"),
    ] {
        let line = finished.text.lines().find(|line| line.starts_with("probe ") && line.contains(&format!(": {name} (")));
        let line = line.unwrap_or_else(|| panic!("nothing about {name}:\n{}", finished.text));
        assert!(line.starts_with(begins) && line.contains(words), "{line}");
    }
    assert!(!finished.text.contains("not-alices") && !finished.text.contains("alice-secret"), "{}", finished.text);
    assert!(!broker.admin("topics", &[]).await.contains(&missing), "nobody made it");
}
