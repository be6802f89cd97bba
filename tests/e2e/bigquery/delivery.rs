//! What arrives, where, and as what.

use std::process::Command;

use flagpost_tests::servers::bigquery::{self, BigQuery, Row};
use flagpost_tests::{Faults, Rule};
use flagpost_tests::{Program, Setup, events};
use serde_json::Value;

use super::{FEATURE, TRACKING, below, direct, exporter, numbers};

const ODD: [&str; 3] = [
    r#"{"kind":"feature","userKey":"Zoë 🚀","creationDate":-1,"key":"a\"b\\c\nd","variation":"","value":{"n":9007199254740993,"s":"\u003ca\u0026b\u003e","l":[null,1.5,{}]},"default":true,"version":"","source":"EDGE","metadata":{"m":{"deep":[1,"ü"]}}}"#,
    r#"{"kind":"feature","contextKind":"anonymousUser","userKey":"","creationDate":1700000000,"key":"k","variation":"on","value":null,"default":false,"version":"v1","source":"SERVER"}"#,
    r#"{"kind":"feature","contextKind":"user","userKey":"u","creationDate":9999999999,"key":"k","variation":"on","value":"text","default":false,"version":"v1","source":"PROVIDER_CACHE"}"#,
];

const TRACKED: [&str; 2] = [
    r#"{"kind":"tracking","contextKind":"user","userKey":"t","creationDate":1700000000,"key":"checkout","evaluationContext":{"plan":"pro","n":1.5},"trackingEventDetails":{"value":3,"currency":"EUR"}}"#,
    r#"{"kind":"tracking","contextKind":"user","userKey":"z","creationDate":1700000001,"key":"checkout","evaluationContext":null,"trackingEventDetails":null}"#,
];

/// All columns, JSON as its text.
async fn everything(server: &BigQuery, dataset: &str, table: &str, columns: &[(&str, &str)]) -> Vec<Row> {
    let column = |(name, of): &(&str, &str)| match *of {
        "JSON" => format!("TO_JSON_STRING(`{name}`) AS `{name}`"),
        _ => format!("`{name}`"),
    };
    let columns = columns.iter().map(column).collect::<Vec<_>>().join(", ");
    server.sql(&format!("SELECT {columns} FROM {dataset}.{table} ORDER BY creation_date, user_key")).await
}

/// Compares a row with the event that it is of: `names` are column and key.
fn same(row: &Row, event: &str, columns: &[(&str, &str)]) {
    let event: Value = serde_json::from_str(event).unwrap();
    for (column, of) in columns {
        let key = match *column {
            "context_kind" => "contextKind",
            "user_key" => "userKey",
            "creation_date" => "creationDate",
            "tracking_details" => "trackingEventDetails",
            "evaluation_context" => "evaluationContext",
            other => other,
        };
        let cell = row[*column].as_deref().unwrap_or_else(|| panic!("{column} is NULL: {row:?}"));
        match *of {
            "STRING" => assert_eq!(cell, event[key].as_str().unwrap_or_default(), "{column}"),
            // A text's JSON, too: what is JSON's null is not SQL's.
            "JSON" => assert_eq!(serde_json::from_str::<Value>(cell).unwrap(), event[key], "{column}"),
            _ => assert_eq!(cell, event[key].to_string(), "{column}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_is_one_row_with_all_columns_in_either_way_of_writing() {
    let Some(server) = bigquery::shared().await else { return };
    for way in ["storage", "insertAll"] {
        let dataset = server.dataset().await;
        let own = format!("eventType: all\n    trackingTableName: tracked\n    autoMigrate: true\n    writeApi: {way}");
        let setup = Setup::new().with_exporters(&direct("out", &dataset, &server, &own));
        let relay = Program::start(&setup).await;
        relay.post(&ODD).await;
        relay.post(&TRACKED).await;
        let metrics = relay.drained(&["out"]).await;
        assert_eq!((metrics.counts("out").delivered, metrics.counts("out").dead), (5, 0), "{way}");
        let rows = everything(&server, &dataset, "events", FEATURE).await;
        assert_eq!(rows.len(), 3, "{way}: {rows:?}");
        for (row, event) in rows.iter().zip(ODD) {
            same(row, event, FEATURE);
        }
        let rows = everything(&server, &dataset, "tracked", TRACKING).await;
        assert_eq!(rows.len(), 2, "{way}: {rows:?}");
        for (row, event) in rows.iter().zip(TRACKED) {
            same(row, event, TRACKING);
        }
        relay.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_that_follow_each_other_go_on_in_one_stream() {
    let Some(server) = bigquery::shared().await else { return };
    let dataset = server.dataset().await;
    let own = "autoMigrate: true\n    maxEventInMemory: 500";
    let setup = Setup::new().with_exporters(&direct("out", &dataset, &server, own));
    let relay = Program::start(&setup).await;
    for batch in events(1..5_001).chunks(1_000) {
        relay.post(batch).await;
    }
    relay.drained(&["out"]).await;
    assert_eq!(numbers(&server, &dataset, "events").await, below(5_001));
    assert_eq!(server.streams(&dataset).await.len(), 1, "one stream for all of them");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_example_is_taken_and_delivers_with_a_service_accounts_key() {
    let Some(server) = bigquery::shared().await else { return };
    let (dataset, rest) = (BigQuery::unused_dataset(), Faults::before(server.rest()).await);
    let made = Command::new("openssl").args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]).output().unwrap();
    let key = String::from_utf8(made.stdout).unwrap();
    let account = serde_json::json!({ "type": "service_account", "project_id": "p", "private_key_id": "1", "private_key": key,
        "client_email": "relay@p.iam.gserviceaccount.com", "client_id": "1", "token_uri": "https://oauth2.googleapis.com/token" });
    let yaml = format!(
        r"
  - kind: bigquery
    name: out
    projectID: p
    datasetID: {dataset}
    tableName: feature_flag_evaluations
    googleCredentials: '{account}'
    autoMigrate: true
    flushInterval: 20
    endpoint: {}
    storageEndpoint: {}
",
        rest.url(""),
        server.grpc(),
    );
    let setup = Setup::new().with_exporters(&yaml);
    let relay = Program::start(&setup).await;
    relay.post(&events(1..101)).await;
    relay.drained(&["out"]).await;
    assert_eq!(numbers(&server, &dataset, "feature_flag_evaluations").await, below(101));
    let calls = rest.matching(&Rule::any());
    assert!(!calls.is_empty() && calls.iter().all(|call| call.header("authorization").starts_with("Bearer ey")), "{calls:?}");
    // Tables are seen to once, not at each flush.
    for batch in events(101..401).chunks(100) {
        relay.post(batch).await;
        relay.drained(&["out"]).await;
    }
    assert_eq!(rest.matching(&Rule::any()).len(), calls.len());
    assert_eq!(numbers(&server, &dataset, "feature_flag_evaluations").await, below(401));
    let log = relay.log();
    assert!(!log.contains("PRIVATE KEY") && !log.contains("Bearer"), "{log}");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_many_megabytes_is_cut_to_what_one_request_may_have() {
    let Some(server) = bigquery::shared().await else { return };
    for way in ["storage", "insertAll"] {
        let dataset = server.dataset().await;
        // All at once.
        let own = format!("autoMigrate: true\n    writeApi: {way}\n    maxEventInMemory: 40");
        let yaml = exporter("out", &dataset, server.rest(), server.grpc(), &own).replace("timeout: 5s", "timeout: 30s");
        let setup = Setup::new().with_exporters(&yaml.replace("flushInterval: 20", "flushInterval: 600000"));
        let relay = Program::start(&setup).await;
        // JSON within JSON: quotes double.
        let pad = format!(r#"{{"a":"{}"}}"#, r#"\""#.repeat(150_000));
        let big: Vec<String> =
            events(1..41).iter().map(|event| event.replace("\"metadata\":{", &format!("\"metadata\":{{\"big\":{pad},"))).collect();
        for batch in big.chunks(20) {
            relay.post(batch).await;
        }
        let metrics = relay.drained(&["out"]).await;
        assert_eq!((metrics.counts("out").dead, metrics.counts("out").dropped), (0, 0), "{way}");
        assert_eq!(numbers(&server, &dataset, "events").await, below(41), "{way}");
        relay.stop().await;
    }
}
