//! Who may come in and what they may do there.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use flagpost_tests::servers::kafka::{self, Broker, Listener};
use flagpost_tests::servers::unique;
use flagpost_tests::{Answer, Program, Setup, Target, events};

use super::{QUICK, exporter, sorted, values};

/// A token that says who its bearer is, without a signature: what this broker is set up to take.
fn token() -> String {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let part = |json: String| BASE64_URL_SAFE_NO_PAD.encode(json);
    let claims = format!(r#"{{"sub":"svc","iat":{now},"exp":{},"scope":"events"}}"#, now + 600);
    format!("{}.{}.", part(r#"{"alg":"none"}"#.to_owned()), part(claims))
}

fn sasl(mechanism: &str, user: &str, password: &str) -> String {
    format!("sasl: {{ enable: true, mechanism: {mechanism}, user: {user}, password: {password} }}")
}

fn config(net: &[&str]) -> String {
    format!("config: {{ net: {{ {} }} }}\n      {QUICK}", net.join(", "))
}

async fn granted(broker: &Broker, user: &str) -> String {
    let topic = broker.topic(1, &[]).await;
    broker.admin("allow", &[user, "TOPIC", &topic, "WRITE", "DESCRIBE"]).await;
    topic
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_of_coming_in_delivers() {
    let Some(broker) = kafka::local().await else { return };
    let provider =
        Target::start(|_| Answer::Json(format!(r#"{{"access_token":"{}","token_type":"Bearer","expires_in":600}}"#, token()))).await;
    let (ca, certificate, key) = (broker.file("ca.pem"), broker.file("client.crt"), broker.file("client.key"));
    let (tls, authority) = ("tls: { enable: true }", format!("tls: {{ caFile: '{ca}' }}"));
    let oauth = format!(
        "oauth: {{ tokenEndpointUrl: '{}', clientId: relay, clientSecret: not-for-logs, scope: events }}\n      {QUICK}",
        provider.url("/token")
    );
    let scram = |bits: u32| sasl(&format!("SCRAM-SHA-{bits}"), "alice", "alice-secret");
    let ways = [
        ("plain", "alice", Listener::Sasl, config(&[&sasl("PLAIN", "alice", "alice-secret")])),
        ("scram-256", "alice", Listener::Sasl, config(&[&scram(256)])),
        ("scram-512", "alice", Listener::Sasl, config(&[&scram(512)])),
        ("scram-tls", "alice", Listener::SaslTls, format!("{authority}\n      {}", config(&[tls, &scram(512)]))),
        (
            "certificate",
            "alice",
            Listener::Mtls,
            format!("tls: {{ caFile: '{ca}', certificateFile: '{certificate}', keyFile: '{key}' }}\n      {QUICK}"),
        ),
        ("token", "svc", Listener::OAuth, oauth),
        ("exact", "alice", Listener::Sasl, format!("transactional: true\n      {}", config(&[&scram(256)]))),
    ];
    // What transactions need beside the topic.
    broker.admin("allow", &["alice", "TRANSACTIONAL_ID", "flagpost-*", "WRITE", "DESCRIBE"]).await;
    broker.admin("allow", &["alice", "GROUP", "flagpost-*", "READ"]).await;
    let (mut exporters, mut topics) = (String::new(), Vec::new());
    for (name, user, listener, own) in &ways {
        let topic = granted(&broker, user).await;
        if *name == "exact" {
            broker.admin("allow", &[user, "TOPIC", &topic, "READ"]).await;
        }
        exporters += &exporter(name, &topic, &broker.address(*listener), own);
        topics.push(topic);
    }
    let setup = Setup::new().with_exporters(&exporters);
    let relay = Program::start(&setup).await;
    relay.post(&events(1..101)).await;
    let names: Vec<&str> = ways.iter().map(|(name, ..)| *name).collect();
    relay.drained(&names).await;
    for (name, topic) in names.iter().zip(&topics) {
        assert_eq!(values(&broker.read(topic, 100).await), sorted(events(1..101)), "{name}");
    }
    let asked = &provider.received()[0];
    let body = String::from_utf8_lossy(&asked.body);
    assert!(body.contains("grant_type=client_credentials") && body.contains("scope=events"), "{body}");
    let basic = asked.headers["authorization"].to_str().unwrap().strip_prefix("Basic ").unwrap().to_owned();
    assert_eq!(base64::prelude::BASE64_STANDARD.decode(basic).unwrap(), b"relay:not-for-logs");
    for secret in ["alice-secret", "not-for-logs"] {
        assert!(!relay.log().contains(secret), "{secret} is in the log");
    }
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_credentials_raise_an_alarm_and_lose_nothing_and_once_they_are_good_everything_arrives() {
    let Some(broker) = kafka::local().await else { return };
    let (user, topic) = (unique("bob"), broker.topic(1, &[]).await);
    broker.admin("user", &[&user, "another-secret"]).await;
    broker.admin("allow", &[&user, "TOPIC", &topic, "WRITE", "DESCRIBE"]).await;
    let own = config(&[&sasl("SCRAM-SHA-512", &user, "bobs-secret")]);
    let exact = format!("transactional: true\n      {own}");
    let address = broker.address(Listener::Sasl);
    let mut setup = Setup::new().with_exporters(&(exporter("out", &topic, &address, &own) + &exporter("exact", &topic, &address, &exact)));
    let relay = Program::start(&setup).await;
    relay.post(&events(1..201)).await;
    for name in ["out", "exact"] {
        let task = relay.in_state(name, "misconfigured").await;
        let told = task["lastError"]["message"].as_str().unwrap_or_default().to_owned();
        assert!(told.contains("uthentication failed") && told.contains("check the credentials"), "{task}");
    }
    assert_eq!(relay.metrics().await.counts("out").waiting, 200);
    let log = relay.log();
    assert!(!log.contains("bobs-secret") && !relay.get("/health/exporters").await.1.contains("bobs-secret"));
    // Corrected at the broker: no restart is needed.
    broker.admin("user", &[&user, "bobs-secret"]).await;
    let counts = relay.drained(&["out"]).await.counts("out");
    assert_eq!((counts.delivered, counts.dead, counts.dropped), (200, 0, 0));
    assert_eq!(values(&broker.read(&topic, 200).await), sorted(events(1..201)));
    relay.stop().await;
    // Corrected in the configuration.
    let wrong = exporter("out", &topic, &address, &own.replace("bobs-secret", "typo"));
    setup.set_exporters(&wrong);
    let relay = Program::start(&setup).await;
    relay.post(&events(201..301)).await;
    relay.in_state("out", "misconfigured").await;
    relay.stop().await;
    setup.set_exporters(&wrong.replace("typo", "bobs-secret"));
    let relay = Program::start(&setup).await;
    relay.drained(&["out"]).await;
    assert_eq!(values(&broker.read(&topic, 300).await), sorted(events(1..301)));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_granted_later_lets_everything_in() {
    let Some(broker) = kafka::local().await else { return };
    let topic = broker.topic(1, &[]).await;
    let own = config(&[&sasl("SCRAM-SHA-256", "alice", "alice-secret")]);
    let setup = Setup::new().with_exporters(&exporter("out", &topic, &broker.address(Listener::Sasl), &own));
    let relay = Program::start(&setup).await;
    relay.post(&events(1..101)).await;
    let task = relay.in_state("out", "misconfigured").await;
    let told = task["lastError"]["message"].as_str().unwrap_or_default().to_owned();
    assert!(told.contains("Topic authorization failed") && told.contains("operations Write and Describe"), "{task}");
    broker.admin("allow", &["alice", "TOPIC", &topic, "WRITE", "DESCRIBE"]).await;
    let counts = relay.drained(&["out"]).await.counts("out");
    assert_eq!((counts.delivered, counts.dead, counts.dropped), (100, 0, 0));
    assert_eq!(values(&broker.read(&topic, 100).await), sorted(events(1..101)));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_whose_certificate_nobody_vouches_for_gets_nothing() {
    let Some(broker) = kafka::local().await else { return };
    let topic = broker.topic(1, &[]).await;
    let tls = "tls: { enable: true }";
    let trusting = format!("tls: {{ caFile: '{}' }}\n      {QUICK}", broker.file("ca.pem"));
    let (suspicious, nameless) = (config(&[tls, &sasl("SCRAM-SHA-256", "alice", "alice-secret")]), trusting);
    let exporters = exporter("suspicious", &topic, &broker.address(Listener::SaslTls), &suspicious)
        + &exporter("nameless", &topic, &broker.address(Listener::Mtls), &nameless);
    let setup = Setup::new().with_exporters(&exporters);
    let relay = Program::start(&setup).await;
    relay.post(&events(1..101)).await;
    let task = relay.in_state("suspicious", "misconfigured").await;
    assert!(task["lastError"]["message"].as_str().is_some_and(|text| text.contains("certificate verify failed")), "{task}");
    // The broker only hangs up on who has no certificate.
    let task = relay.in_state("nameless", "retrying").await;
    assert!(task["lastError"]["message"].as_str().is_some_and(|text| text.contains(&topic)), "{task}");
    let metrics = relay.metrics().await;
    assert_eq!([metrics.counts("suspicious").waiting, metrics.counts("nameless").waiting], [100, 100]);
    relay.stop().await;
    assert_eq!(broker.read(&topic, 0).await, []);
}
