//! What arrives, where, and as what.

use flagpost_tests::servers::pubsub::{self, PROJECT};
use flagpost_tests::servers::unique;
use flagpost_tests::{Program, Setup, events, flagpost};
use serde_json::json;

use super::{exporter, feature, make_topic, reader, sorted, tracking, values};

#[tokio::test(flavor = "multi_thread")]
async fn each_event_of_both_types_is_one_message_with_its_json_and_upstreams_attribute() {
    let Some(pubsub) = pubsub::shared().await else { return };
    let topic = pubsub.topic().await;
    let setup = Setup::new().with_exporters(&exporter("both", &topic, pubsub.address(), "eventType: all"));
    let relay = Program::start(&setup).await;
    let odd: Vec<String> = [r#""""#, r#""Zoë 🚀""#, r#""a\"b\\c\nd""#, r#""\u003chtml\u003e""#]
        .iter()
        .zip(0..)
        .map(|(user, number)| feature(user, number))
        .collect();
    let trackings: Vec<String> = (1..200).map(tracking).collect();
    // More than one request takes.
    for batch in [&odd, &trackings, &events(1..5_001)] {
        relay.post(batch).await;
    }
    let counts = relay.drained(&["both"]).await.counts("both");
    let all = [odd, trackings, events(1..5_001)].concat();
    assert_eq!((counts.delivered, counts.dead, counts.dropped), (all.len() as u64, 0, 0));
    let messages = pubsub.pull(&topic, all.len()).await;
    assert_eq!(values(&messages), sorted(all), "each once, byte for byte");
    for message in &messages {
        assert_eq!((&message.attributes, message.key.as_str()), (&json!({ "emitter": "GO Feature Flag" }), ""), "{}", message.data);
    }
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_configuration_is_taken_and_delivers() {
    let Some(pubsub) = pubsub::shared().await else { return };
    let (topic, whole) = (pubsub.topic().await, pubsub.topic().await);
    let yaml = format!(
        r"
  - kind: pubsub
    name: out
    projectID: {PROJECT}
    topic: {topic}
  - kind: pubsub
    name: whole
    projectID: somebody-elses
    topic: projects/{PROJECT}/topics/{whole}
"
    );
    // As upstream's library finds an emulator.
    let setup = Setup::new().with_exporters(&yaml).with_environment([("PUBSUB_EMULATOR_HOST", pubsub.address())]);
    let checked = flagpost(&setup, &["validate", "--config", "flagpost.yaml"]);
    assert!(checked.status.success(), "{}", checked.text);
    let relay = Program::start(&setup).await;
    relay.post(&events(1..2_001)).await;
    relay.drained(&["out", "whole"]).await;
    for topic in [topic, whole] {
        assert_eq!(values(&pubsub.pull(&topic, 2_000).await), sorted(events(1..2_001)));
    }
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_made_later_gets_everything() {
    let Some(pubsub) = pubsub::shared().await else { return };
    let topic = unique("later");
    let setup = Setup::new().with_exporters(&exporter("out", &topic, pubsub.address(), ""));
    let relay = Program::start(&setup).await;
    relay.post(&events(1..501)).await;
    let task = relay.in_state("out", "misconfigured").await;
    let told = task["lastError"]["message"].as_str().unwrap_or_default().to_owned();
    assert!(told.contains(&topic) && told.contains("create the topic, or correct `projectID` and `topic`"), "{task}");
    assert_eq!(relay.metrics().await.counts("out").waiting, 500);
    make_topic(&relay, &pubsub, &topic).await;
    relay.post(&events(501..601)).await;
    let counts = relay.drained(&["out"]).await.counts("out");
    assert_eq!((counts.delivered, counts.dead, counts.dropped), (600, 0, 0));
    // What was under way when the relay was held may have come twice.
    reader(&pubsub, &topic).has(600).await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_are_not_there_are_told_and_read_again() {
    let Some(pubsub) = pubsub::shared().await else { return };
    let topic = pubsub.topic().await;
    let setup = Setup::new();
    let file = setup.path("credentials.json");
    let setup = setup.with_exporters(&exporter("out", &topic, pubsub.address(), &format!("credentialsFile: {}", file.display())));
    let relay = Program::start(&setup).await;
    relay.post(&events(1..101)).await;
    let told = relay.in_state("out", "misconfigured").await["lastError"]["message"].to_string();
    assert!(told.contains("credentials.json cannot be read") && told.contains("check the credentials"), "{told}");
    std::fs::write(&file, r#"{"type":"authorized_user","client_secret":"hunter2"}"#).unwrap();
    flagpost_tests::until("what is wrong with it is told", async || {
        let told = relay.exporter("out").await["lastError"]["message"].to_string();
        told.contains("missing field `client_id`").then_some(())
    })
    .await;
    // Google's token service, as far as it is needed.
    let tokens = flagpost_tests::Target::start(|_| {
        flagpost_tests::Answer::Json(r#"{"access_token":"hunter3","token_type":"Bearer","expires_in":3600}"#.to_owned())
    })
    .await;
    let user = json!({
        "type": "authorized_user", "client_id": "id", "client_secret": "hunter2", "refresh_token": "hunter2", "token_uri": tokens.url("/token"),
    });
    std::fs::write(&file, user.to_string()).unwrap();
    relay.drained(&["out"]).await;
    assert_eq!(values(&pubsub.pull(&topic, 100).await), sorted(events(1..101)));
    assert!(tokens.requests() > 0);
    assert!(!relay.log().contains("hunter"), "{}", relay.log());
    relay.stop().await;
}
