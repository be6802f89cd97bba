//! Tables that are missing, made, or not as they should be.

use flagpost_tests::servers::bigquery::{self, BigQuery};
use flagpost_tests::{Faults, Rule};
use flagpost_tests::{Program, Setup, events, flagpost};
use http::Method;

use super::{FEATURE, TRACKING, below, direct, exporter, numbers};

#[tokio::test(flavor = "multi_thread")]
async fn without_auto_migrate_a_missing_table_is_told_and_everything_arrives_once_it_is_there() {
    let Some(server) = bigquery::shared().await else { return };
    for way in ["storage", "insertAll"] {
        let dataset = server.dataset().await;
        let setup = Setup::new().with_exporters(&direct("out", &dataset, &server, &format!("writeApi: {way}")));
        let relay = Program::start(&setup).await;
        relay.post(&events(1..101)).await;
        let task = relay.in_state("out", "misconfigured").await;
        let message = task["lastError"]["message"].as_str().unwrap();
        assert!(message.contains(&format!("create the table p.{dataset}.events (`autoMigrate: true` does)")), "{way}: {message}");
        relay.post(&events(101..201)).await;
        server.make_table(&dataset, "events", FEATURE).await;
        let metrics = relay.drained(&["out"]).await;
        assert_eq!((metrics.counts("out").delivered, metrics.counts("out").dead), (200, 0));
        assert_eq!(numbers(&server, &dataset, "events").await, below(201), "{way}");
        relay.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn auto_migrate_makes_dataset_and_table_and_makes_them_again_when_they_are_gone() {
    let Some(server) = bigquery::shared().await else { return };
    for way in ["storage", "insertAll"] {
        let dataset = BigQuery::unused_dataset();
        let own = format!("autoMigrate: true\n    writeApi: {way}");
        let setup = Setup::new().with_exporters(&direct("out", &dataset, &server, &own));
        let relay = Program::start(&setup).await;
        relay.post(&events(1..101)).await;
        relay.drained(&["out"]).await;
        let columns: Vec<_> = FEATURE.iter().map(|(name, of)| ((*name).to_owned(), (*of).to_owned())).collect();
        assert_eq!(server.columns(&dataset, "events").await, Some(columns), "{way}");
        server.drop_table(&dataset, "events").await;
        relay.post(&events(101..201)).await;
        let metrics = relay.drained(&["out"]).await;
        assert_eq!((metrics.counts("out").delivered, metrics.counts("out").dead), (200, 0));
        assert_eq!(numbers(&server, &dataset, "events").await, (101..201).collect::<Vec<u64>>(), "{way}");
        relay.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_a_table_lacks_are_named_and_auto_migrate_adds_them() {
    let Some(server) = bigquery::shared().await else { return };
    for way in ["storage", "insertAll"] {
        let dataset = server.dataset().await;
        let short = &FEATURE[..FEATURE.len() - 1];
        server.make_table(&dataset, "events", short).await;
        let rest = Faults::before(server.rest()).await;
        let own = format!("writeApi: {way}");
        let mut setup = Setup::new().with_exporters(&exporter("out", &dataset, &rest.url(""), server.grpc(), &own));
        let relay = Program::start(&setup).await;
        relay.post(&events(1..101)).await;
        let task = relay.in_state("out", "misconfigured").await;
        let message = task["lastError"]["message"].as_str().unwrap();
        assert!(
            message.contains("it has no column `metadata` (JSON)") && message.contains("`autoMigrate: true` adds columns"),
            "{message}"
        );
        relay.stop().await;
        // The emulator's PATCH does half of the work: what the table is said to have.
        server.add_column(&dataset, "events", "metadata", "JSON").await;
        setup.set_exporters(&exporter("out", &dataset, &rest.url(""), server.grpc(), &format!("{own}\n    autoMigrate: true")));
        let relay = Program::start(&setup).await;
        relay.drained(&["out"]).await;
        assert_eq!(numbers(&server, &dataset, "events").await, below(101), "{way}");
        let patches = rest.matching(&Rule::any().method(Method::PATCH));
        assert_eq!(patches.len(), 1, "{way}");
        let fields = patches[0].json()["schema"]["fields"].as_array().unwrap().clone();
        assert_eq!((fields.len(), fields[10]["name"].as_str(), fields[10]["mode"].as_str()), (11, Some("metadata"), Some("NULLABLE")));
        relay.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_other_columns_is_refused_in_words_and_two_kinds_need_two_tables() {
    let Some(server) = bigquery::shared().await else { return };
    let dataset = server.dataset().await;
    server.make_table(&dataset, "events", TRACKING).await;
    let setup = Setup::new().with_exporters(&direct("out", &dataset, &server, ""));
    let relay = Program::start(&setup).await;
    relay.post(&events(1..11)).await;
    let task = relay.in_state("out", "misconfigured").await;
    let message = task["lastError"]["message"].as_str().unwrap();
    assert!(message.contains("is not one for feature events: it has no column `variation` (STRING)"), "{message}");
    assert_eq!(relay.metrics().await.counts("out").waiting, 10);
    relay.kill();
    let setup = Setup::new().with_exporters(&direct("out", &dataset, &server, "eventType: all"));
    let checked = flagpost(&setup, &["validate", "--config", "flagpost.yaml"]);
    let expected = "with `eventType: all` each kind of events needs a table of its own";
    assert!(!checked.status.success() && checked.text.contains(expected), "{}", checked.text);
}
