//! `plugins/redis` against a real server, over the socket that the exporter was granted; read back over a socket of the tests' own.

use std::collections::BTreeMap;

use flagpost_tests::servers::redis::{self, Answer};
use flagpost_tests::servers::unique;
use flagpost_tests::{Program, Setup, events, tracking, until};
use serde_json::json;

use super::{exporter, setup};

fn keys(address: &str, stream: &str, own: &str) -> String {
    format!("allowedSockets: [ \"tcp://{address}\" ]\nconfig: {{ address: \"{address}\", stream: \"{stream}\", {own} }}\neventType: all")
}

fn relay_to(address: &str, stream: &str, own: &str) -> Setup {
    setup("redis", &keys(address, stream, own))
}

/// What an event is as an entry, without its id: texts as they are, everything else as its JSON text.
fn fields<S: AsRef<str>>(events: &[S]) -> Vec<BTreeMap<String, String>> {
    let text = |raw: &str| serde_json::from_str::<String>(raw).unwrap_or_else(|_| raw.to_owned());
    let entry = |line: &S| {
        let fields: BTreeMap<String, Box<serde_json::value::RawValue>> = serde_json::from_str(line.as_ref()).unwrap();
        // `value` is JSON text even where it is a string.
        let value = |name: &str, raw: &str| if name == "value" { raw.to_owned() } else { text(raw) };
        fields.iter().map(|(name, raw)| (name.clone(), value(name, raw.get()))).collect()
    };
    let mut entries: Vec<_> = events.iter().map(entry).collect();
    entries.sort();
    entries
}

/// The entries of a stream without their ids, of which each is another.
async fn found(server: &redis::Redis, stream: &str) -> Vec<BTreeMap<String, String>> {
    let mut entries = server.entries(stream).await;
    let mut ids: Vec<String> = entries.iter_mut().map(|entry| entry.remove("id").unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), entries.len(), "no id twice");
    entries.sort();
    entries
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_of_both_kinds_is_one_entry_with_its_fields() {
    let Some(server) = redis::shared().await else { return };
    for own in ["", "once: false", "database: 0, maxLength: 1000000"] {
        let name = unique("each");
        let relay = Program::start(&relay_to(server.address(), &format!("{name}:{{kind}}"), own)).await;
        let (features, tracked): (Vec<_>, Vec<_>) = (events(1..301), (1..41).map(tracking).collect());
        relay.post(&features).await;
        relay.post(&tracked).await;
        relay.complete("out", 340).await;
        assert_eq!(found(&server, &format!("{name}:feature")).await, fields(&features), "{own}");
        assert_eq!(found(&server, &format!("{name}:tracking")).await, fields(&tracked), "{own}");
        relay.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_is_not_granted_is_refused_with_the_line_to_paste() {
    let Some(server) = redis::shared().await else { return };
    let name = unique("granted");
    let granted = keys(server.address(), &name, "");
    let mut setup = setup("redis", granted.split_once('\n').unwrap().1);
    let relay = Program::start(&setup).await;
    relay.post(&events(1..11)).await;
    relay.told("out", "misconfigured", &format!("allowedSockets: [ \"tcp://{}\" ]", server.address())).await;
    setup.set_exporters(&exporter("redis", &granted));
    relay.reloaded(1, 0).await;
    relay.complete("out", 10).await;
    assert_eq!(found(&server, &name).await, fields(&events(1..11)));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_wrong_password_keeps_events_until_it_is_right() {
    let Some(server) = redis::own(Some("open-sesame")).await else { return };
    let secret =
        |name: &str| format!("{}\nsecrets: {{ REDIS_PASSWORD: {{ env: {name}, as: reveal }} }}", keys(server.address(), "login", ""));
    let mut setup = setup("redis", &keys(server.address(), "login", ""));
    setup = setup.with_environment([("WRONG", "close-sesame"), ("RIGHT", "open-sesame")]);
    let relay = Program::start(&setup).await;
    relay.post(&events(1..31)).await;
    relay.told("out", "misconfigured", "NOAUTH").await;
    setup.set_exporters(&exporter("redis", &secret("WRONG")));
    relay.reloaded(1, 0).await;
    relay.told("out", "misconfigured", "WRONGPASS").await;
    let counts = relay.metrics().await.counts("out");
    assert_eq!((counts.waiting, counts.dead), (30, 0));
    setup.set_exporters(&exporter("redis", &secret("RIGHT")));
    relay.reloaded(2, 0).await;
    relay.complete("out", 30).await;
    assert_eq!(found(&server, "login").await, fields(&events(1..31)));
    assert!(!relay.log().contains("sesame"));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_type_waits_for_the_operator() {
    let Some(server) = redis::shared().await else { return };
    for own in ["", "once: false"] {
        let name = unique("type");
        server.ask(&["SET", &name, "no stream"]).await;
        let relay = Program::start(&relay_to(server.address(), &name, own)).await;
        relay.post(&events(1..11)).await;
        relay.told("out", "misconfigured", "WRONGTYPE").await;
        server.ask(&["DEL", &name]).await;
        relay.complete("out", 10).await;
        assert_eq!(found(&server, &name).await, fields(&events(1..11)));
        relay.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_lost_leave_nothing_twice() {
    let Some(server) = redis::own(None).await else { return };
    let Some((proxy, address)) = server.proxied().await else { return };
    let relay = Program::start(&relay_to(&address, "lost", "timeoutMs: 300")).await;
    let mut next = 1;
    for (kind, stream, attributes, arrives) in [
        // Behind `+PONG` the answer to the script is cut; no answer comes at all; the script is cut.
        ("limit_data", "downstream", json!({ "bytes": 8 }), true),
        ("timeout", "downstream", json!({ "timeout": 0 }), false),
        ("limit_data", "upstream", json!({ "bytes": 700 }), false),
    ] {
        proxy.add(kind, stream, attributes).await;
        relay.post(&events(next..next + 40)).await;
        next += 40;
        relay.told("out", "retrying", "").await;
        if arrives {
            // It is there, and the relay does not know.
            let length = Answer::Number(next as i64 - 1);
            until("Redis has the entries", async || (server.ask(&["XLEN", "lost"]).await == length).then_some(())).await;
        }
        proxy.heal().await;
        relay.complete("out", next - 1).await;
    }
    assert_eq!(found(&server, "lost").await, fields(&events(1..next)), "each once");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_or_is_killed_gets_everything_once() {
    let Some(server) = redis::own(None).await else { return };
    let relay = Program::start(&relay_to(server.address(), "killed", "timeoutMs: 300")).await;
    relay.post(&events(1..101)).await;
    relay.complete("out", 100).await;
    server.pause();
    relay.post(&events(101..151)).await;
    relay.told("out", "retrying", "").await;
    server.resume();
    relay.complete("out", 150).await;
    server.kill();
    relay.post(&events(151..251)).await;
    relay.told("out", "retrying", "").await;
    server.restart().await;
    relay.complete("out", 250).await;
    assert_eq!(found(&server, "killed").await, fields(&events(1..251)), "each once");
    assert_eq!(relay.metrics().await.sum("flagpost_plugin_timeouts_total", &[]) as u64, 0, "the plugin minds its own time");
    relay.stop().await;
}
