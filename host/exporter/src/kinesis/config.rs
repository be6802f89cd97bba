//! The `kinesis` exporter's keys.

use std::sync::Arc;

use flagpost_event::Clock;
use flagpost_settings::{Place as Where, Problems, Size};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::aws::{AssumeRole, Connector, Lazy, Patience, Place, Spread, region_of_arn};
use crate::config::invalid;
use crate::kind::Kind;
use crate::{BuildContext, Exporter};

use super::KinesisExporter;
use super::request::Limits;

/// What a stream takes unless somebody raised it (`MaxRecordSizeInKiB`).
const MAX_RECORD: u64 = 1 << 20;

/// What no stream can be raised above.
const MOST_RECORD: u64 = 10 << 20;

/// One record per event on an Amazon Kinesis stream: the data is the event's JSON.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Keys {
    /// The stream's ARN. This or `streamName` is mandatory.
    stream_arn: String,
    /// The stream's name; wins over `streamArn`.
    stream_name: String,
    /// What goes to the same shard, in order: the events of a user (`userKey`), all (`default`: upstream's constant), or no two (`random`).
    partition_key: Spread,
    /// The largest record, partition key included, that the stream is set up to take; at most 10 MiB. A larger event is rejected alone.
    max_record_size: Size,
    /// The service's address, where it is not Amazon's own.
    endpoint: String,
    /// Default: the one in `streamArn` when that names the stream, else the environment's.
    region: String,
    /// A role to take on before anything else.
    assume_role: AssumeRole,
}

impl Default for Keys {
    fn default() -> Self {
        Keys {
            stream_arn: String::new(),
            stream_name: String::new(),
            partition_key: Spread::default(),
            max_record_size: Size(MAX_RECORD),
            endpoint: String::new(),
            region: String::new(),
            assume_role: AssumeRole::default(),
        }
    }
}

/// Which stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Name(String),
    Arn(String),
}

impl Stream {
    pub(super) fn name(&self) -> Option<String> {
        if let Stream::Name(name) = self { Some(name.clone()) } else { None }
    }

    pub(super) fn arn(&self) -> Option<String> {
        if let Stream::Arn(arn) = self { Some(arn.clone()) } else { None }
    }

    /// As it is told.
    pub(super) fn shown(&self) -> String {
        let (Stream::Name(text) | Stream::Arn(text)) = self;
        format!("stream `{text}`")
    }
}

/// A checked configuration.
#[derive(Clone, Debug)]
pub(super) struct KinesisConfig {
    pub(super) stream: Stream,
    pub(super) spread: Spread,
    pub(super) limits: Limits,
    pub(super) place: Place,
}

impl Kind for Keys {
    const NAME: &'static str = "kinesis";
    const LOCATION: &'static [&'static str] = &["streamArn", "streamName", "region", "endpoint"];

    fn build(self, problems: &mut Problems, context: &BuildContext) -> Option<Arc<dyn Exporter>> {
        let config = self.check(problems)?;
        let connector = Connector::new(config.place.clone(), Patience::default());
        let client = Lazy::new(connector, aws_sdk_kinesis::Client::new);
        let clock: Arc<dyn Clock> = Arc::clone(&context.clock);
        Some(Arc::new(KinesisExporter { config, client, clock }))
    }
}

impl Keys {
    pub(super) fn check(self, problems: &mut Problems) -> Option<KinesisConfig> {
        let mut place = Place::check(&self.endpoint, &self.region, &self.assume_role, problems);
        let stream = match (self.stream_name.as_str(), self.stream_arn.as_str()) {
            ("", "") => {
                let what = "no \"streamArn\" or \"streamName\" property found for kind \"kinesis\"";
                invalid(problems, "streamName", what, "set `streamName: my-stream`");
                None
            }
            ("", arn) => {
                let parts = arn.split(':').collect::<Vec<_>>();
                if !matches!(parts[..], ["arn", _, "kinesis", region, _, stream] if !region.is_empty() && stream.starts_with("stream/")) {
                    let fix = "write it as arn:aws:kinesis:eu-west-1:123456789012:stream/my-stream";
                    problems.error("streamArn", Where::Nowhere, "is no ARN of a stream", fix);
                }
                place.region = place.region.or(region_of_arn(arn).map(str::to_owned));
                Some(Stream::Arn(self.stream_arn))
            }
            (name, _) => {
                if name.len() > 128 || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)) {
                    let fix = "1 to 128 of: ASCII letters, digits, `_`, `.`, `-`";
                    problems.error("streamName", Where::Nowhere, "no stream can be called so", fix);
                }
                Some(Stream::Name(self.stream_name))
            }
        };
        if !(1_024..=MOST_RECORD).contains(&self.max_record_size.0) {
            problems.error("maxRecordSize", Where::Nowhere, "no stream has such a limit", "choose from 1KiB to 10MiB");
        }
        if problems.has_errors() {
            return None;
        }
        let limits = Limits { record: usize::try_from(self.max_record_size.0).unwrap_or(usize::MAX) };
        Some(KinesisConfig { stream: stream?, spread: self.partition_key, limits, place })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use flagpost_settings::decode;
    use serde_json::{Value, json};

    use super::*;

    fn read(keys: Value) -> (Option<KinesisConfig>, Vec<String>) {
        let mut problems = Problems::default();
        let keys: Keys = decode(&keys.into(), "", &mut problems);
        let config = keys.check(&mut problems);
        (config, problems.finish().0.iter().map(ToString::to_string).collect())
    }

    const ARN: &str = "arn:aws:kinesis:eu-west-3:123456789012:stream/s";

    #[test]
    fn the_name_wins_and_an_arn_says_its_region() {
        let config = read(json!({ "streamArn": ARN })).0.unwrap();
        assert_eq!((config.stream, config.place.region.as_deref()), (Stream::Arn(ARN.to_owned()), Some("eu-west-3")));
        assert_eq!((config.spread, config.limits.record), (Spread::UserKey, 1 << 20));
        let config = read(json!({ "streamArn": ARN, "region": "us-east-1" })).0.unwrap();
        assert_eq!(config.place.region.as_deref(), Some("us-east-1"));
        let config = read(json!({ "streamArn": ARN, "streamName": "n", "partitionKey": "default", "maxRecordSize": "2MiB" })).0.unwrap();
        assert_eq!((config.stream, config.place.region), (Stream::Name("n".to_owned()), None));
        assert_eq!((config.spread, config.limits.record), (Spread::Default, 2 << 20));
    }

    #[test]
    fn what_cannot_work_is_told_at_start() {
        for (keys, expected) in [
            (json!({}), "streamName: invalid exporter: no \"streamArn\" or \"streamName\" property found for kind \"kinesis\""),
            (json!({ "streamArn": "my-stream" }), "streamArn: is no ARN of a stream"),
            (json!({ "streamName": ARN }), "streamName: no stream can be called so"),
            (json!({ "streamName": "s", "maxRecordSize": "11MiB" }), "maxRecordSize: no stream has such a limit"),
            (json!({ "streamName": "s", "partitionKey": "user" }), "partitionKey: expected"),
            (json!({ "streamName": "s", "endpoint": "localhost" }), "endpoint: is no URL"),
        ] {
            let (config, problems) = read(keys.clone());
            assert!(config.is_none() && problems.len() == 1 && problems[0].starts_with(expected), "{keys}: {problems:?}");
        }
    }
}
