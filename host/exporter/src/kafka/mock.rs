//! Broker errors that no single real broker can be brought to return, by the library's own mock cluster.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use bytes::Bytes;
use flagpost_event::{BatchId, EventBatch, EventKind, StreamName};
use rdkafka::ClientContext;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr as Reply};
use serde_json::json;

use super::tests::build;
use crate::{ExportError, Exporter};

fn exporter<C: ClientContext>(cluster: &MockCluster<'_, C>, own: serde_json::Value) -> Arc<dyn Exporter> {
    let mut kafka = json!({
        "topic": "t", "addresses": cluster.bootstrap_servers(),
        "properties": {"message.timeout.ms": 3000, "retry.backoff.ms": 10, "topic.metadata.propagation.max.ms": 500}
    });
    kafka.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
    build(kafka).unwrap()
}

fn batch(id: &str, events: usize) -> EventBatch {
    let lines: String = (0..events).map(|number| format!("{{\"userKey\":\"u{number}\"}}\n")).collect();
    EventBatch::new(BatchId::new(id), StreamName::new("default", EventKind::Feature), 1, vec![Bytes::from(lines)])
}

fn cluster() -> MockCluster<'static, DefaultProducerContext> {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 2, 1).unwrap();
    cluster
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_broker_answers_decides_what_delivery_is_told() {
    use Reply::*;
    enum Told {
        Delivered,
        Misconfigured(&'static str),
        Retryable,
    }
    let table = [
        (vec![], Told::Delivered),
        (vec![RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION; 2], Told::Delivered),
        (vec![RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS; 2], Told::Delivered),
        (vec![RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT; 2], Told::Delivered),
        // All copies in all requests of it are answered so.
        (vec![RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED; 2], Told::Misconfigured("operations Write and Describe")),
        (vec![RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED; 2], Told::Misconfigured("operations Write and Describe")),
        (vec![RD_KAFKA_RESP_ERR_INVALID_REQUIRED_ACKS; 2], Told::Misconfigured("check `kafka.config` and `kafka.properties`")),
        (vec![RD_KAFKA_RESP_ERR_UNSUPPORTED_COMPRESSION_TYPE; 2], Told::Misconfigured("the brokers are too old")),
        (vec![RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH; 2], Told::Retryable),
    ];
    for (answers, told) in table {
        let cluster = cluster();
        let exporter = exporter(&cluster, json!({}));
        cluster.request_errors(RDKafkaApiKey::Produce, &answers);
        let outcome = exporter.export(&batch("b-1-1", 1)).await;
        let fits = match (&told, &outcome) {
            (Told::Delivered, outcome) => outcome.is_ok(),
            (Told::Misconfigured(advice), Err(ExportError::Misconfigured { reason })) => reason.contains(advice),
            (Told::Retryable, outcome) => matches!(outcome, Ok(()) | Err(ExportError::Retryable { .. })),
            _ => false,
        };
        assert!(fits, "{answers:?}: {outcome:?}");
        // Whatever it was, it passes.
        cluster.clear_request_errors(RDKafkaApiKey::Produce);
        assert_eq!(exporter.export(&batch("b-1-1", 1)).await, Ok(()), "{answers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_refused_together_are_sent_again_alone_and_the_innocent_pass() {
    let cluster = cluster();
    let exporter = exporter(&cluster, json!({}));
    // Two partitions, two requests; both are refused once as a whole.
    cluster.request_errors(RDKafkaApiKey::Produce, &[Reply::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE; 2]);
    assert_eq!(exporter.export(&batch("b-1-40", 40)).await, Ok(()));
    cluster.request_errors(RDKafkaApiKey::Produce, &[Reply::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE; 1]);
    let outcome = exporter.export(&batch("b-1-1", 1)).await;
    assert!(matches!(&outcome, Err(ExportError::Rejected { reason }) if reason.contains("Message size too large")), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_made_once_even_if_its_commit_is_not_heard_of() {
    let cluster = cluster();
    let exporter = exporter(&cluster, json!({"transactional": true}));
    assert!(exporter.is_bulk());
    assert_eq!(exporter.export(&batch("s-default.feature-1-3", 3)).await, Ok(()));
    assert_eq!(exporter.export(&batch("s-default.feature-1-3", 3)).await, Ok(()), "the same batch again");
    for api in [RDKafkaApiKey::InitProducerId, RDKafkaApiKey::AddPartitionsToTxn, RDKafkaApiKey::EndTxn] {
        cluster.request_errors(api, &[Reply::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE; 2]);
    }
    assert_eq!(exporter.export(&batch("s-default.feature-4-6", 3)).await, Ok(()), "the library tries again by itself");
    cluster.request_errors(RDKafkaApiKey::EndTxn, &[Reply::RD_KAFKA_RESP_ERR_PRODUCER_FENCED]);
    let fenced = exporter.export(&batch("s-default.feature-7-9", 3)).await;
    assert!(matches!(fenced, Err(ExportError::Retryable { .. })), "{fenced:?}");
    assert_eq!(exporter.export(&batch("s-default.feature-7-9", 3)).await, Ok(()), "a new session");
    cluster.request_errors(RDKafkaApiKey::InitProducerId, &[Reply::RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED; 1]);
    let denied = super::transaction::id("mine", &BatchId::new("s-default.tracking-1-1"));
    assert_eq!(denied, "flagpost-s-default.tracking-mine");
    let other = EventBatch::new(
        BatchId::new("s-default.tracking-1-1"),
        StreamName::new("default", EventKind::Tracking),
        1,
        vec![Bytes::from_static(b"{\"userKey\":\"u\"}\n")],
    );
    let denied = exporter.export(&other).await;
    assert!(matches!(&denied, Err(ExportError::Misconfigured { reason }) if reason.contains("transactional ids")), "{denied:?}");
    assert_eq!(exporter.export(&other).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_too_large_is_left_out_of_its_transaction_and_named_again_when_the_batch_comes_again() {
    let cluster = cluster();
    let own = json!({"transactional": true, "config": {"producer": {"maxMessageBytes": 2000}}});
    let lines = format!("{{\"userKey\":\"a\"}}\n{{\"userKey\":\"b\",\"key\":\"{}\"}}\n{{\"userKey\":\"c\"}}\n", "k".repeat(3_000));
    let stream = StreamName::new("default", EventKind::Feature);
    let mixed = EventBatch::new(BatchId::new("s-default.feature-1-3"), stream.clone(), 1, vec![Bytes::from(lines)]);
    let named = |outcome: Result<(), ExportError>| match outcome {
        Err(ExportError::Partial { retry, rejected, .. }) => {
            assert_eq!((retry, rejected.len(), rejected[0].index), (vec![], 1, 1));
            rejected[0].reason.clone()
        }
        other => panic!("{other:?}"),
    };
    let exporter = exporter(&cluster, own);
    let told = named(exporter.export(&mixed).await);
    assert!(told.contains("Message size too large"), "{told}");
    // The marker decides. (That it outlives the relay is tested with a real broker: this one keeps no metadata of offsets.)
    let told = named(exporter.export(&mixed).await);
    assert!(told.contains("when the batch was delivered"), "{told}");
    let alone = format!("{{\"userKey\":\"b\",\"key\":\"{}\"}}\n", "k".repeat(3_000));
    let alone = EventBatch::new(BatchId::new("s-default.feature-4-4"), stream, 1, vec![Bytes::from(alone)]);
    let outcome = exporter.export(&alone).await;
    assert!(matches!(&outcome, Err(ExportError::Rejected { .. })), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_asks_for_the_topic_and_makes_none() {
    let cluster = cluster();
    assert!(exporter(&cluster, json!({})).probe().await.is_ok());
    cluster.topic_error("t", Reply::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED).unwrap();
    let error = exporter(&cluster, json!({})).probe().await.unwrap_err().to_string();
    assert!(error.contains("operations Write and Describe"), "{error}");
    let nowhere = json!({"addresses": "127.0.0.1:1", "properties": {"message.timeout.ms": 1000}});
    let error = exporter(&cluster, nowhere).probe().await.unwrap_err().to_string();
    assert!(error.contains("127.0.0.1:1") && error.contains("transport failure"), "{error}");
}
