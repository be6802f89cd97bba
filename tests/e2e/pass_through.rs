//! Everything that is not ours goes to the relay behind `upstream.url`.

use flagpost_tests::{Client, Program, Setup, Upstream, client, events, until};
use futures_util::{SinkExt, StreamExt};
use http::Method;
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

const FILE: &str = "  - { kind: file, name: out, outputDir: out, flushInterval: 20 }";

fn behind(upstream: &str) -> Setup {
    Setup::new().with_head(&format!("upstream: {{ url: \"{upstream}\" }}\n")).with_exporters(FILE)
}

#[tokio::test]
async fn other_requests_reach_upstream_and_its_answers_come_back() {
    let upstream = Upstream::start().await;
    let relay = Program::start(&behind(&upstream.url())).await;
    let sent = client()
        .request(Method::PATCH, relay.url("/v1/feature/flag%20x/eval?a=1&b=%2F"))
        .header("x-api-key", "secret")
        .header("if-none-match", "\"7\"")
        .body("{\"evaluationContext\":{}}")
        .send()
        .await
        .unwrap();
    assert_eq!(sent.status(), 200);
    let seen: Value = sent.json().await.unwrap();
    assert_eq!((&seen["method"], &seen["uri"]), (&json!("PATCH"), &json!("/v1/feature/flag%20x/eval?a=1&b=%2F")));
    assert_eq!((&seen["headers"]["x-api-key"], &seen["headers"]["if-none-match"]), (&json!("secret"), &json!("\"7\"")));
    assert_eq!(seen["body"], "{\"evaluationContext\":{}}");
    let teapot = client().get(relay.url("/teapot")).send().await.unwrap();
    assert_eq!((teapot.status().as_u16(), &teapot.headers()["x-kettle"]), (418, &"on".parse().unwrap()));
    assert_eq!(teapot.text().await.unwrap(), "short and stout");
    relay.stop().await;
}

#[tokio::test]
async fn a_large_body_is_streamed_both_ways() {
    let upstream = Upstream::start().await;
    let relay = Program::start(&behind(&upstream.url())).await;
    let large = "x".repeat(40 << 20);
    let sent = client().post(relay.url("/v1/anything")).body(large.clone()).send().await.unwrap();
    let seen: Value = sent.json().await.unwrap();
    assert_eq!(seen["body"].as_str().map(str::len), Some(large.len()), "larger than any limit of the collector");
    relay.stop().await;
}

#[tokio::test]
async fn our_own_routes_are_not_passed_on() {
    let upstream = Upstream::start().await;
    let setup = behind(&upstream.url());
    let relay = Program::start(&setup).await;
    relay.post(&events(1..11)).await;
    relay.drained(&["out"]).await;
    let (status, text) = relay.get("/health").await;
    assert_eq!((status, text.trim()), (200, r#"{"initialized":true}"#));
    assert_eq!(relay.metrics().await.sum("flagpost_upstream_requests_total", &[]) as u64, 0);
    relay.stop().await;
}

#[tokio::test]
async fn an_event_stream_arrives_as_it_is_sent() {
    let upstream = Upstream::start().await;
    let relay = Program::start(&behind(&upstream.url())).await;
    let mut response = client().get(relay.url("/stream")).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    for news in ["one", "two"] {
        until("upstream streams to us", async || (upstream.publish(news) > 0).then_some(())).await;
        // The next event is sent only after this one arrived: nothing between keeps it back.
        let chunk = response.chunk().await.unwrap().expect("the stream goes on");
        assert_eq!(std::str::from_utf8(&chunk).unwrap(), format!("data: {news}\n\n"));
    }
    drop(response);
    relay.stop().await;
}

#[tokio::test]
async fn a_websocket_is_a_websocket_on_the_other_side_too() {
    let upstream = Upstream::start().await;
    let relay = Program::start(&behind(&upstream.url())).await;
    let (mut socket, _) = connect_async(relay.url("/ws").replace("http", "ws")).await.unwrap();
    for text in ["hello", "again"] {
        socket.send(Message::text(text)).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(text));
    }
    socket.close(None).await.unwrap();
    relay.stop().await;
}

#[tokio::test]
async fn open_streams_do_not_keep_the_relay_from_ending() {
    let upstream = Upstream::start().await;
    // Far longer than the test waits for the end.
    let head = format!("upstream: {{ url: \"{}\" }}\nshutdownTimeout: 1h\n", upstream.url());
    let relay = Program::start(&Setup::new().with_head(&head).with_exporters(FILE)).await;
    let response = client().get(relay.url("/stream")).send().await.unwrap();
    let (socket, _) = connect_async(relay.url("/ws").replace("http", "ws")).await.unwrap();
    relay.stop().await;
    drop((response, socket));
}

#[tokio::test]
async fn an_upstream_that_is_gone_is_a_502_and_a_counter() {
    let upstream = Upstream::start().await;
    let url = upstream.url();
    drop(upstream);
    let relay = Program::start(&behind(&url)).await;
    let (status, text) = until("the listener is closed", async || {
        let (status, text) = relay.get("/v1/feature/x/eval").await;
        (status == 502).then_some((status, text))
    })
    .await;
    assert_eq!(status, 502);
    assert!(text.contains("upstream"), "{text}");
    assert!(relay.metrics().await.sum("flagpost_upstream_failures_total", &[]) >= 1.0);
    relay.post(&events(1..11)).await;
    relay.drained(&["out"]).await;
    relay.stop().await;
}

#[tokio::test]
async fn without_upstream_evaluation_is_501_with_the_two_ways_out() {
    let relay = Program::start(&Setup::new().with_exporters(FILE)).await;
    for path in ["/v1/feature/flag/eval", "/v1/allflags", "/ofrep/v1/evaluate/flags", "/v1/flag/configuration"] {
        let response = client().post(relay.url(path)).body("{}").send().await.unwrap();
        assert_eq!(response.status(), 501, "{path}");
        let text = response.text().await.unwrap();
        assert!(text.contains("upstream.url") && text.contains("evaluation: none"), "{text}");
    }
    let client: &Client = &relay;
    assert_eq!(client.get("/nothing/of/ours").await.0, 404);
    relay.stop().await;
}
