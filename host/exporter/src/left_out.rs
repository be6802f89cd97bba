//! Upstream's kinds that this build leaves out (a cargo feature each): their keys, and upstream's rules on them.
//!
//! So a configuration is checked as a whole, and an editor completes it, and the problem that is told is the build, not an unknown kind.

#[cfg(not(feature = "kafka"))]
use std::collections::BTreeMap;
use std::sync::Arc;

use flagpost_settings::{Place, Problems};
use schemars::JsonSchema;
use serde::Deserialize;
#[cfg(not(feature = "kafka"))]
use serde_json::Value;

#[cfg(not(all(feature = "azure", feature = "bigquery")))]
use crate::Secret;
#[cfg(not(all(feature = "bigquery", feature = "kafka", feature = "kinesis", feature = "pubsub")))]
use crate::config::invalid;
#[cfg(not(all(feature = "azure", feature = "googlestorage", feature = "s3", feature = "sqs")))]
use crate::config::require;
use crate::kind::Kind;
#[cfg(not(all(feature = "azure", feature = "googlestorage", feature = "s3")))]
use crate::name::Join;
#[cfg(not(all(feature = "azure", feature = "googlestorage", feature = "s3")))]
use crate::objects::object_keys;
use crate::{BuildContext, Exporter, kinds};

/// Upstream's default name of the tracer.
#[cfg(not(feature = "opentelemetry"))]
const DEFAULT_TRACER: &str = "go-feature-flag";

/// The complaint that ends each of them.
fn not_served(problems: &mut Problems, kind: &str) -> Option<Arc<dyn Exporter>> {
    if !problems.has_errors() {
        let served: Vec<&str> = kinds().iter().filter(|info| info.served).map(|info| info.name).chain(["wasm"]).collect();
        let help = format!("build flagpost with the feature of this kind, or choose another: {}", flagpost_settings::list(&served));
        problems.error("kind", Place::Nowhere, format!("kind \"{kind}\" was left out of this build"), help);
    }
    None
}

macro_rules! kind {
    ($type:ident $name:literal $location:expr, $check:expr) => {
        impl Kind for $type {
            const NAME: &'static str = $name;
            const LOCATION: &'static [&'static str] = &$location;
            const SERVED: bool = false;

            fn build(self, problems: &mut Problems, context: &BuildContext) -> Option<Arc<dyn Exporter>> {
                let check: fn(&Self, &mut Problems, &BuildContext) = $check;
                check(&self, problems, context);
                not_served(problems, $name)
            }
        }
    };
}

#[cfg(not(feature = "s3"))]
object_keys! {
    /// Objects in an Amazon S3 bucket. This program was built without it (cargo feature `s3`).
    S3 {
        /// Mandatory. The bucket.
        bucket: String = String::new(),
    }
}
#[cfg(not(feature = "s3"))]
kind!(S3 "s3" ["bucket", "path", "filename"], |keys, problems, context| {
    require(problems, "s3", "bucket", &keys.bucket, "my-bucket");
    keys.objects(Join::Slash).check(problems, context);
});

#[cfg(not(feature = "googlestorage"))]
object_keys! {
    /// Objects in a Google Cloud Storage bucket. This program was built without it (cargo feature `googlestorage`).
    GoogleStorage {
        /// Mandatory. The bucket.
        bucket: String = String::new(),
    }
}
#[cfg(not(feature = "googlestorage"))]
kind!(GoogleStorage "googleStorage" ["bucket", "path", "filename"], |keys, problems, context| {
    require(problems, "googleStorage", "bucket", &keys.bucket, "my-bucket");
    keys.objects(Join::Clean).check(problems, context);
});

#[cfg(not(feature = "azure"))]
object_keys! {
    /// Block blobs in an Azure storage container. This program was built without it (cargo feature `azure`).
    AzureBlobStorage {
        /// Mandatory. The container.
        container: String = String::new(),
        /// Mandatory. The storage account.
        account_name: String = String::new(),
        /// The account's key; without one, the environment's, the workload's or the machine's identity.
        account_key: Option<Secret> = None,
    }
}
#[cfg(not(feature = "azure"))]
kind!(AzureBlobStorage "azureBlobStorage" ["accountName", "container", "path", "filename"], |keys, problems, context| {
    require(problems, "azureBlobStorage", "container", &keys.container, "my-container");
    require(problems, "azureBlobStorage", "accountName", &keys.account_name, "my-account");
    keys.objects(Join::SlashAfterPath).check(problems, context);
});

/// One Kafka message per event; the key is the event's user key. This program was built without it (cargo feature `kafka`).
#[cfg(not(feature = "kafka"))]
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Kafka {
    /// Mandatory. Where messages go and how.
    kafka: KafkaTarget,
}

/// A topic and its brokers.
#[cfg(not(feature = "kafka"))]
#[derive(Debug, Default, Deserialize, serde::Serialize, JsonSchema)]
#[serde(default)]
struct KafkaTarget {
    /// Mandatory. The topic.
    topic: String,
    /// Mandatory. Brokers as `host:port`; one text may hold several, with commas between them.
    addresses: Vec<String>,
    /// Settings of the producer, with the names of upstream's library: `net.sasl.user`, `producer.compression`, …
    config: BTreeMap<String, Value>,
}
#[cfg(not(feature = "kafka"))]
kind!(Kafka "kafka" ["kafka.topic", "kafka.addresses"], |keys, problems, _| {
    let target = &keys.kafka;
    let addresses = target.addresses.iter().flat_map(|text| text.split(',')).filter(|address| !address.trim().is_empty());
    if target.topic.is_empty() || addresses.count() == 0 {
        // Upstream's words, letter by letter.
        let what = "\"kakfa.topic\" and \"kafka.addresses\" are required for kind \"kafka\"";
        invalid(problems, "kafka", what, "set `kafka: { topic: my-topic, addresses: [ \"broker:9092\" ] }`");
    }
});

/// One record per event on an Amazon Kinesis stream. This program was built without it (cargo feature `kinesis`).
#[cfg(not(feature = "kinesis"))]
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Kinesis {
    /// The stream's ARN. This or `streamName` is mandatory.
    stream_arn: String,
    /// The stream's name; wins over `streamArn`.
    stream_name: String,
}
#[cfg(not(feature = "kinesis"))]
kind!(Kinesis "kinesis" ["streamArn", "streamName"], |keys, problems, _| {
    if keys.stream_arn.is_empty() && keys.stream_name.is_empty() {
        let what = "no \"streamArn\" or \"streamName\" property found for kind \"kinesis\"";
        invalid(problems, "streamName", what, "set `streamName: my-stream`");
    }
});

/// One message per event on an Amazon SQS queue. This program was built without it (cargo feature `sqs`).
#[cfg(not(feature = "sqs"))]
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Sqs {
    /// Mandatory. The queue's URL.
    queue_url: String,
}
#[cfg(not(feature = "sqs"))]
kind!(Sqs "sqs" ["queueUrl"], |keys, problems, _| {
    require(problems, "sqs", "queueUrl", &keys.queue_url, "https://sqs.eu-west-1.amazonaws.com/123456789012/my-queue");
});

/// One message per event on a Google Cloud Pub/Sub topic. This program was built without it (cargo feature `pubsub`).
#[cfg(not(feature = "pubsub"))]
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct PubSub {
    /// Mandatory. The project's id.
    #[serde(rename = "projectID")]
    project_id: String,
    /// Mandatory. The topic's id, or `projects/P/topics/T`.
    topic: String,
}
#[cfg(not(feature = "pubsub"))]
kind!(PubSub "pubsub" ["projectID", "topic"], |keys, problems, _| {
    if keys.project_id.is_empty() || keys.topic.is_empty() {
        let missing = if keys.project_id.is_empty() { "projectID" } else { "topic" };
        let what = "\"projectID\" and \"topic\" are required for kind \"pubsub\"";
        invalid(problems, missing, what, format!("set `{missing}`"));
    }
});

/// Rows of a Google BigQuery table. This program was built without it (cargo feature `bigquery`).
#[cfg(not(feature = "bigquery"))]
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct BigQuery {
    /// Mandatory. The project's id.
    #[serde(rename = "projectID")]
    project_id: String,
    /// Mandatory. The dataset's id.
    #[serde(rename = "datasetID")]
    dataset_id: String,
    /// The table.
    table_name: String,
    /// Credentials as JSON text.
    google_credentials: Option<Secret>,
    /// Makes the dataset and the table when they are missing.
    auto_migrate: bool,
}
#[cfg(not(feature = "bigquery"))]
kind!(BigQuery "bigquery" ["projectID", "datasetID", "tableName"], |keys, problems, _| {
    if keys.project_id.is_empty() || keys.dataset_id.is_empty() {
        let missing = if keys.project_id.is_empty() { "projectID" } else { "datasetID" };
        let what = "\"projectID\" and \"datasetID\" are required for kind \"bigquery\"";
        invalid(problems, missing, what, format!("set `{missing}`"));
    }
});

/// One OpenTelemetry span per event. This program was built without it (cargo feature `opentelemetry`).
#[cfg(not(feature = "opentelemetry"))]
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct OpenTelemetry {
    /// The tracer's name.
    tracer_name: String,
}

#[cfg(not(feature = "opentelemetry"))]
impl Default for OpenTelemetry {
    fn default() -> Self {
        OpenTelemetry { tracer_name: DEFAULT_TRACER.to_owned() }
    }
}
#[cfg(not(feature = "opentelemetry"))]
kind!(OpenTelemetry "opentelemetry" ["tracerName"], |_, _, _| ());
