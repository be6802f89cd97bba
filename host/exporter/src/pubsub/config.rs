//! The `pubsub` exporter's keys.

use std::sync::Arc;
use std::time::Duration;

use flagpost_settings::{Place, Problems, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::invalid;
use crate::google::{Access, AccessKeys, Lazy, Verdict, probe_error};
use crate::kind::Kind;
use crate::{BuildContext, ExportError, Exporter, ProbeError};

use super::PubSubExporter;

/// How long a request may take: 10 MB over a slow line. Google's library waits for 60 s, and repeats for ten minutes.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What the environment calls an emulator.
const EMULATOR: &str = "PUBSUB_EMULATOR_HOST";

/// One message per event on a Google Cloud Pub/Sub topic.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Keys {
    /// Mandatory. The project's id.
    #[serde(rename = "projectID")]
    project_id: String,
    /// Mandatory. The topic's id, or `projects/P/topics/T`.
    topic: String,
    /// Ours: which messages are kept in order, for subscriptions with message ordering.
    ordering_key: OrderingKey,
    /// Ours: a file with credentials in JSON. Default: the application default ones (`GOOGLE_APPLICATION_CREDENTIALS`, gcloud's, the machine's).
    credentials_file: String,
    /// Ours: another address of the service: a region's (`https://europe-west1-pubsub.googleapis.com`), or an emulator's (`http://host:port`, which
    /// gets no credentials). `PUBSUB_EMULATOR_HOST` does the same for emulators.
    endpoint: String,
    /// Ours: how long a request may take.
    timeout: Span,
}

impl Default for Keys {
    fn default() -> Self {
        Keys {
            project_id: String::new(),
            topic: String::new(),
            ordering_key: OrderingKey::None,
            credentials_file: String::new(),
            endpoint: String::new(),
            timeout: Span(TIMEOUT),
        }
    }
}

/// Which messages are kept in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum OrderingKey {
    /// None: upstream's. The quickest.
    #[default]
    None,
    /// Those of one user: the key is the event's user key. Events without one have no order.
    UserKey,
    /// Those of one flag (or tracking event): the key is the event's `key`.
    Key,
}

/// A checked configuration.
#[derive(Debug)]
pub(super) struct PubSubConfig {
    /// `projects/P/topics/T`.
    pub(super) topic: String,
    pub(super) ordering: OrderingKey,
    pub(super) access: Access,
    pub(super) timeout: Duration,
}

impl Kind for Keys {
    const NAME: &'static str = "pubsub";
    const LOCATION: &'static [&'static str] = &["projectID", "topic"];

    fn build(self, problems: &mut Problems, _: &BuildContext) -> Option<Arc<dyn Exporter>> {
        let emulator = std::env::var(EMULATOR).ok();
        let config = self.check(problems, emulator.as_deref())?;
        Some(Arc::new(PubSubExporter { config, client: Lazy::default() }))
    }
}

impl Keys {
    pub(super) fn check(self, problems: &mut Problems, emulator: Option<&str>) -> Option<PubSubConfig> {
        if self.project_id.is_empty() || self.topic.is_empty() {
            let missing = if self.project_id.is_empty() { "projectID" } else { "topic" };
            // Upstream's words.
            invalid(problems, missing, "\"projectID\" and \"topic\" are required for kind \"pubsub\"", format!("set `{missing}`"));
            return None;
        }
        let (project, topic) = match self.topic.strip_prefix("projects/").map(|rest| rest.split_once("/topics/")) {
            Some(Some((project, topic))) => (project, topic),
            // What is wrong with it is told below.
            Some(None) => (self.project_id.as_str(), ""),
            None => (self.project_id.as_str(), self.topic.as_str()),
        };
        if project.is_empty() || !project.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.:".contains(&byte)) {
            problems.error("projectID", Place::Nowhere, "no project can be called so", "write the project's id, not its name");
        }
        if !is_topic(topic) {
            let fix =
                "3 to 255 of: ASCII letters, digits, `-`, `_`, `.`, `~`, `+`, `%`; a letter first, and not `goog`; or projects/P/topics/T";
            problems.error("topic", Place::Nowhere, "no topic can be called so", fix);
        }
        if self.timeout.0.is_zero() {
            problems.error("timeout", Place::Nowhere, "no request can end in no time", "write a duration: 30s");
        }
        let keys = AccessKeys { endpoint: &self.endpoint, file: &self.credentials_file, text: None, emulator };
        let access = Access::check(keys, problems)?;
        let topic = format!("projects/{project}/topics/{topic}");
        Some(PubSubConfig { topic, ordering: self.ordering_key, access, timeout: self.timeout.0 })
    }
}

/// The service's rule.
fn is_topic(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~+%".contains(&byte);
    (3..=255).contains(&id.len())
        && id.starts_with(|first: char| first.is_ascii_alphabetic())
        && !id.starts_with("goog")
        && id.bytes().all(plain)
}

const MISSING: &str = "create the topic, or correct `projectID` and `topic`";
const RIGHTS: &str = "the role roles/pubsub.publisher on the topic";

impl PubSubConfig {
    /// Where messages go, in words.
    fn place(&self) -> String {
        match self.access.endpoint() {
            Some(endpoint) => format!("topic {} at {endpoint}", self.topic),
            None => format!("topic {}", self.topic),
        }
    }

    fn placed(&self, verdict: Verdict) -> Verdict {
        Verdict { reason: format!("{}: {}", self.place(), verdict.reason), ..verdict }
    }

    /// What delivery is told when nothing was delivered.
    pub(super) fn failure(&self, verdict: Verdict) -> ExportError {
        self.placed(verdict).failure(MISSING, RIGHTS)
    }

    /// What a probe says.
    pub(super) fn probe_error(&self, verdict: Verdict) -> ProbeError {
        probe_error(self.placed(verdict), MISSING, RIGHTS)
    }
}

#[cfg(test)]
mod tests {
    use flagpost_settings::{Node, decode};
    use serde_json::{Value, json};

    use super::*;

    fn read(keys: Value) -> (Option<PubSubConfig>, Vec<String>) {
        let mut problems = Problems::default();
        let keys: Keys = decode(&Node::from(keys), "", &mut problems);
        let config = keys.check(&mut problems, None);
        (config, problems.finish().0.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_topic_is_an_id_or_a_whole_name() {
        for (topic, expected) in [
            ("events", "projects/mine/topics/events"),
            ("projects/theirs/topics/events", "projects/theirs/topics/events"),
            ("projects/acme.com:theirs/topics/e.v-e_n~t+s%20", "projects/acme.com:theirs/topics/e.v-e_n~t+s%20"),
        ] {
            let (config, problems) = read(json!({ "projectID": "mine", "topic": topic }));
            assert_eq!((config.map(|config| config.topic).as_deref(), problems), (Some(expected), Vec::new()), "{topic}");
        }
    }

    #[test]
    fn what_cannot_be_is_told() {
        let cases = [
            (json!({"topic": "ev"}), "topic: no topic can be called so"),
            (json!({"topic": "goog-events"}), "topic: no topic can be called so"),
            (json!({"topic": "1events"}), "topic: no topic can be called so"),
            (json!({"topic": "a/b/c"}), "topic: no topic can be called so"),
            (json!({"topic": "projects/p/subscriptions/s"}), "topic: no topic can be called so"),
            (json!({"topic": "projects//topics/events"}), "projectID: no project can be called so"),
            (json!({"projectID": "My Project"}), "projectID: no project can be called so"),
            (json!({"timeout": "0s"}), "timeout: no request can end in no time"),
            (json!({"orderingKey": "userkey"}), "orderingKey: expected one of"),
            (json!({"endpoint": "here"}), "endpoint: is no address of a service"),
        ];
        for (mut keys, expected) in cases {
            for (key, value) in [("projectID", "mine"), ("topic", "events")] {
                if keys.get(key).is_none() {
                    keys[key] = json!(value);
                }
            }
            let (_, problems) = read(keys.clone());
            assert!(problems.iter().any(|problem| problem.starts_with(expected)), "{keys}: {problems:?}");
        }
    }
}
