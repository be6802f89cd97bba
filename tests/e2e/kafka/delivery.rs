//! What arrives, where, and as what.

use flagpost_tests::servers::kafka::{self, Listener};
use flagpost_tests::{Program, Setup, events, flagpost, tracking};

use super::{exporter, plain, sorted, values};

fn feature(user: &str, number: u64) -> String {
    format!(
        r#"{{"kind":"feature","contextKind":"user","userKey":{user},"creationDate":1700000000,"key":"k","variation":"on","value":{number},"default":false,"version":"","source":"SERVER"}}"#
    )
}

/// The user key of an event.
fn key(event: &str) -> String {
    serde_json::from_str::<serde_json::Value>(event).unwrap()["userKey"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_is_one_message_with_its_user_key_and_its_json() {
    let Some(broker) = kafka::shared().await else { return };
    let topic = broker.topic(4, &[]).await;
    let both = plain("both", &topic, &broker).replace("name: both", "name: both\n    eventType: all");
    let setup = Setup::new().with_exporters(&both);
    let relay = Program::start(&setup).await;
    let users = [r#""""#, r#""Zoë 🚀""#, r#""a\"b\\c\nd""#, r#"" ""#, r#""\u003chtml\u003e""#];
    let odd: Vec<String> = users.iter().zip(0..).map(|(user, number)| feature(user, number)).collect();
    let trackings: Vec<String> = (1..200).map(tracking).collect();
    // One user's events, among others': they stay in order.
    let ordered: Vec<String> = (1..300).map(|number| feature(r#""one""#, number)).collect();
    for batch in [&odd, &trackings, &events(1..1_001), &ordered] {
        relay.post(batch).await;
    }
    relay.drained(&["both"]).await;
    let all = [odd, trackings, events(1..1_001), ordered.clone()].concat();
    let records = broker.read(&topic, all.len()).await;
    assert_eq!(values(&records), sorted(all), "each once, byte for byte");
    for record in &records {
        assert_eq!(record.key.as_deref(), Some(key(&record.value).as_bytes()), "{}", record.value);
    }
    let one: Vec<&str> =
        records.iter().filter(|record| record.key.as_deref() == Some(b"one")).map(|record| record.value.as_str()).collect();
    assert_eq!(one, ordered, "the order of one key");
    relay.stop().await;
}

/// sarama's hash partitioner: `int32(FNV-1a) % partitions`, made positive.
fn sarama(key: &str, partitions: i32) -> u32 {
    let hash = key.bytes().fold(0x811c_9dc5u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (hash.cast_signed() % partitions).unsigned_abs()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_placed_as_upstream_places_it_or_as_java_does() {
    let Some(broker) = kafka::shared().await else { return };
    let (upstreams, javas) = (broker.topic(7, &[]).await, broker.topic(7, &[]).await);
    let address = broker.address(Listener::Plain);
    let exporters = exporter("upstreams", &upstreams, &address, "") + &exporter("javas", &javas, &address, "partitioner: murmur2");
    let setup = Setup::new().with_exporters(&exporters);
    let relay = Program::start(&setup).await;
    let mut all = events(1..501);
    all.extend([feature(r#""""#, 1), feature(r#""Zoë 🚀""#, 2)]);
    relay.post(&all).await;
    relay.drained(&["upstreams", "javas"]).await;
    let records = broker.read(&upstreams, all.len()).await;
    assert_eq!(records.len(), all.len());
    for record in &records {
        assert_eq!(record.partition, sarama(&key(&record.value), 7), "{}", record.value);
    }
    let used: std::collections::BTreeSet<u32> = records.iter().map(|record| record.partition).collect();
    assert_eq!(used.len(), 7);
    let records = broker.read(&javas, all.len()).await;
    assert_eq!(records.len(), all.len());
    let keys: Vec<String> = records.iter().map(|record| key(&record.value)).collect();
    let asked: Vec<&str> = ["7"].into_iter().chain(keys.iter().map(String::as_str)).collect();
    let expected = broker.admin("murmur2", &asked).await;
    let placed: Vec<String> = records.iter().map(|record| record.partition.to_string()).collect();
    assert_eq!(placed, expected);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_example_is_taken_and_delivers_and_what_has_no_effect_is_told() {
    let Some(broker) = kafka::shared().await else { return };
    let topic = broker.topic(1, &[]).await;
    let config = "
      config:
        Version: 3.6.0
        clientid: upstream
        net: { dialTimeout: 5s, readTimeout: 5000000000 }
        Producer:
          return: { Successes: true, errors: true }
          requiredAcks: -1
          compression: zstd
          timeout: 5s
          retry: { max: 5, backoff: 100ms }
          flush: { frequency: 5ms, messages: 500 }
      properties: { message: { timeout: { ms: 5000 } } }";
    let yaml = exporter("out", &topic, &broker.address(Listener::Plain), config);
    let setup = Setup::new().with_exporters(&yaml);
    let checked = flagpost(&setup, &["validate", "--config", "flagpost.yaml"]);
    assert!(checked.status.success(), "{}", checked.text);
    assert!(
        checked.text.contains("kafka.config.version: warning: has no effect: the protocol's version is agreed upon"),
        "{}",
        checked.text
    );
    let relay = Program::start(&setup).await;
    relay.post(&events(1..2_001)).await;
    relay.drained(&["out"]).await;
    assert_eq!(values(&broker.read(&topic, 2_000).await), sorted(events(1..2_001)));
    relay.stop().await;
    let wrong = Setup::new().with_exporters(&yaml.replace("flush:", "flsh:").replace("message: {", "mesage: {"));
    let checked = flagpost(&wrong, &["validate", "--config", "flagpost.yaml"]);
    assert!(!checked.status.success());
    for expected in ["producer.flsh: unknown key; did you mean `flush`?", "mesage.timeout.ms", "did you mean `message.timeout.ms`?"] {
        assert!(checked.text.to_lowercase().contains(expected), "{expected}: {}", checked.text);
    }
}
