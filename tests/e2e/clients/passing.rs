//! Clients evaluate through the relay as if it were not there: changes reach them, validators and keys pass both ways.

use flagpost_tests::until;
use serde_json::{Value, json};

use super::kind::Kind;
use super::shop::{all_for, assert_evaluated};
use super::{Between, KEY};

/// A flag's owner changes it; the client hears of it in its own way.
async fn a_change_arrives(kind: Kind) -> Option<Between> {
    let mut between = Between::start(kind).await?;
    let asked: Vec<_> = all_for("ann").into_iter().filter(|asked| asked.flag == "banner").collect();
    assert_evaluated(&asked, &between.client.evaluate(&asked).await);
    if matches!(kind, Kind::PythonOld | Kind::Web) {
        until("it listens on a WebSocket", async || {
            let sockets = between.evaluation.asked_for("GET /ws/v1/flag/change");
            sockets.iter().any(|asked| asked.status == 101).then_some(())
        })
        .await;
        until("the change is told to someone", async || (between.evaluation.change("banner", "shown") > 0).then_some(())).await;
    } else {
        // Java takes what its first poll finds for what it evaluated before.
        let polls = if kind == Kind::Java { "GET /v1/flag/change" } else { "POST /v1/flag/configuration" };
        until("a poll finds nothing new", async || {
            between.evaluation.asked_for(polls).iter().any(|asked| asked.status == 304).then_some(())
        })
        .await;
        between.evaluation.change("banner", "shown");
    }
    until("the change arrives", async || {
        let result = between.client.evaluate(&asked).await.remove(0);
        (result.value == json!(true) && result.variation.as_deref() == Some("shown")).then_some(())
    })
    .await;
    Some(between)
}

#[tokio::test]
async fn a_change_reaches_python_by_its_poll_with_an_etag() {
    let Some(mut between) = a_change_arrives(Kind::Python).await else { return };
    let answers: Vec<u16> = between.evaluation.asked_for("POST /v1/flag/configuration").iter().map(|asked| asked.status).collect();
    assert_eq!(answers.iter().filter(|status| **status == 200).count(), 2, "once at the start and once for the change: {answers:?}");
    between.client.close().await;
    between.relay.stop().await;
}

#[tokio::test]
async fn a_change_reaches_python_0_5_by_its_websocket() {
    let Some(mut between) = a_change_arrives(Kind::PythonOld).await else { return };
    between.client.close().await;
    between.relay.stop().await;
}

#[tokio::test]
async fn a_change_reaches_a_page_by_its_websocket_and_its_requests_are_asked_for_first() {
    let Some(mut between) = a_change_arrives(Kind::Web).await else { return };
    assert!(!between.evaluation.asked_for("OPTIONS /v1/allflags").is_empty(), "the browser asks before a request to another origin");
    between.client.close().await;
    between.relay.stop().await;
}

#[tokio::test]
async fn a_change_reaches_java_by_its_poll_with_an_etag() {
    let Some(mut between) = a_change_arrives(Kind::Java).await else { return };
    let polls = between.evaluation.asked_for("GET /v1/flag/change");
    assert!(polls.iter().all(|asked| asked.key.as_deref() == Some(format!("Authorization: Bearer {KEY}").as_str())), "{polls:?}");
    between.client.close().await;
    between.relay.stop().await;
}

#[tokio::test]
async fn python_evaluates_remotely_and_leaves_the_events_to_who_evaluates() {
    let kind = Kind::PythonRemote;
    let Some(mut between) = Between::start(kind).await else { return };
    for user in ["ann", "bob"] {
        assert_evaluated(&all_for(user), &between.client.evaluate(&all_for(user)).await);
    }
    let (line, key) = kind.evaluates_with();
    let requests = between.evaluation.asked_for(line);
    assert_eq!(requests.len(), 2);
    assert!(requests.iter().all(|asked| asked.key.as_ref() == Some(&key)), "{requests:?}");
    between.client.close().await;
    let metrics = between.relay.metrics().await;
    assert_eq!(metrics.sum("flagpost_collector_requests_total", &[]) as u64, 0);
    between.relay.stop().await;
}

#[tokio::test]
async fn javas_offer_of_http_2_ends_at_the_relay() {
    let Some(mut between) = Between::start(Kind::Java).await else { return };
    let mut post = async |path, body: Value| {
        let url = between.relay.url(path);
        between.client.tell(&json!({ "do": "post", "url": url, "key": KEY, "body": body })).await
    };
    let evaluated = post("/ofrep/v1/evaluate/flags/discount", json!({ "context": { "targetingKey": "ann" } })).await;
    assert_eq!((&evaluated["status"], &evaluated["version"], &evaluated["body"]["value"]), (&json!(200), &json!("HTTP_1_1"), &json!(0.25)));
    let event = json!({ "kind": "feature", "userKey": "ann", "key": "discount", "value": 0.25 });
    let collected = post("/v1/data/collector", json!({ "events": [event] })).await;
    assert_eq!((&collected["status"], &collected["version"]), (&json!(200), &json!("HTTP_1_1")));
    assert_eq!(collected["body"], json!({ "ingestedContentCount": 1 }));
    // It belongs to one connection (RFC 9110, 7.8): an upstream that took it would speak HTTP/2 to a relay that does not.
    let passed = between.evaluation.asked_for("POST /ofrep/v1/evaluate/flags/discount");
    assert_eq!(passed[0].upgrade, None);
    between.client.close().await;
    between.relay.stop().await;
}
