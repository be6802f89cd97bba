//! Codes that the service returns and its emulator never does.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use flagpost_tests::servers::pubsub::PROJECT;
use flagpost_tests::{GrpcFaults, GrpcRefusal, Program, Setup, events, flagpost, poison, protobuf_fields, protobuf_text, sorted};

use super::exporter;

const INVALID_ARGUMENT: u32 = 3;

/// Each code, what it is to the relay, and what an operator reads.
const CODES: &[(u32, &str, &str, &str)] = &[
    (4, "DEADLINE_EXCEEDED", "retrying", ""),
    (8, "RESOURCE_EXHAUSTED", "retrying", ""),
    (10, "ABORTED", "retrying", ""),
    (13, "INTERNAL", "retrying", ""),
    (14, "UNAVAILABLE", "retrying", ""),
    (5, "NOT_FOUND", "misconfigured", "create the topic, or correct `projectID` and `topic`"),
    (7, "PERMISSION_DENIED", "misconfigured", "roles/pubsub.publisher"),
    (9, "FAILED_PRECONDITION", "misconfigured", "the project's billing"),
    (16, "UNAUTHENTICATED", "misconfigured", "check the credentials"),
];

/// What was published: `(topic, data)`.
type Published = Arc<Mutex<Vec<(String, String)>>>;

fn text(bytes: &Bytes) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A fault server that takes what it does not refuse. It refuses requests with an event that is poison, as the service does when a topic has a schema.
async fn service() -> (GrpcFaults, Published) {
    let published = Published::default();
    let kept = published.clone();
    let faults = GrpcFaults::instead(move |method, request| {
        if method != "/google.pubsub.v1.Publisher/Publish" {
            return Err(GrpcRefusal { code: 12, message: "no such method here".to_owned() });
        }
        // PublishRequest: topic, messages; PubsubMessage: data.
        let fields = protobuf_fields(&request);
        let topic = text(&fields.iter().find(|(number, _)| *number == 1).unwrap().1);
        let messages = fields.iter().filter(|(number, _)| *number == 2).map(|(_, message)| message);
        let data: Vec<String> =
            messages.map(|message| text(&protobuf_fields(message).iter().find(|(number, _)| *number == 1).unwrap().1)).collect();
        if data.iter().any(|event| event.contains("poison")) {
            return Err(GrpcRefusal { code: INVALID_ARGUMENT, message: "the message is not of the schema".to_owned() });
        }
        let mut kept = kept.lock().unwrap();
        // PublishResponse: message_ids.
        let ids = (kept.len()..).take(data.len()).flat_map(|id| protobuf_text(1, &id.to_string())).collect();
        kept.extend(data.into_iter().map(|event| (topic.clone(), event)));
        Ok(ids)
    })
    .await;
    (faults, published)
}

fn yaml(faults: &GrpcFaults, own: &str) -> String {
    exporter("out", "flag-events", faults.url().trim_start_matches("http://"), own)
}

fn data(published: &Published) -> Vec<String> {
    let published = published.lock().unwrap();
    let topic = format!("projects/{PROJECT}/topics/flag-events");
    assert!(published.iter().all(|(to, _)| *to == topic));
    sorted(published.iter().map(|(_, event)| event.clone()).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_that_pass_come_again_and_others_are_an_alarm_and_nothing_is_lost() {
    let (faults, published) = service().await;
    let relay = Program::start(&Setup::new().with_exporters(&yaml(&faults, ""))).await;
    let mut sent = 0;
    for (code, name, state, advice) in CODES {
        faults.refuse("Publish", *code, "said so by a test");
        relay.post(&events(sent + 1..sent + 101)).await;
        sent += 100;
        let said = relay.told("out", state, name).await;
        assert!(said.contains("said so by a test") && said.contains(advice), "{name}: {said}");
        let counts = relay.metrics().await.counts("out");
        assert_eq!((counts.delivered, counts.waiting, counts.dead), (sent - 100, 100, 0), "{name}");
        assert!(faults.heal() > 0, "{name}");
        relay.complete("out", sent).await;
    }
    assert_eq!(data(&published), sorted(events(1..sent + 1)), "each once: what is refused is not taken");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_message_that_the_service_refuses_is_dead() {
    for own in ["", "orderingKey: userKey"] {
        let (faults, published) = service().await;
        let relay = Program::start(&Setup::new().with_exporters(&yaml(&faults, own))).await;
        let mut all = events(1..101);
        all[49] = poison(50);
        relay.post(&all).await;
        let counts = relay.drained(&["out"]).await.counts("out");
        assert_eq!((counts.delivered, counts.dead, counts.dropped), (99, 1, 0), "{own}");
        assert!(relay.log().contains("the message is not of the schema"), "{own}: {}", relay.log());
        all.remove(49);
        assert_eq!(data(&published), sorted(all), "{own}");
        relay.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_says_what_the_service_says() {
    let (faults, published) = service().await;
    let setup = Setup::new().with_exporters(&yaml(&faults, ""));
    // Rights and topics are not known here, as on a proxy that lets publishing through only.
    let probe = || tokio::task::block_in_place(|| flagpost(&setup, &["validate", "--config", "flagpost.yaml", "--probe"]));
    let text = probe().text;
    assert!(text.contains("probe failed: ") && text.contains("no such method here"), "{text}");
    for (code, name, advice) in [(7, "PERMISSION_DENIED", "roles/pubsub.publisher"), (16, "UNAUTHENTICATED", "check the credentials")] {
        faults.refuse("TestIamPermissions", code, "said so by a test");
        let text = probe().text;
        assert!(text.contains("probe failed: ") && text.contains(name) && text.contains(advice), "{text}");
        assert!(faults.heal() > 0, "{name}");
    }
    assert!(data(&published).is_empty(), "a probe is no event");
}
