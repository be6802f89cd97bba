//! `plugins/clickhouse` against a real server, read back by SQL. Debian's is of 2018: it refuses deduplication tokens, so what they do is not tested here,
//! only that they are sent (`plugins/clickhouse/test`); ids in a `ReplacingMergeTree` are.

use std::fs;

use flagpost_tests::servers::{clickhouse, unique};
use flagpost_tests::{Faults, Program, Rule, Setup, events, poison, tracking, until};
use serde_json::{Value, json};

use super::{exporter, setup, sorted};
use crate::aws::death;

const COLUMNS: [(&str, &str); 2] = [
    (
        "feature",
        "kind String, contextKind String, userKey String, creationDate DateTime, key String, variation String, value String, default UInt8, \
         version String, source String, metadata String",
    ),
    (
        "tracking",
        "kind String, contextKind String, userKey String, creationDate DateTime, key String, evaluationContext String, trackingEventDetails String",
    ),
];

/// Makes the tables of both kinds; gives their name without the kind.
async fn tables(server: &clickhouse::ClickHouse) -> String {
    let name = unique("t").replace('-', "_");
    for (kind, columns) in COLUMNS {
        let columns =
            columns.replace("default UInt8", "`default` UInt8").replace("key String,", "`key` String,").replace("user`key`", "userKey");
        server
            .run(&format!(
                "CREATE TABLE {name}_{kind} (eventId String, {columns}) ENGINE = ReplacingMergeTree ORDER BY (creationDate, eventId)"
            ))
            .await;
    }
    name
}

fn keys(url: &str, table: &str, password: &str, own: &str) -> String {
    format!(
        "allowedHosts: [ \"POST {url}\" ]\nsecrets: {{ LOGIN: {{ file: {password}, hosts: [ \"{url}\" ], as: basic }} }}\n\
         config: {{ endpoint: \"{url}\", table: \"{table}_{{kind}}\", {own} }}\neventType: all"
    )
}

fn relay_to(keys: &str) -> Setup {
    let setup = setup("clickhouse", keys);
    fs::write(setup.path("right"), "writer:writer-secret\n").unwrap();
    fs::write(setup.path("wrong"), "writer:guessed\n").unwrap();
    setup
}

/// What an event is as a row, without its id.
fn rows<S: AsRef<str>>(events: &[S]) -> Vec<Value> {
    let row = |(mut event, line): (Value, &str)| {
        if event["kind"] == "feature" {
            event["default"] = u8::from(event["default"] == true).into();
            let raw = |key: &str| {
                let fields: std::collections::BTreeMap<String, Box<serde_json::value::RawValue>> = serde_json::from_str(line).unwrap();
                fields.get(key).map(|text| text.get().to_owned()).unwrap_or_default()
            };
            event["value"] = raw("value").into();
            event["metadata"] = raw("metadata").into();
        } else {
            event["evaluationContext"] = event["evaluationContext"].to_string().into();
            event["trackingEventDetails"] = event["trackingEventDetails"].to_string().into();
        }
        event
    };
    sorted(events.iter().map(|line| row((serde_json::from_str(line.as_ref()).unwrap(), line.as_ref()))).collect())
}

async fn found(server: &clickhouse::ClickHouse, table: &str) -> Vec<Value> {
    let date = "SELECT * FROM";
    let rows = server.rows(&format!("{date} {table} FINAL")).await;
    let dates = server.rows(&format!("SELECT eventId, toUInt32(creationDate) AS seconds FROM {table} FINAL")).await;
    let seconds = |id: &Value| dates.iter().find(|row| row["eventId"] == *id).unwrap()["seconds"].clone();
    let plain = |mut row: Value| {
        row["creationDate"] = seconds(&row["eventId"]);
        row.as_object_mut().unwrap().remove("eventId");
        row
    };
    sorted(rows.into_iter().map(plain).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_of_both_kinds_is_one_row() {
    let Some(server) = clickhouse::shared().await else { return };
    let table = tables(&server).await;
    let relay = Program::start(&relay_to(&keys(server.url(), &table, "right", "deduplicate: false"))).await;
    let (features, tracked): (Vec<_>, Vec<_>) = (events(1..301), (1..41).map(tracking).collect());
    relay.post(&features).await;
    relay.post(&tracked).await;
    relay.complete("out", 340).await;
    assert_eq!(found(&server, &format!("{table}_feature")).await, rows(&features));
    assert_eq!(found(&server, &format!("{table}_tracking")).await, rows(&tracked));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_an_unknown_setting_and_a_missing_column_wait_for_the_operator() {
    let Some(server) = clickhouse::shared().await else { return };
    let table = tables(&server).await;
    server.run(&format!("ALTER TABLE {table}_feature DROP COLUMN source")).await;
    let mut setup = relay_to(&keys(server.url(), &table, "wrong", "deduplicate: false"));
    let relay = Program::start(&setup).await;
    relay.post(&events(1..31)).await;
    relay.told("out", "misconfigured", "Wrong password").await;
    setup.set_exporters(&exporter("clickhouse", &keys(server.url(), &table, "right", "deduplicate: true")));
    relay.reloaded(1, 0).await;
    relay.told("out", "misconfigured", "write `deduplicate: false`").await;
    setup.set_exporters(&exporter("clickhouse", &keys(server.url(), &table, "right", "deduplicate: false")));
    relay.reloaded(2, 0).await;
    relay.told("out", "misconfigured", "add the column").await;
    let counts = relay.metrics().await.counts("out");
    assert_eq!((counts.waiting, counts.dead), (30, 0));
    server.run(&format!("ALTER TABLE {table}_feature ADD COLUMN source String")).await;
    // Not after the pause between two probes, but now.
    setup.set_exporters(&exporter("clickhouse", &keys(server.url(), &table, "right", "deduplicate: false, database: default")));
    relay.reloaded(3, 0).await;
    relay.complete("out", 30).await;
    assert_eq!(found(&server, &format!("{table}_feature")).await, rows(&events(1..31)));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_row_that_the_table_refuses_is_found_and_the_others_are_there() {
    let Some(server) = clickhouse::shared().await else { return };
    let table = tables(&server).await;
    server.run(&format!("ALTER TABLE {table}_feature MODIFY COLUMN variation FixedString(2)")).await;
    let relay = Program::start(&relay_to(&keys(server.url(), &table, "right", "deduplicate: false"))).await;
    let mut sent = events(1..41);
    sent[16] = poison(17);
    relay.post(&sent).await;
    let counts = relay.drained(&["out"]).await.counts("out");
    assert_eq!((counts.delivered, counts.dead, counts.dropped), (39, 1, 0));
    let told = death(&relay);
    assert!(told.contains("Code: 131") && told.contains("FixedString(2)"), "{told}");
    sent.remove(16);
    assert_eq!(found(&server, &format!("{table}_feature")).await, rows(&sent));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_lost_leave_nothing_twice_where_the_table_replaces_equal_ids() {
    let Some(server) = clickhouse::shared().await else { return };
    let table = tables(&server).await;
    let faults = Faults::before(server.url()).await;
    let relay = Program::start(&relay_to(&keys(&faults.url(""), &table, "right", "deduplicate: false"))).await;
    let mut next = 1;
    for rule in [Rule::any().times(2).reset_after(), Rule::any().answer(503, "Code: 241. DB::Exception: Memory limit"), Rule::any().reset()]
    {
        faults.add(rule);
        relay.post(&events(next..next + 40)).await;
        next += 40;
        until("the fault was met", async || (faults.pending() == 0).then_some(())).await;
        relay.complete("out", next - 1).await;
    }
    assert_eq!(found(&server, &format!("{table}_feature")).await, rows(&events(1..next)), "each once");
    let stored = server.rows(&format!("SELECT toUInt32(count()) AS n FROM {table}_feature")).await;
    assert!(stored[0]["n"].as_u64().unwrap() >= next - 1, "{stored:?}");
    assert_eq!(server.rows(&format!("SELECT DISTINCT eventId FROM {table}_feature")).await.len() as u64, next - 1);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_and_comes_back_gets_everything() {
    let Some(server) = clickhouse::own().await else { return };
    let table = tables(&server).await;
    let relay = Program::start(&relay_to(&keys(server.url(), &table, "right", "deduplicate: false"))).await;
    relay.post(&events(1..101)).await;
    relay.complete("out", 100).await;
    server.kill();
    relay.post(&events(101..201)).await;
    relay.told("out", "retrying", "").await;
    server.restart().await;
    relay.complete("out", 200).await;
    assert_eq!(found(&server, &format!("{table}_feature")).await, rows(&events(1..201)));
    assert_eq!(json!(server.rows(&format!("SELECT DISTINCT eventId FROM {table}_feature")).await.len()), json!(200));
    relay.stop().await;
}
