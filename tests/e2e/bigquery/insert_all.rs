//! `writeApi: insertAll`, and what only BigQuery itself answers: by a proxy in front of the emulator.

use std::sync::{Arc, Mutex};

use flagpost_tests::servers::bigquery::{self, BigQuery};
use flagpost_tests::{Faults, Rule};
use flagpost_tests::{Program, Setup, events, poison};
use serde_json::{Value, json};

use super::{FEATURE, below, exporter, numbers};

async fn inserting(server: &BigQuery, own: &str) -> (String, Faults, Setup) {
    let dataset = server.dataset().await;
    server.make_table(&dataset, "events", FEATURE).await;
    let rest = Faults::before(server.rest()).await;
    let yaml = exporter("out", &dataset, &rest.url(""), server.grpc(), &format!("writeApi: insertAll\n    {own}"));
    (dataset, rest, Setup::new().with_exporters(&yaml))
}

fn insert() -> Rule {
    Rule::any().path("/insertAll")
}

fn refusal(code: u16, reason: &str) -> String {
    json!({ "error": { "code": code, "message": format!("recorded: {reason}"), "errors": [ { "reason": reason } ] } }).to_string()
}

/// The insertIds of a request.
fn ids(body: &Value) -> Vec<String> {
    body["rows"].as_array().unwrap().iter().map(|row| row["insertId"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_is_tried_again_with_the_same_ids() {
    let Some(server) = bigquery::shared().await else { return };
    let (dataset, rest, setup) = inserting(&server, "").await;
    rest.add(insert().answer(503, refusal(503, "backendError")));
    rest.add(insert().answer(500, refusal(500, "internalError")));
    rest.add(insert().answer(403, refusal(403, "rateLimitExceeded")));
    rest.add(insert().answer_with(429, &[("retry-after", "0")], refusal(429, "rateLimitExceeded")));
    rest.add(insert().answer(502, "<html>"));
    rest.add(insert().reset());
    rest.add(insert().hang());
    let relay = Program::start(&setup).await;
    relay.post(&events(1..101)).await;
    let metrics = relay.drained(&["out"]).await;
    assert_eq!((metrics.counts("out").delivered, metrics.counts("out").dead), (100, 0));
    assert_eq!(numbers(&server, &dataset, "events").await, below(101));
    let calls = rest.matching(&insert());
    let first = ids(&calls[0].json());
    let mut distinct = first.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!((calls.len(), first.len(), distinct.len()), (8, 100, 100));
    assert!(calls.iter().all(|call| ids(&call.json()) == first), "the same rows with the same ids");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_and_rights_are_an_alarm_and_nothing_is_lost() {
    let Some(server) = bigquery::shared().await else { return };
    for (code, reason, help) in [(401, "authError", "check the credentials"), (403, "accessDenied", "bigquery.tables.updateData")] {
        let (dataset, rest, setup) = inserting(&server, "").await;
        rest.add(insert().always().answer(code, refusal(code, reason)));
        let relay = Program::start(&setup).await;
        relay.post(&events(1..101)).await;
        let task = relay.in_state("out", "misconfigured").await;
        let message = task["lastError"]["message"].as_str().unwrap();
        assert!(message.contains(&format!("recorded: {reason}")) && message.contains(help), "{message}");
        let counts = relay.metrics().await.counts("out");
        assert_eq!((counts.waiting, counts.dead), (100, 0));
        rest.heal();
        relay.drained(&["out"]).await;
        assert_eq!(numbers(&server, &dataset, "events").await, below(101));
        relay.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_rows_that_were_not_inserted_come_again_and_only_invalid_ones_are_rejected() {
    let Some(server) = bigquery::shared().await else { return };
    let (dataset, rest, setup) = inserting(&server, "maxEventInMemory: 100").await;
    // As BigQuery does: rows of the variation `poison` are invalid. Every third one is stopped once.
    let errors: Arc<Mutex<Vec<Value>>> = Arc::default();
    let told = Arc::clone(&errors);
    let request = move |mut body: Value| {
        let rows = body["rows"].as_array().unwrap().clone();
        let first = rows.len() == 100;
        let (mut kept, mut errors) = (Vec::new(), errors.lock().unwrap());
        errors.clear();
        for (index, row) in rows.into_iter().enumerate() {
            let reason = match &row["json"]["variation"] {
                variation if variation == "poison" => "invalid",
                _ if first && index % 3 == 0 => "stopped",
                _ => {
                    kept.push(row);
                    continue;
                }
            };
            errors.push(json!({ "index": index, "errors": [ { "reason": reason, "location": "value", "message": "recorded" } ] }));
        }
        body["rows"] = kept.into();
        body
    };
    let answer = move |mut body: Value| {
        body["insertErrors"] = told.lock().unwrap().clone().into();
        body
    };
    rest.add(insert().always().rewrite_both(request, answer));
    let relay = Program::start(&setup).await;
    let mut all = events(1..101);
    all[49] = poison(50);
    relay.post(&all).await;
    let metrics = relay.drained(&["out"]).await;
    assert_eq!((metrics.counts("out").delivered, metrics.counts("out").dead), (99, 1));
    let expected: Vec<u64> = (1..101).filter(|&number| number != 50).collect();
    assert_eq!(numbers(&server, &dataset, "events").await, expected, "each once");
    let calls = rest.matching(&insert());
    let (first, second) = (ids(&calls[0].json()), ids(&calls[1].json()));
    assert_eq!((calls.len(), first.len(), second.len()), (2, 100, 34));
    assert!(second.iter().all(|id| first.contains(id)), "an event keeps its id");
    relay.stop().await;
}
