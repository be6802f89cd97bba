//! Queues that keep the order of each group and drop what comes twice.

use std::collections::{BTreeMap, BTreeSet};

use flagpost_tests::servers::elasticmq;
use flagpost_tests::{Faults, Program, Rule, Setup, events};

use super::exporter;
use crate::aws::{Message, bodies, complete, feature, messages, queue, sorted, user};

/// 600 events of 20 users, in turn.
fn of_users(from: u64) -> Vec<String> {
    (from..from + 600).map(|number| feature(&format!("user {}", number % 20), number)).collect()
}

/// Each user's events in the order in which they were sent.
fn assert_ordered(found: &[Message], sent: &[String]) {
    let by_user = |events: &mut dyn Iterator<Item = &String>| {
        let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
        events.for_each(|event| users.entry(user(event)).or_default().push(event.clone()));
        users
    };
    assert_eq!(by_user(&mut found.iter().map(|message| &message.body)), by_user(&mut sent.iter()));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_user_is_a_group_in_order_and_each_message_has_an_id_of_its_own() {
    let Some(server) = elasticmq::shared().await else { return };
    let access = server.access();
    let (users, one) = (queue(access, true).await, queue(access, true).await);
    let exporters = exporter(&users, &access.endpoint, "")
        + &exporter(&one, &access.endpoint, "messageGroupId: default").replace("name: out", "name: one");
    let setup = Setup::new().with_exporters(&exporters).with_environment(access.environment());
    let relay = Program::start(&setup).await;
    let sent = of_users(0);
    relay.post(&sent).await;
    complete(&relay, 600).await;
    relay.drained(&["one"]).await;
    let found = messages(access, &users, 600).await;
    assert_ordered(&found, &sent);
    let ids: BTreeSet<&str> = found.iter().map(|message| message.id.as_str()).collect();
    assert_eq!(ids.len(), 600);
    // A space cannot stand in a group's id, so users are told by digests here: one group for each.
    let groups: BTreeSet<(String, &str)> = found.iter().map(|message| (user(&message.body), message.group.as_str())).collect();
    assert_eq!(groups.len(), 20, "{groups:?}");
    let found = messages(access, &one, 600).await;
    assert!(found.iter().all(|message| message.group == "default"));
    assert_eq!(bodies(found), sent, "one group is one order");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_twice_is_dropped_by_the_queue_also_after_a_kill() {
    let Some(server) = elasticmq::shared().await else { return };
    let access = server.access();
    let queue = queue(access, true).await;
    let faults = Faults::before(&access.endpoint).await;
    let setup = Setup::new().with_exporters(&exporter(&queue, &faults.url(""), "")).with_environment(access.environment());
    let relay = Program::start(&setup).await;
    // The queue has these messages, the relay does not hear of it.
    faults.add(Rule::any().times(6).reset_after());
    let sent = of_users(0);
    relay.post(&sent).await;
    complete(&relay, 600).await;
    assert_eq!(faults.pending(), 0);
    let gate = faults.hold(Rule::any());
    let more = of_users(600);
    relay.post(&more).await;
    gate.reached().await;
    relay.kill();
    gate.release();
    let relay = Program::start(&setup).await;
    relay.drained(&["out"]).await;
    let all = [sent, more].concat();
    let found = messages(access, &queue, all.len()).await;
    assert_ordered(&found, &all);
    assert_eq!(sorted(bodies(found)), sorted(all), "each once");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_waits_for_a_call_that_failed() {
    let Some(server) = elasticmq::shared().await else { return };
    let access = server.access();
    let queue = queue(access, true).await;
    let faults = Faults::before(&access.endpoint).await;
    let own = exporter(&queue, &faults.url(""), "messageGroupId: default");
    let setup = Setup::new().with_exporters(&own).with_environment(access.environment());
    let relay = Program::start(&setup).await;
    let slow = r#"{"__type":"com.amazonaws.sqs#RequestThrottled","message":"slow down"}"#;
    faults.add(Rule::any().body("u-33\\\"").times(5).answer(400, slow));
    relay.post(&events(1..101)).await;
    complete(&relay, 100).await;
    assert_eq!(bodies(messages(access, &queue, 100).await), events(1..101));
    relay.stop().await;
}
