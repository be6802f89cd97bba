//! The `bigquery` exporter's keys.

use std::sync::Arc;
use std::time::Duration;

use flagpost_event::EventKind;
use flagpost_settings::{Place, Problems, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::invalid;
use crate::google::{Access, AccessKeys};
use crate::kind::Kind;
use crate::{BuildContext, Exporter, Secret};

use super::BigQueryExporter;

/// Upstream's default table, for tracking events, too.
const DEFAULT_TABLE: &str = "feature_flag_evaluations";

/// How long an attempt may take: BigQuery answers in less than a second, but making a stream can take 25 of them when many are made.
const DEFAULT_TIMEOUT: Span = Span::seconds(30);

/// Rows of a Google BigQuery table.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Keys {
    /// Mandatory. The project's id.
    #[serde(rename = "projectID")]
    project_id: String,
    /// Mandatory. The dataset's id.
    #[serde(rename = "datasetID")]
    dataset_id: String,
    /// The table, for tracking events, too. The two kinds have different columns.
    table_name: String,
    /// Ours. The table of tracking events; mandatory with `eventType: all`. Default: `tableName`.
    tracking_table_name: String,
    /// Credentials as JSON text; without them and without `credentialsFile`, the application default ones.
    google_credentials: Option<Secret>,
    /// Ours. A file with credentials; it is read again when they are refused.
    credentials_file: String,
    /// Before the first batch, makes the table and its dataset when they are missing, and adds columns that the table lacks.
    auto_migrate: bool,
    /// Ours. How rows are written.
    write_api: WriteApi,
    /// Ours. Another address of the BigQuery API (REST), of an emulator for one: `http://host:port`.
    endpoint: String,
    /// Ours. Another address of the Storage Write API (gRPC).
    storage_endpoint: String,
    /// Ours. How long an attempt may take.
    timeout: Span,
}

impl Default for Keys {
    fn default() -> Self {
        Keys {
            project_id: String::new(),
            dataset_id: String::new(),
            table_name: DEFAULT_TABLE.to_owned(),
            tracking_table_name: String::new(),
            google_credentials: None,
            credentials_file: String::new(),
            auto_migrate: false,
            write_api: WriteApi::Storage,
            endpoint: String::new(),
            storage_endpoint: String::new(),
            timeout: DEFAULT_TIMEOUT,
        }
    }
}

/// How rows are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum WriteApi {
    /// The Storage Write API: each event is one row, whatever fails.
    #[default]
    Storage,
    /// Upstream's `tabledata.insertAll`, which costs more; a row may come twice after a failure.
    InsertAll,
}

/// A checked configuration.
#[derive(Clone, Debug)]
pub(super) struct BigQueryConfig {
    pub(super) project: String,
    pub(super) dataset: String,
    table: String,
    tracking_table: String,
    /// The kinds of events that come.
    pub(super) events: Vec<EventKind>,
    pub(super) auto_migrate: bool,
    pub(super) write_api: WriteApi,
    pub(super) rest: Access,
    pub(super) storage: Access,
    pub(super) timeout: Duration,
}

impl BigQueryConfig {
    /// The table of a kind of events.
    pub(super) fn table(&self, kind: EventKind) -> &str {
        match kind {
            EventKind::Feature => &self.table,
            EventKind::Tracking => &self.tracking_table,
        }
    }

    /// The table as people write it.
    pub(super) fn shown(&self, kind: EventKind) -> String {
        format!("{}.{}.{}", self.project, self.dataset, self.table(kind))
    }

    /// The table as the Storage Write API names it.
    pub(super) fn resource(&self, kind: EventKind) -> String {
        format!("projects/{}/datasets/{}/tables/{}", self.project, self.dataset, self.table(kind))
    }
}

impl Kind for Keys {
    const NAME: &'static str = "bigquery";
    const LOCATION: &'static [&'static str] = &["projectID", "datasetID", "tableName"];

    fn build(self, problems: &mut Problems, context: &BuildContext) -> Option<Arc<dyn Exporter>> {
        let config = self.check(problems, &context.events)?;
        if problems.has_errors() { None } else { Some(Arc::new(BigQueryExporter::new(config))) }
    }
}

impl Keys {
    pub(super) fn check(self, problems: &mut Problems, events: &[EventKind]) -> Option<BigQueryConfig> {
        if self.project_id.is_empty() || self.dataset_id.is_empty() {
            let missing = if self.project_id.is_empty() { "projectID" } else { "datasetID" };
            let what = "\"projectID\" and \"datasetID\" are required for kind \"bigquery\"";
            invalid(problems, missing, what, format!("set `{missing}`"));
            return None;
        }
        let table = if self.table_name.is_empty() { DEFAULT_TABLE.to_owned() } else { self.table_name };
        let tracking_table = if self.tracking_table_name.is_empty() { table.clone() } else { self.tracking_table_name };
        for (key, id) in [
            ("projectID", &self.project_id),
            ("datasetID", &self.dataset_id),
            ("tableName", &table),
            ("trackingTableName", &tracking_table),
        ] {
            if id.contains('/') || id.contains(char::is_control) {
                problems.error(key, Place::Nowhere, "has characters that no such id has", "write the id alone, without the path before it");
            }
        }
        if events.len() > 1 && table == tracking_table {
            let message = "with `eventType: all` each kind of events needs a table of its own: their columns are different";
            problems.error("trackingTableName", Place::Nowhere, message, "set `trackingTableName`, or use two exporters");
        }
        if self.timeout.0.is_zero() {
            problems.error("timeout", Place::Nowhere, "an attempt needs time", "write a number with a unit: 30s");
        }
        let storage = self.write_api == WriteApi::Storage;
        let plain = |endpoint: &str| endpoint.starts_with("http://");
        if storage && plain(&self.endpoint) && self.storage_endpoint.is_empty() {
            let message = "`endpoint` is an emulator's, and rows would go to Google";
            problems.error("storageEndpoint", Place::Nowhere, message, "set the emulator's gRPC address, or `writeApi: insertAll`");
        }
        if plain(&self.storage_endpoint) && self.endpoint.is_empty() {
            let message = "`storageEndpoint` is an emulator's, and tables would be made at Google";
            problems.error("endpoint", Place::Nowhere, message, "set the emulator's REST address");
        }
        let keys = |endpoint| AccessKeys {
            endpoint,
            file: &self.credentials_file,
            text: self.google_credentials.as_ref().map(|text| ("googleCredentials", text)),
            emulator: None,
        };
        let rest = Access::check(keys(&self.endpoint), problems)?;
        let storage = Access::check(keys(&self.storage_endpoint), problems)?;
        Some(BigQueryConfig {
            project: self.project_id,
            dataset: self.dataset_id,
            table,
            tracking_table,
            events: events.to_vec(),
            auto_migrate: self.auto_migrate,
            write_api: self.write_api,
            rest,
            storage,
            timeout: self.timeout.0,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    fn check(keys: Value, events: &[EventKind]) -> Result<BigQueryConfig, String> {
        let keys: Keys = serde_json::from_value(keys).unwrap();
        let mut problems = Problems::default();
        let config = keys.check(&mut problems, events);
        match config.filter(|_| !problems.has_errors()) {
            Some(config) => Ok(config),
            None => Err(problems.finish().0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
        }
    }

    #[test]
    fn upstreams_defaults_hold_and_each_kind_has_a_table() {
        let upstreams = json!({ "projectID": "p", "datasetID": "d" });
        let config = check(upstreams.clone(), &[EventKind::Tracking]).unwrap();
        assert_eq!(config.shown(EventKind::Tracking), "p.d.feature_flag_evaluations");
        assert_eq!((config.write_api, config.auto_migrate, config.rest.endpoint()), (WriteApi::Storage, false, None));
        let said = check(upstreams, &EventKind::ALL).unwrap_err();
        assert!(said.starts_with("trackingTableName: with `eventType: all` each kind of events needs a table of its own"), "{said}");
        let both = json!({ "projectID": "p", "datasetID": "d", "tableName": "a", "trackingTableName": "b" });
        let config = check(both, &EventKind::ALL).unwrap();
        assert_eq!(
            (config.shown(EventKind::Feature).as_str(), config.resource(EventKind::Tracking).as_str()),
            ("p.d.a", "projects/p/datasets/d/tables/b")
        );
    }

    #[test]
    fn what_cannot_be_is_told() {
        let with = |more: Value| {
            let mut keys = json!({ "projectID": "p", "datasetID": "d" });
            keys.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            check(keys, &[EventKind::Feature]).map(|_| ()).unwrap_err()
        };
        let cases = [
            (json!({ "endpoint": "http://127.0.0.1:9050" }), "storageEndpoint: `endpoint` is an emulator's, and rows would go to Google"),
            (json!({ "storageEndpoint": "http://127.0.0.1:9060" }), "endpoint: `storageEndpoint` is an emulator's"),
            (json!({ "tableName": "projects/p/datasets/d/tables/t" }), "tableName: has characters"),
            (json!({ "timeout": "0s" }), "timeout: an attempt needs time"),
            (json!({ "googleCredentials": "hunter2" }), "googleCredentials: is no JSON"),
            (json!({ "endpoint": "bigquery" }), "endpoint: is no address of a service"),
        ];
        for (keys, expected) in cases {
            let said = with(keys);
            assert!(said.contains(expected) && !said.contains("hunter2"), "{said}");
        }
        let rest = json!({ "projectID": "p", "datasetID": "d", "endpoint": "http://127.0.0.1:9050", "writeApi": "insertAll" });
        assert!(check(rest, &[EventKind::Feature]).is_ok());
    }
}
