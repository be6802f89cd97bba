//! The `sqs` exporter's keys.

use std::sync::Arc;

use flagpost_event::Clock;
use flagpost_settings::{Place as Where, Problems};
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use crate::aws::{AssumeRole, Connector, Lazy, Patience, Place, Spread, region_of_host};
use crate::config::require;
use crate::kind::Kind;
use crate::{BuildContext, Exporter};

use super::SqsExporter;

/// One message per event on an Amazon SQS queue: the body is the event's JSON.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Keys {
    /// Mandatory. The queue's URL. One that ends with `.fifo` keeps the order of each group, and drops what comes twice within five minutes.
    queue_url: String,
    /// For a queue that ends with `.fifo`: which messages make a group, whose order is kept: those of a user (`userKey`), all (`default`), or no two
    /// (`random`).
    message_group_id: Spread,
    /// The service's address. Default: Amazon's own, or where `queueUrl` leads when that is not Amazon's.
    endpoint: String,
    /// Default: the one in `queueUrl`, else the environment's.
    region: String,
    /// A role to take on before anything else.
    assume_role: AssumeRole,
}

/// A checked configuration.
#[derive(Clone, Debug)]
pub(super) struct SqsConfig {
    pub(super) queue: String,
    /// What makes a group, in a queue that has groups.
    pub(super) groups: Option<Spread>,
    pub(super) place: Place,
}

impl Kind for Keys {
    const NAME: &'static str = "sqs";
    const LOCATION: &'static [&'static str] = &["queueUrl"];

    fn build(self, problems: &mut Problems, context: &BuildContext) -> Option<Arc<dyn Exporter>> {
        // The SDK's own variables for another address win over what a queue's URL suggests.
        let elsewhere = ["AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL"];
        let elsewhere = elsewhere.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
        let config = self.check(problems, elsewhere)?;
        let connector = Connector::new(config.place.clone(), Patience::default());
        let client = Lazy::new(connector, aws_sdk_sqs::Client::new);
        let clock: Arc<dyn Clock> = Arc::clone(&context.clock);
        Some(Arc::new(SqsExporter { config, client, clock }))
    }
}

impl Keys {
    /// `elsewhere`: the environment says where the service is.
    pub(super) fn check(self, problems: &mut Problems, elsewhere: bool) -> Option<SqsConfig> {
        let example = "https://sqs.eu-west-1.amazonaws.com/123456789012/my-queue";
        require(problems, Self::NAME, "queueUrl", &self.queue_url, example);
        let mut place = Place::check(&self.endpoint, &self.region, &self.assume_role, problems);
        let url = Url::parse(&self.queue_url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        match url {
            None if self.queue_url.is_empty() => {}
            None => problems.error("queueUrl", Where::Nowhere, "is no URL of a queue", format!("write it as {example}")),
            Some(url) => {
                let region = url.host_str().and_then(region_of_host);
                if region.is_none() && place.endpoint.is_none() && !elsewhere {
                    place.endpoint = Some(url.origin().ascii_serialization());
                }
                place.region = place.region.or(region.map(str::to_owned));
            }
        }
        let fifo = self.queue_url.ends_with(".fifo");
        if !fifo && self.message_group_id != Spread::default() {
            let message = "has no effect: only queues that end with `.fifo` have groups";
            problems.warning("messageGroupId", Where::Nowhere, message, "remove it");
        }
        let groups = fifo.then_some(self.message_group_id);
        (!problems.has_errors()).then_some(SqsConfig { queue: self.queue_url, groups, place })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use flagpost_settings::decode;
    use serde_json::{Value, json};

    use super::*;

    fn read(keys: Value, elsewhere: bool) -> (Option<SqsConfig>, Vec<String>) {
        let mut problems = Problems::default();
        let keys: Keys = decode(&keys.into(), "", &mut problems);
        let config = keys.check(&mut problems, elsewhere);
        (config, problems.finish().0.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_queues_url_says_where_the_service_is() {
        let place = |keys: Value, elsewhere| {
            let place = read(keys, elsewhere).0.unwrap().place;
            (place.endpoint, place.region)
        };
        let some = |text: &str| Some(text.to_owned());
        let (amazon, local) = ("https://sqs.eu-west-3.amazonaws.com/123456789012/q", "http://127.0.0.1:9324/000000000000/q");
        assert_eq!(place(json!({ "queueUrl": amazon }), false), (None, some("eu-west-3")));
        assert_eq!(place(json!({ "queueUrl": amazon, "region": "us-east-1" }), false), (None, some("us-east-1")));
        assert_eq!(place(json!({ "queueUrl": local }), false), (some("http://127.0.0.1:9324"), None));
        assert_eq!(place(json!({ "queueUrl": local }), true), (None, None));
        assert_eq!(place(json!({ "queueUrl": local, "endpoint": "http://h:1/" }), false), (some("http://h:1"), None));
    }

    #[test]
    fn groups_belong_to_queues_that_keep_an_order() {
        let (config, problems) = read(json!({ "queueUrl": "https://sqs.eu-west-3.amazonaws.com/1/q.fifo" }), false);
        assert_eq!((config.unwrap().groups, problems.len()), (Some(Spread::UserKey), 0));
        let (config, problems) = read(json!({ "queueUrl": "https://h/1/q", "messageGroupId": "default" }), false);
        assert_eq!(config.unwrap().groups, None);
        assert!(problems[0].starts_with("messageGroupId: warning: has no effect"), "{problems:?}");
    }

    #[test]
    fn what_cannot_work_is_told_at_start() {
        for (keys, expected) in [
            (json!({}), "queueUrl: invalid exporter: no \"queueUrl\" property found for kind \"sqs\""),
            (json!({ "queueUrl": "my-queue" }), "queueUrl: is no URL of a queue"),
            (json!({ "queueUrl": "https://h/q", "region": "Ireland" }), "region: `Ireland` is no region"),
            (json!({ "queueUrl": "https://h/q.fifo", "messageGroupId": "user" }), "messageGroupId: expected"),
        ] {
            let (config, problems) = read(keys.clone(), false);
            assert!(config.is_none() && problems.len() == 1 && problems[0].starts_with(expected), "{keys}: {problems:?}");
        }
    }
}
