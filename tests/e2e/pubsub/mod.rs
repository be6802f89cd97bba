//! The `pubsub` exporter against Google's emulator, read back over its other protocol.

mod delivery;
mod faults;
mod order;

use flagpost_tests::Program;
use flagpost_tests::servers::pubsub::{PROJECT, PubSub, Pulled};
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

fn tracking(number: u64) -> String {
    format!(
        r#"{{"kind":"tracking","contextKind":"user","userKey":"t-{number}","creationDate":1700000000,"key":"checkout","evaluationContext":{{"a":1}},"trackingEventDetails":{{"value":{number}}}}}"#
    )
}

/// What the messages hold, sorted.
fn values(messages: &[Pulled]) -> Vec<String> {
    let mut values: Vec<String> = messages.iter().map(|message| message.data.clone()).collect();
    values.sort();
    values
}

/// The events, sorted.
fn sorted(mut events: Vec<String>) -> Vec<String> {
    events.sort();
    events
}

/// Makes a topic that a relay waits for. The relay is held meanwhile: a message that comes before the subscription is in no subscription.
async fn make_topic(relay: &Program, pubsub: &PubSub, topic: &str) {
    relay.signal(Signal::STOP);
    pubsub.make_topic(topic).await;
    relay.signal(Signal::CONT);
}
