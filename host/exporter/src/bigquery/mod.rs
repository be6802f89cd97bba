//! The `bigquery` exporter: one row per event, in upstream's columns.
//!
//! # What is promised
//! * **`writeApi: storage`** (the default): exactly once, also over crashes of the relay; see `stream.rs` for how and for where it ends.
//! * **`writeApi: insertAll`**: at least once. BigQuery knows rows again by their insertId for a minute or so, on a best effort. Upstream makes
//!   it of key, user and second, so that different events are taken for one; ours names the event within its batch.
//! * Rows that BigQuery refuses are rejected one by one with its words, the others of the batch are written. A table has no order; batches
//!   come one after the other.
//! * Tables are looked at once, before the first batch, not at each flush.
//!
//! # How
//! `schema.rs` has the columns, `request.rs` makes one request of a batch, `storage.rs` and `rest.rs` send it with the clients of `client.rs`,
//! `outcome.rs` says what the reply means. `migrate.rs` sees to tables. Nothing is remembered of a client that could not be made, or that
//! something went wrong with: the next attempt makes another.

mod client;
mod config;
mod messages;
mod migrate;
mod outcome;
mod request;
mod rest;
mod schema;
mod storage;
mod stream;

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use flagpost_event::{EventBatch, EventKind, ObjectPlan};
use http::Method;
use prost::Message;

use crate::google::{Advice, Lazy, Meaning};
use crate::{ExportError, Exporter, Limits, PlanFacts, ProbeError};
use client::Client;
pub(crate) use config::Keys;
use config::{BigQueryConfig, WriteApi};
use outcome::{Answer, Reply, failure, trouble};
use request::Insert;
use rest::Target;
use storage::Trouble;
use stream::Tails;

#[derive(Debug)]
struct BigQueryExporter {
    config: BigQueryConfig,
    client: Lazy<Client>,
    /// Kinds of events whose table was looked at.
    ready: Mutex<HashSet<EventKind>>,
    tails: Tails,
}

impl BigQueryExporter {
    fn new(config: BigQueryConfig) -> Self {
        BigQueryExporter { config, client: Lazy::default(), ready: Mutex::default(), tails: Tails::default() }
    }

    /// Runs `work` with a client, for so long as an attempt may take. After trouble that the client may be a part of, the next attempt makes
    /// another.
    async fn with_client<T>(&self, kind: EventKind, work: impl AsyncFnOnce(&Client) -> Result<T, ExportError>) -> Result<T, ExportError> {
        let all = async {
            let client = self.client.get(Client::new(&self.config)).await.map_err(|verdict| failure(&self.config, kind, verdict))?;
            work(&client).await
        };
        let seconds = self.config.timeout.as_secs_f32();
        let result = tokio::time::timeout(self.config.timeout, all).await;
        let result = result.unwrap_or_else(|_| Err(ExportError::retryable(format!("BigQuery did not answer within {seconds} s"))));
        if matches!(result, Err(ExportError::Retryable { .. } | ExportError::Misconfigured { .. })) {
            self.client.clear();
        }
        result
    }

    /// Sees to the table, once. Streams bring its columns with them; insertAll has to ask.
    async fn prepare(&self, client: &Client, kind: EventKind) -> Result<(), ExportError> {
        if self.ready().contains(&kind) {
            return Ok(());
        }
        if self.config.auto_migrate {
            migrate::migrate(client, &self.config, kind).await?;
        } else if self.config.write_api == WriteApi::InsertAll {
            migrate::check(client, &self.config, kind).await?;
        }
        self.ready().insert(kind);
        Ok(())
    }

    /// A table that is gone is made again where we make tables. BigQuery may also need a minute to see a new one everywhere.
    fn gone(&self, kind: EventKind, error: ExportError) -> ExportError {
        self.ready().remove(&kind);
        match error {
            ExportError::Misconfigured { reason } if self.config.auto_migrate => ExportError::retryable(reason),
            error => error,
        }
    }

    /// Begins a stream.
    async fn begin(&self, client: &Client, kind: EventKind) -> Result<ObjectPlan, ExportError> {
        self.prepare(client, kind).await?;
        let config = &self.config;
        match client.create_stream(&config.resource(kind)).await {
            Ok(stream) => {
                migrate::check_stream(config, kind, stream.table_schema.as_ref())?;
                Ok(ObjectPlan { name: stream.name, offset: Some(0) })
            }
            Err(Trouble::Said(status)) => {
                let verdict = outcome::verdict(&status);
                let missing = verdict.meaning == Meaning::Alarm(Advice::Missing);
                let error = match failure(config, kind, verdict) {
                    // There is no event in such a call.
                    ExportError::Rejected { reason } => {
                        ExportError::misconfigured(format!("{reason}: check `projectID`, `datasetID` and `tableName`"))
                    }
                    error => error,
                };
                Err(if missing { self.gone(kind, error) } else { error })
            }
            Err(met) => Err(trouble(config, kind, met)),
        }
    }

    async fn append(&self, client: &Client, batch: &EventBatch, plan: &ObjectPlan) -> Result<(), ExportError> {
        let kind = batch.kind();
        let mut rows = request::messages(batch);
        let count = rows.rows.len();
        if count == 0 {
            return partly(rows.rejected);
        }
        let offset = i64::try_from(plan.offset.unwrap_or_default()).unwrap_or(i64::MAX);
        let request = request::append(&plan.name, offset, kind, std::mem::take(&mut rows.rows));
        let size = request.encoded_len();
        if size > request::LARGEST_APPEND {
            return Err(ExportError::rejected(format!("{size} bytes are more than BigQuery takes at once")));
        }
        let reply = match client.append(request).await {
            Ok(response) => Reply::from(response),
            Err(Trouble::Said(status)) => Reply::Status(status),
            Err(met) => return Err(trouble(&self.config, kind, met)),
        };
        match reply {
            Reply::Taken => self.tails.taken(batch.stream(), plan, count),
            Reply::Rows(errors) => return Err(outcome::spoilt(rows, errors)),
            Reply::Status(status) => {
                let taken = NameTaken(&plan.name);
                match outcome::answer(&status) {
                    Answer::There => {}
                    Answer::Elsewhere => return Err(taken.error(batch, &status.message)),
                    Answer::Ended => match client.finalize_stream(&plan.name).await {
                        Ok(rows) if rows >= offset.saturating_add(i64::try_from(count).unwrap_or(i64::MAX)) => {}
                        Ok(_) | Err(Trouble::Said(_)) => return Err(taken.error(batch, &status.message)),
                        Err(met) => return Err(trouble(&self.config, kind, met)),
                    },
                    Answer::Table => return Err(outcome::unfit(&self.config, kind, &status.message)),
                    Answer::Other => return Err(failure(&self.config, kind, outcome::verdict(&status))),
                }
                tracing::info!(batch = %batch.id(), "the rows are in the table since an earlier attempt; they are not written again");
            }
        }
        partly(rows.rejected)
    }

    async fn insert(&self, client: &Client, batch: &EventBatch) -> Result<(), ExportError> {
        let (kind, config) = (batch.kind(), &self.config);
        self.prepare(client, kind).await?;
        let rows = request::insert(batch);
        if rows.rows.is_empty() {
            return partly(rows.rejected);
        }
        match client.call_rest(config, Method::POST, Target::InsertAll(kind), Some(&Insert::of(&rows.rows))).await {
            Ok(reply) => outcome::inserted(config, kind, rows, &reply),
            Err(refusal) => {
                let missing = refusal.verdict.meaning == Meaning::Alarm(Advice::Missing);
                let error = failure(config, kind, refusal.verdict);
                Err(if missing { self.gone(kind, error) } else { error })
            }
        }
    }

    async fn probe_table(&self, client: &Client, kind: EventKind) -> Result<(), ExportError> {
        let config = &self.config;
        if config.write_api == WriteApi::InsertAll {
            return migrate::look(client, config, kind).await;
        }
        match client.default_stream(&config.resource(kind)).await {
            Ok(stream) => migrate::check_stream(config, kind, stream.table_schema.as_ref()),
            Err(error) => Err(trouble(config, kind, error)),
        }
    }

    fn ready(&self) -> std::sync::MutexGuard<'_, HashSet<EventKind>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The planned stream is of no use: another one is planned.
struct NameTaken<'a>(&'a str);

impl NameTaken<'_> {
    fn error(&self, batch: &EventBatch, why: &str) -> ExportError {
        tracing::warn!(batch = %batch.id(), stream = self.0, why, "the write stream is gone; the batch begins another");
        ExportError::NameTaken { name: self.0.to_owned() }
    }
}

/// Everything was delivered but what was no event.
fn partly(rejected: Vec<crate::RejectedEvent>) -> Result<(), ExportError> {
    if rejected.is_empty() { Ok(()) } else { Err(ExportError::Partial { retry: Vec::new(), rejected, after: None }) }
}

#[async_trait]
impl Exporter for BigQueryExporter {
    fn is_bulk(&self) -> bool {
        true
    }

    fn limits(&self) -> Limits {
        match self.config.write_api {
            WriteApi::Storage => Limits { max_bytes: request::MOST_APPENDED, ..Limits::default() },
            WriteApi::InsertAll => {
                Limits { max_events: request::MOST_INSERTED, max_bytes: request::MOST_INSERTED_BYTES, ..Limits::default() }
            }
        }
    }

    fn destination(&self) -> Option<String> {
        match self.config.write_api {
            WriteApi::Storage => Some(format!("bigquery:{}.{}", self.config.project, self.config.dataset)),
            WriteApi::InsertAll => None,
        }
    }

    async fn plan(&self, facts: &PlanFacts<'_>) -> Result<Option<ObjectPlan>, ExportError> {
        if let Some(plan) = self.tails.take(facts.stream) {
            return Ok(Some(plan));
        }
        let kind = facts.stream.kind;
        self.with_client(kind, async |client| self.begin(client, kind).await.map(Some)).await
    }

    async fn export(&self, batch: &EventBatch) -> Result<(), ExportError> {
        let kind = batch.kind();
        self.with_client(kind, async |client| match (batch.object(), self.config.write_api) {
            // The plan decides, not the settings: they may have changed since it was made, and the rows may be where it says.
            (Some(plan), _) => self.append(client, batch, plan).await,
            (None, WriteApi::InsertAll) => self.insert(client, batch).await,
            // An embedding program that plans nothing. What an earlier attempt did is not known then.
            (None, WriteApi::Storage) => {
                let plan = self.begin(client, kind).await?;
                self.append(client, batch, &plan).await
            }
        })
        .await
    }

    async fn probe(&self) -> Result<(), ProbeError> {
        for &kind in &self.config.events {
            let probed = self.with_client(kind, async |client| self.probe_table(client, kind).await).await;
            match probed {
                Ok(()) => {}
                Err(error) => return Err(ProbeError { reason: error.to_string() }),
            }
        }
        Ok(())
    }

    async fn close(&self) {
        self.client.clear();
        self.tails.clear();
    }
}
