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
