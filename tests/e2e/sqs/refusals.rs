//! What a queue will not take: partly, for a while, or for ever.

use flagpost_tests::servers::elasticmq;
use flagpost_tests::{Faults, Program, Rule, Setup, events, until};
use serde_json::{Value, json};

use super::exporter;
use crate::aws::{bodies, complete, death, large, messages, queue, sorted, told, troubled};

/// How many calls held the message of that user, and how many messages these calls had.
fn with_user(faults: &Faults, number: u64) -> Vec<usize> {
    let calls = faults.matching(&Rule::any().body(&format!("u-{number}\\\"")));
    calls.iter().map(|seen| seen.json()["Entries"].as_array().unwrap().len()).collect()
}

/// Keeps these users' messages from the server, and answers for it with this failure.
fn failing(user: &str, code: &'static str, fault: bool) -> Rule {
    let mark = format!("\"userKey\":\"{user}\"");
    let ids = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let taken = ids.clone();
    let request = move |mut request: Value| {
        let entries = request["Entries"].as_array_mut().unwrap();
        entries.retain(|entry| {
            let kept = !entry["MessageBody"].as_str().unwrap().contains(&mark);
            if !kept {
                taken.lock().unwrap().push(entry["Id"].clone());
            }
            kept
        });
        request
    };
    let answer = move |mut answer: Value| {
        let failure = |id| json!({ "Id": id, "Code": code, "Message": "said so", "SenderFault": fault });
        let mut failed: Vec<Value> = ids.lock().unwrap().drain(..).map(failure).collect();
        failed.extend(answer["Failed"].as_array().into_iter().flatten().cloned());
        answer["Failed"] = failed.into();
        answer
    };
    Rule::any().body(&format!("{user}\\\"")).rewrite_both(request, answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_call_that_failed_in_part_only_that_part_is_sent_again_and_the_senders_faults_never() {
    let Some(server) = elasticmq::shared().await else { return };
    let access = server.access();
    let queue = queue(access, false).await;
    let faults = Faults::before(&access.endpoint).await;
    let setup = Setup::new().with_exporters(&exporter(&queue, &faults.url(""), "")).with_environment(access.environment());
    let relay = Program::start(&setup).await;
    faults.add(failing("u-7", "InternalError", false));
    faults.add(failing("u-23", "InvalidMessageContents", true));
    relay.post(&events(1..31)).await;
    let counts = relay.drained(&["out"]).await.counts("out");
    assert_eq!((counts.delivered, counts.dead, counts.dropped), (29, 1, 0));
    let mut expected = events(1..31);
    expected.remove(22);
    assert_eq!(sorted(bodies(messages(access, &queue, 29).await)), sorted(expected), "each once");
    assert!(matches!(with_user(&faults, 7)[..], [2..=10, 1]), "again, alone: {:?}", with_user(&faults, 7));
    assert_eq!(with_user(&faults, 23).len(), 1);
    let told = death(&relay);
    assert!(told.contains("InvalidMessageContents") && told.contains("said so"), "{told}");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_refused_as_a_whole_is_halved_until_the_guilty_message_is_alone() {
    let Some(server) = elasticmq::shared().await else { return };
    let access = server.access();
    let queue = queue(access, false).await;
    let faults = Faults::before(&access.endpoint).await;
    let setup = Setup::new().with_exporters(&exporter(&queue, &faults.url(""), "")).with_environment(access.environment());
    let relay = Program::start(&setup).await;
    let refusal = r#"{"__type":"com.amazonaws.sqs#BatchRequestTooLong","message":"too long"}"#;
    faults.add(Rule::any().body("u-13\\\"").always().answer(400, refusal));
    relay.post(&events(1..31)).await;
    let counts = relay.drained(&["out"]).await.counts("out");
    assert_eq!((counts.delivered, counts.dead, counts.dropped), (29, 1, 0));
    let mut expected = events(1..31);
    expected.remove(12);
    assert_eq!(sorted(bodies(messages(access, &queue, 29).await)), sorted(expected), "each once");
    assert_eq!(with_user(&faults, 13).last(), Some(&1));
    assert!(death(&relay).contains("BatchRequestTooLong"), "{}", death(&relay));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_too_large_is_dead_alone_and_never_sent() {
    let Some(server) = elasticmq::shared().await else { return };
    let access = server.access();
    let queue = queue(access, false).await;
    let faults = Faults::before(&access.endpoint).await;
    let head = "evaluation: none\ncollector: { maxEvent: 2MiB }\n";
    let setup = Setup::new().with_head(head).with_exporters(&exporter(&queue, &faults.url(""), "")).with_environment(access.environment());
    let relay = Program::start(&setup).await;
    let mut all = events(1..51);
    all.insert(20, large(1, 1_100_000));
    relay.post(&all).await;
    // What vouches for the destination when a batch was nothing but the large event.
    relay.post(&events(51..61)).await;
    let counts = relay.drained(&["out"]).await.counts("out");
    assert_eq!((counts.delivered, counts.dead, counts.dropped), (60, 1, 0));
    assert_eq!(sorted(bodies(messages(access, &queue, 60).await)), sorted(events(1..61)));
    assert!(faults.matching(&Rule::any().body("large-1")).is_empty());
    assert!(death(&relay).contains("SQS takes 1048576"), "{}", death(&relay));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn throttling_and_errors_of_the_service_pass_and_a_wish_to_wait_is_heard() {
    let Some(server) = elasticmq::shared().await else { return };
    let access = server.access();
    let queue = queue(access, false).await;
    let faults = Faults::before(&access.endpoint).await;
    let setup = Setup::new().with_exporters(&exporter(&queue, &faults.url(""), "")).with_environment(access.environment());
    let relay = Program::start(&setup).await;
    let throttled = r#"{"__type":"com.amazonaws.sqs#RequestThrottled","message":"slow down"}"#;
    let faulty = [
        Rule::any().answer(400, throttled),
        Rule::any().answer(500, r#"{"__type":"InternalFailure"}"#),
        Rule::any().answer_with(503, &[("retry-after", "1")], "no JSON at all"),
        Rule::any().answer(429, ""),
        Rule::any().cut(),
    ];
    let mut next = 1;
    for rule in faulty {
        // The SDK tries once more by itself; a batch may be several calls.
        faults.add(rule.times(4));
        relay.post(&events(next..next + 10)).await;
        next += 10;
        until("the fault was met", async || (faults.pending() == 0).then_some(())).await;
        complete(&relay, next - 1).await;
    }
    let (found, twice) = crate::aws::distinct(bodies(messages(access, &queue, 50).await));
    assert_eq!(found, sorted(events(1..51)));
    assert!(twice <= 40, "only what was cut after the queue had it may come twice: {twice}");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_made_later_gets_everything() {
    let Some(server) = elasticmq::shared().await else { return };
    let access = server.access();
    let name = flagpost_tests::servers::unique("later");
    let url = format!("{}/000000000000/{name}", access.endpoint);
    // Without `endpoint`: the queue's URL says where the service is.
    let yaml = exporter(&url, "", "").replace("endpoint: ''", "");
    let setup = Setup::new().with_exporters(&yaml).with_environment(access.environment());
    let relay = Program::start(&setup).await;
    relay.post(&events(1..101)).await;
    let message = told(&relay, "misconfigured", "create the queue, or correct `queueUrl`").await;
    assert!(message.contains(&name), "{message}");
    assert_eq!(relay.metrics().await.counts("out").waiting, 100);
    assert_eq!(crate::aws::make_queue(access, &name).await, url);
    relay.post(&events(101..121)).await;
    complete(&relay, 120).await;
    assert_eq!(sorted(bodies(messages(access, &url, 120).await)), sorted(events(1..121)));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_expired_condemn_nothing() {
    let Some(server) = elasticmq::shared().await else { return };
    let access = server.access();
    let queue = queue(access, false).await;
    let faults = Faults::before(&access.endpoint).await;
    let setup = Setup::new().with_exporters(&exporter(&queue, &faults.url(""), "")).with_environment(access.environment());
    let relay = Program::start(&setup).await;
    for (status, body, advice) in [
        (400, r#"{"__type":"ExpiredTokenException","message":"it expired"}"#, "the credentials have expired: renew AWS_SESSION_TOKEN"),
        (
            403,
            r#"{"__type":"InvalidSignatureException","message":"Signature expired: 1 is now earlier than 2"}"#,
            "set this machine's clock",
        ),
    ] {
        faults.add(Rule::any().always().answer(status, body));
        relay.post(&events(1..21)).await;
        told(&relay, "misconfigured", advice).await;
        faults.heal();
        relay.drained(&["out"]).await;
    }
    complete(&relay, 40).await;
    assert_eq!(messages(access, &queue, 40).await.len(), 40);
    faults.add(Rule::any().times(8).reset());
    relay.post(&events(21..31)).await;
    troubled(&relay).await;
    complete(&relay, 50).await;
    relay.stop().await;
}
