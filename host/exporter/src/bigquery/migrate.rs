//! Tables: whether they are there with the columns that are written, and making them so.

use flagpost_event::EventKind;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::ExportError;
use crate::google::{Advice, Meaning, Verdict};

use super::client::Client;
use super::config::BigQueryConfig;
use super::messages::{REQUIRED, TableSchema, type_name};
use super::outcome::{failure, unfit};
use super::rest::{Refusal, Target};
use super::schema::{Column, Found, columns, difference};

const NO_BODY: Option<&Value> = None;

/// Makes what is missing: the table, its dataset when there is none, columns. Somebody else may do the same at the same time (409).
pub(super) async fn migrate(client: &Client, config: &BigQueryConfig, kind: EventKind) -> Result<(), ExportError> {
    let failed = |refusal: Refusal| failure(config, kind, not_the_events(refusal.verdict));
    let mut table = client.call_rest(config, Method::GET, Target::Table(kind), NO_BODY).await;
    if table.as_ref().is_err_and(|refusal| refusal.is(StatusCode::NOT_FOUND)) {
        create(client, config, kind).await.map_err(failed)?;
        tracing::info!(table = config.shown(kind), "the table was made");
        table = client.call_rest(config, Method::GET, Target::Table(kind), NO_BODY).await;
    }
    let table = table.map_err(failed)?;
    let difference = difference(kind, &of_rest(&table));
    if !difference.missing.is_empty() && difference.wrong.is_empty() {
        let mut fields = table["schema"]["fields"].as_array().cloned().unwrap_or_default();
        fields.extend(difference.missing.iter().map(field));
        let schema = json!({ "schema": { "fields": fields } });
        client.call_rest(config, Method::PATCH, Target::Table(kind), Some(&schema)).await.map_err(failed)?;
        let names: Vec<&str> = difference.missing.iter().map(|column| column.name).collect();
        tracing::info!(table = config.shown(kind), columns = names.join(", "), "columns were added to the table");
        return Ok(());
    }
    difference.words().map_or(Ok(()), |words| Err(unfit(config, kind, &words)))
}

async fn create(client: &Client, config: &BigQueryConfig, kind: EventKind) -> Result<(), Refusal> {
    let reference = json!({ "projectId": config.project, "datasetId": config.dataset, "tableId": config.table(kind) });
    let fields: Vec<Value> = columns(kind).iter().map(field).collect();
    let table = json!({ "tableReference": reference, "schema": { "fields": fields } });
    let dataset = json!({ "datasetReference": { "projectId": config.project, "datasetId": config.dataset } });
    match client.call_rest(config, Method::POST, Target::Datasets, Some(&dataset)).await {
        Ok(_) => tracing::info!(dataset = config.dataset, "the dataset was made"),
        // Whether it is there, the table tells. Who may not make datasets may have one all the same.
        Err(refusal) if refusal.is(StatusCode::CONFLICT) || refusal.verdict.meaning == Meaning::Alarm(Advice::Rights) => {}
        Err(refusal) => return Err(refusal),
    }
    match client.call_rest(config, Method::POST, Target::Tables, Some(&table)).await {
        Err(refusal) if refusal.is(StatusCode::CONFLICT) => Ok(()),
        made => made.map(drop),
    }
}

/// Whether the table is there and fits. Who may not look at it is believed that it does.
pub(super) async fn check(client: &Client, config: &BigQueryConfig, kind: EventKind) -> Result<(), ExportError> {
    match client.call_rest(config, Method::GET, Target::Table(kind), NO_BODY).await {
        Err(refusal) if refusal.verdict.meaning == Meaning::Alarm(Advice::Rights) => {
            tracing::debug!(table = config.shown(kind), reason = refusal.verdict.reason, "the table's columns may not be looked at");
            Ok(())
        }
        looked => judged(config, kind, looked),
    }
}

/// The same for a probe, which believes nothing: "ok" is what was seen.
pub(super) async fn look(client: &Client, config: &BigQueryConfig, kind: EventKind) -> Result<(), ExportError> {
    judged(config, kind, client.call_rest(config, Method::GET, Target::Table(kind), NO_BODY).await)
}

fn judged(config: &BigQueryConfig, kind: EventKind, looked: Result<Value, Refusal>) -> Result<(), ExportError> {
    let table = looked.map_err(|refusal| failure(config, kind, not_the_events(refusal.verdict)))?;
    fits(config, kind, &of_rest(&table))
}

/// Whether a stream's table has the columns. Services that do not tell are believed.
pub(super) fn check_stream(config: &BigQueryConfig, kind: EventKind, schema: Option<&TableSchema>) -> Result<(), ExportError> {
    match schema {
        Some(schema) if !schema.fields.is_empty() => fits(config, kind, &of_stream(schema)),
        _ => Ok(()),
    }
}

fn fits(config: &BigQueryConfig, kind: EventKind, found: &[Found]) -> Result<(), ExportError> {
    difference(kind, found).words().map_or(Ok(()), |words| Err(unfit(config, kind, &words)))
}

/// No event is part of calls about tables: what is wrong with one is wrong with the configuration.
fn not_the_events(verdict: Verdict) -> Verdict {
    match verdict.meaning {
        Meaning::Refused => Verdict { meaning: Meaning::Alarm(Advice::Service), ..verdict },
        _ => verdict,
    }
}

fn field(column: &Column) -> Value {
    json!({ "name": column.name, "type": column.of.name(), "mode": "NULLABLE" })
}

fn of_rest(table: &Value) -> Vec<Found> {
    let fields = table["schema"]["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |field: &Value, key: &str| field[key].as_str().unwrap_or_default().to_owned();
    let found = |field: &Value| Found {
        name: text(field, "name"),
        of: text(field, "type"),
        required: field["mode"] == "REQUIRED" && field["defaultValueExpression"].is_null(),
    };
    fields.iter().map(found).collect()
}

fn of_stream(schema: &TableSchema) -> Vec<Found> {
    let found = |field: &super::messages::TableField| Found {
        name: field.name.clone(),
        of: type_name(field.of).to_owned(),
        required: field.mode == REQUIRED && field.default_value.is_empty(),
    };
    schema.fields.iter().map(found).collect()
}
