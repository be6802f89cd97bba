//! Order per key, whatever happens in between.

use std::collections::BTreeMap;

use flagpost_tests::servers::pubsub::{self, Pulled};
use flagpost_tests::{Program, Setup, until};
use serde_json::{Value, json};

use super::{exporter, feature};

/// Events of a few users, one after another, and of nobody.
fn mixed(numbers: std::ops::Range<u64>) -> Vec<String> {
    numbers
        .map(|number| feature(&if number % 7 == 0 { json!("") } else { json!(format!("user-{}", number % 7)) }.to_string(), number))
        .collect()
}

/// The numbers of each key's messages, in the order in which they came.
fn by_key(messages: &[Pulled]) -> BTreeMap<&str, Vec<u64>> {
    let mut keys: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for message in messages {
        let event: Value = serde_json::from_str(&message.data).unwrap();
        assert_eq!(event["userKey"], message.key.as_str(), "{message:?}");
        keys.entry(&message.key).or_default().push(event["value"].as_u64().unwrap());
    }
    keys
}

/// Each key's numbers rise when what came before is left out.
fn assert_ordered(messages: &[Pulled], count: u64) {
    let keys = by_key(messages);
    for (key, numbers) in &keys {
        let mut seen = Vec::new();
        for number in numbers {
            if !seen.contains(number) {
                seen.push(*number);
            }
        }
        assert!(key.is_empty() || seen.is_sorted(), "{key}: {numbers:?}");
    }
    let mut all: Vec<u64> = keys.into_values().flatten().collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all, (1..=count).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_one_user_come_in_order() {
    let Some(pubsub) = pubsub::shared().await else { return };
    let topic = pubsub.topic().await;
    let setup = Setup::new().with_exporters(&exporter("out", &topic, pubsub.address(), "orderingKey: userKey"));
    let relay = Program::start(&setup).await;
    for batch in mixed(1..4_001).chunks(400) {
        relay.post(batch).await;
    }
    relay.drained(&["out"]).await;
    let messages = pubsub.pull(&topic, 4_000).await;
    assert_eq!(messages.len(), 4_000, "each once");
    assert_ordered(&messages, 4_000);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn order_survives_lines_that_break() {
    let Some(pubsub) = pubsub::own().await else { return };
    let Some((proxy, address)) = pubsub.proxy().await else { return };
    let topic = pubsub.topic().await;
    let setup = Setup::new().with_exporters(&exporter("out", &topic, &address, "orderingKey: userKey"));
    let relay = Program::start(&setup).await;
    let mut messages = Vec::new();
    let mut next = 1;
    for _ in 0..6 {
        let post = async |from: u64| {
            for batch in mixed(from..from + 500).chunks(50) {
                relay.post(batch).await;
            }
        };
        // The line is cut in the middle of what is under way.
        let (_, ()) = tokio::join!(proxy.enable(false), post(next));
        until("it is noticed", async || (relay.exporter("out").await["state"] == "retrying").then_some(())).await;
        post(next + 500).await;
        proxy.enable(true).await;
        next += 1_000;
        relay.drained(&["out"]).await;
        messages.extend(pubsub.pull(&topic, 1_000).await);
    }
    let counts = relay.metrics().await.counts("out");
    assert_eq!((counts.delivered, counts.dead, counts.dropped), (next - 1, 0, 0));
    until("all are there", async || {
        messages.extend(pubsub.pull(&topic, 0).await);
        let all: std::collections::BTreeSet<&str> = messages.iter().map(|message| message.data.as_str()).collect();
        (all.len() as u64 == next - 1).then_some(())
    })
    .await;
    assert_ordered(&messages, next - 1);
    relay.stop().await;
}
