//! Codes that the service returns and its emulator never does.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use flagpost_tests::servers::pubsub::PROJECT;
use flagpost_tests::{
    Faults, GrpcFaults, GrpcRefusal, Program, Rule, Setup, events, flagpost, poison, protobuf_fields, protobuf_text, sorted,
};

use super::exporter;
use crate::codes::{Code, each_passes};

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

const INVALID_ARGUMENT: u32 = 3;

const CODES: &[Code] = &[
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
    let sent = each_passes(&relay, &faults, "Publish", CODES).await;
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

/// Probes speak JSON over HTTP/1.1; an emulator knows no rights, so that everything is answered by rules here.
#[tokio::test(flavor = "multi_thread")]
async fn a_probe_asks_for_the_right_to_publish_and_says_what_is_missing() {
    let service = Faults::before("http://127.0.0.1:9").await;
    let setup = Setup::new().with_exporters(&exporter("out", "flag-events", service.url("").trim_start_matches("http://"), ""));
    let said = |code: u16, name: &str| format!(r#"{{"error":{{"code":{code},"message":"said so by a test","status":"{name}"}}}}"#);
    let granted = r#"{"permissions":["pubsub.topics.publish"]}"#.to_owned();
    let topic = format!(r#"{{"name":"projects/{PROJECT}/topics/flag-events"}}"#);
    let cases = [
        ((200, granted), None, ""),
        ((401, said(401, "UNAUTHENTICATED")), None, "check the credentials"),
        ((403, said(403, "PERMISSION_DENIED")), None, "roles/pubsub.publisher"),
        ((200, "{}".to_owned()), Some((200, topic.clone())), "pubsub.topics.publish is not granted"),
        ((200, "{}".to_owned()), Some((404, said(404, "NOT_FOUND"))), "create the topic, or correct `projectID` and `topic`"),
        ((501, said(501, "UNIMPLEMENTED")), Some((200, topic)), ""),
    ];
    for ((status, rights), second, expected) in cases {
        service.heal();
        service.add(Rule::any().when(|seen| seen.path.contains("testIamPermissions")).answer_with(status, JSON, rights));
        if let Some((status, topic)) = second {
            service.add(Rule::any().when(|seen| !seen.path.contains("testIamPermissions")).answer_with(status, JSON, topic));
        }
        let finished = tokio::task::block_in_place(|| flagpost(&setup, &["validate", "--config", "flagpost.yaml", "--probe"]));
        let begins = if expected.is_empty() { "probe ok: " } else { "probe failed: " };
        assert!(finished.text.contains(begins) && finished.text.contains(expected), "{expected}: {}", finished.text);
        assert_eq!(service.pending(), 0, "everything was asked for");
    }
    assert!(service.seen().iter().all(|seen| !seen.path.contains(":publish")), "a probe is no event");
}
