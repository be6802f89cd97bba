//! The clients of the service.

use std::time::Duration;

use async_trait::async_trait;
use google_cloud_gax::client_builder::Error as BuildError;
use google_cloud_pubsub::client::{BasePublisher, SchemaService, TopicAdmin};
use google_cloud_pubsub::error::PublishError;
use google_cloud_pubsub::model::Message as Sent;

use crate::ProbeError;
use crate::google::{Advice, Meaning, Verdict, attempts, backoff, judge, within};

use super::config::PubSubConfig;
use super::produce::Wire;
use super::request::{ATTRIBUTE, MOST_MESSAGES, Message};

/// A limit of the library's that the messages never meet: they are packed already.
const ANY_BYTES: u32 = 10_000_000;

/// The library ends a request at the time-out by itself, and says more about it than that it took too long.
const GRACE: Duration = Duration::from_secs(1);

/// The right that is needed.
const PUBLISH: &str = "pubsub.topics.publish";

/// Publishes to one topic.
#[derive(Debug)]
pub(super) struct Client {
    base: BasePublisher,
    topic: String,
    timeout: Duration,
}

impl Client {
    /// Makes a client; it connects when it is used.
    pub(super) async fn connect(config: &PubSubConfig) -> Result<Client, Verdict> {
        let builder = BasePublisher::builder()
            .with_credentials(config.access.credentials().await?)
            .with_retry_policy(attempts(config.timeout))
            .with_backoff_policy(backoff());
        let builder = match config.access.endpoint() {
            Some(endpoint) => builder.with_endpoint(endpoint),
            None => builder,
        };
        let base = builder.build().await.map_err(|error| unmade(&error))?;
        Ok(Client { base, topic: config.topic.clone(), timeout: config.timeout })
    }
}

#[async_trait]
impl Wire for Client {
    async fn publish(&self, key: &str, messages: Vec<Message>) -> Result<(), Verdict> {
        // Sends as soon as it has as many as it will get.
        let count = u32::try_from(messages.len().min(MOST_MESSAGES)).unwrap_or(1);
        let publisher = self.base.publisher(&self.topic).set_message_count_threshold(count).set_byte_threshold(ANY_BYTES).build();
        let sent: Vec<_> = messages
            .into_iter()
            .map(|message| publisher.publish(Sent::new().set_data(message.data).set_attributes([ATTRIBUTE]).set_ordering_key(key)))
            .collect();
        within(self.timeout + GRACE, "publishing", async {
            for id in sent {
                id.await.map_err(|error| understood(&error))?;
            }
            Ok(())
        })
        .await
    }
}

fn understood(error: &PublishError) -> Verdict {
    match error {
        PublishError::Rpc(error) => judge(error),
        other => Verdict::passing(other.to_string()),
    }
}

fn unmade(error: &BuildError) -> Verdict {
    Verdict { meaning: Meaning::Alarm(Advice::Service), reason: format!("no client can be made: {error}"), after: None }
}

/// Whether the account may publish, and the topic is there. Rights are asked for first: who may only publish may not look at the topic.
pub(super) async fn probe(config: &PubSubConfig) -> Result<(), ProbeError> {
    within(config.timeout + GRACE, "the probe", ask(config)).await.map_err(|verdict| config.probe_error(verdict))
}

async fn ask(config: &PubSubConfig) -> Result<(), Verdict> {
    let credentials = config.access.credentials().await?;
    macro_rules! client {
        ($client:ident) => {{
            let builder = $client::builder().with_credentials(credentials.clone()).with_retry_policy(attempts(config.timeout));
            let builder = match config.access.endpoint() {
                Some(endpoint) => builder.with_endpoint(endpoint),
                None => builder,
            };
            builder.build().await.map_err(|error| unmade(&error))?
        }};
    }
    let rights = client!(SchemaService).test_iam_permissions().set_resource(&config.topic).set_permissions([PUBLISH]).send().await;
    let may = match &rights {
        Ok(answer) if answer.permissions.iter().any(|right| right == PUBLISH) => return Ok(()),
        Ok(_) => false,
        // An emulator knows no rights.
        Err(error) if matches!(judge(error).meaning, Meaning::Alarm(Advice::Missing | Advice::Service)) => true,
        Err(error) => return Err(judge(error)),
    };
    match client!(TopicAdmin).get_topic().set_topic(&config.topic).send().await {
        Ok(_) if may => Ok(()),
        Ok(_) => Err(Verdict { meaning: Meaning::Alarm(Advice::Rights), reason: format!("{PUBLISH} is not granted"), after: None }),
        Err(error) => Err(judge(&error)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use flagpost_settings::{Node, Problems, decode};
    use serde_json::json;

    use super::super::config::Keys;
    use super::*;
    use crate::google::scripted::service;

    #[tokio::test]
    async fn a_probe_asks_for_the_right_and_then_for_the_topic() {
        const TEST: &str = "POST /v1/projects/p/topics/events:testIamPermissions";
        const GET: &str = "GET /v1/projects/p/topics/events?";
        let topic = r#"{"name":"projects/p/topics/events"}"#;
        let missing = r#"{"error":{"code":404,"message":"Topic not found","status":"NOT_FOUND"}}"#;
        let denied = r#"{"error":{"code":403,"message":"User not authorized","status":"PERMISSION_DENIED"}}"#;
        let unknown = r#"{"error":{"code":501,"status":"UNIMPLEMENTED"}}"#;
        let granted = r#"{"permissions":["pubsub.topics.publish"]}"#;
        let cases = [
            (vec![(TEST, 200, granted)], ""),
            // An emulator.
            (vec![(TEST, 501, unknown), (GET, 200, topic)], ""),
            (vec![(TEST, 501, unknown), (GET, 404, missing)], "Topic not found: create the topic"),
            (vec![(TEST, 200, "{}"), (GET, 200, topic)], "pubsub.topics.publish is not granted: give the account the role"),
            (vec![(TEST, 200, "{}"), (GET, 404, missing)], "Topic not found: create the topic"),
            (vec![(TEST, 200, "{}"), (GET, 403, denied)], "User not authorized: give the account the role"),
            (vec![(TEST, 403, denied)], "User not authorized: give the account the role"),
            (vec![(TEST, 401, "{}")], "401: {}: check the credentials"),
        ];
        for (script, expected) in cases {
            let (address, asked) = service(script.clone()).await;
            let mut problems = Problems::default();
            let keys: Keys = decode(&Node::from(json!({ "projectID": "p", "topic": "events", "endpoint": address })), "", &mut problems);
            let config = keys.check(&mut problems, None).unwrap();
            let said = probe(&config).await.map_or_else(|error| error.to_string(), |()| String::new());
            assert!(said.contains(expected) && (said.is_empty() == expected.is_empty()), "{script:?}: {said}");
            assert_eq!(asked.lock().unwrap().len(), script.len(), "{script:?}");
        }
    }

    #[tokio::test]
    async fn a_probe_of_what_is_not_there_ends() {
        let mut problems = Problems::default();
        let keys = json!({ "projectID": "p", "topic": "events", "endpoint": "http://127.0.0.1:9", "timeout": "2s" });
        let keys: Keys = decode(&Node::from(keys), "", &mut problems);
        let config = keys.check(&mut problems, None).unwrap();
        let said = probe(&config).await.unwrap_err().to_string();
        assert!(said.starts_with("topic projects/p/topics/events at http://127.0.0.1:9: "), "{said}");
        // Publishing too.
        let client = Client::connect(&config).await.unwrap();
        let message = Message { index: 0, data: bytes::Bytes::from_static(b"{}") };
        let verdict = client.publish("", vec![message]).await.unwrap_err();
        assert_eq!(verdict.meaning, Meaning::Passing, "{verdict:?}");
    }
}
