//! The `pubsub` exporter against Google's emulator, read back over its other protocol.

mod codes;
mod delivery;
mod faults;
mod order;

use std::collections::BTreeSet;

use flagpost_tests::servers::pubsub::{PROJECT, PubSub, Pulled};
use flagpost_tests::{Program, events, sorted, tracking, until};
use rustix::process::Signal;

/// An exporter's YAML: quick to notice what goes wrong, quick to try again. `own` are further keys, flow style.
fn exporter(name: &str, topic: &str, address: &str, own: &str) -> String {
    format!(
        r"
  - kind: pubsub
    name: {name}
    projectID: {PROJECT}
    topic: {topic}
    endpoint: http://{address}
    timeout: 3s
    retry: {{ initial: 20ms, max: 200ms }}
    {own}
"
    )
}

fn feature(user: &str, number: u64) -> String {
    format!(
        r#"{{"kind":"feature","contextKind":"user","userKey":{user},"creationDate":1700000000,"key":"k","variation":"on","value":{number},"default":false,"version":"","source":"SERVER"}}"#
    )
}

/// What the messages hold, sorted.
fn values(messages: &[Pulled]) -> Vec<String> {
    let mut values: Vec<String> = messages.iter().map(|message| message.data.clone()).collect();
    values.sort();
    values
}

/// Makes a topic that a relay waits for. The relay is held meanwhile: a message that comes before the subscription is in no subscription.
async fn make_topic(relay: &Program, pubsub: &PubSub, topic: &str) {
    relay.signal(Signal::STOP);
    pubsub.make_topic(topic).await;
    relay.signal(Signal::CONT);
}

/// A topic, and what was got of it so far: some of it more than once.
struct Reader<'a> {
    pubsub: &'a PubSub,
    topic: &'a str,
    got: BTreeSet<String>,
}

impl Reader<'_> {
    /// Waits until all events from 1 to `last` were got, and nothing else.
    async fn has(&mut self, last: u64) {
        let expected: BTreeSet<String> = events(1..last + 1).into_iter().collect();
        until("everything is there", async || {
            self.got.extend(values(&self.pubsub.pull(self.topic, 0).await));
            (self.got.len() >= expected.len()).then_some(())
        })
        .await;
        assert_eq!(self.got, expected);
    }

    /// The same, and the relay knows: nothing was condemned or given up.
    async fn complete(&mut self, relay: &Program, last: u64) {
        relay.complete("out", last).await;
        self.has(last).await;
    }
}

fn reader<'a>(pubsub: &'a PubSub, topic: &'a str) -> Reader<'a> {
    Reader { pubsub, topic, got: BTreeSet::new() }
}
