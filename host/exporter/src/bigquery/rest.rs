//! The REST API: tables and insertAll. Four calls with bodies of our own; Google's library has no insertAll.

use flagpost_event::EventKind;
use http::{HeaderMap, Method, StatusCode, header};
use serde::Serialize;
use serde_json::Value;
use url::Url;

use crate::google::{Advice, Meaning, Verdict, chain, judge_reply};

use super::client::Client;
use super::config::BigQueryConfig;

/// A reply that was no success, or none.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The reply's code.
    pub(super) status: Option<StatusCode>,
    pub(super) verdict: Verdict,
}

impl Refusal {
    pub(super) fn is(&self, status: StatusCode) -> bool {
        self.status == Some(status)
    }
}

impl From<Verdict> for Refusal {
    fn from(verdict: Verdict) -> Self {
        Refusal { status: None, verdict }
    }
}

/// Something below a project.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    /// All datasets.
    Datasets,
    /// All tables of the dataset.
    Tables,
    /// The table of a kind of events.
    Table(EventKind),
    /// The same, to insert rows.
    InsertAll(EventKind),
}

impl Client {
    /// Makes a call; the reply's JSON.
    pub(super) async fn call_rest<B: Serialize + ?Sized>(
        &self,
        config: &BigQueryConfig,
        method: Method,
        target: Target,
        body: Option<&B>,
    ) -> Result<Value, Refusal> {
        let url = self.url(config, target)?;
        let mut request = self.http.request(method, url).headers(self.rest_headers().await?);
        if let Some(body) = body {
            let body = serde_json::to_vec(body).map_err(|error| Verdict::passing(format!("a request cannot be written: {error}")))?;
            request = request.header(header::CONTENT_TYPE, "application/json").body(body);
        }
        let failed = |error: reqwest::Error| Refusal::from(Verdict::passing(chain(&error)));
        let reply = request.send().await.map_err(failed)?;
        let (status, headers) = (reply.status(), reply.headers().clone());
        let body = reply.bytes().await.map_err(failed)?;
        read(status, &headers, &body)
    }

    fn url(&self, config: &BigQueryConfig, target: Target) -> Result<Url, Verdict> {
        let wrong = || Verdict {
            meaning: Meaning::Alarm(Advice::Service),
            reason: format!("{} is no address of a service", self.base),
            after: None,
        };
        let mut url = Url::parse(&self.base).map_err(|_| wrong())?;
        {
            let mut path = url.path_segments_mut().map_err(|()| wrong())?;
            path.pop_if_empty().extend(["bigquery", "v2", "projects", config.project.as_str(), "datasets"]);
            match target {
                Target::Datasets => {}
                Target::Tables => {
                    path.extend([config.dataset.as_str(), "tables"]);
                }
                Target::Table(kind) => {
                    path.extend([config.dataset.as_str(), "tables", config.table(kind)]);
                }
                Target::InsertAll(kind) => {
                    path.extend([config.dataset.as_str(), "tables", config.table(kind), "insertAll"]);
                }
            }
        }
        Ok(url)
    }
}

/// A reply's JSON, or what it means that there is none.
pub(super) fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<Value, Refusal> {
    if !status.is_success() {
        return Err(Refusal { status: Some(status), verdict: judge_reply(status.as_u16(), headers, body) });
    }
    match serde_json::from_slice(body) {
        Ok(value) => Ok(value),
        // Something in between answered.
        Err(error) => Err(Verdict::passing(format!("{status} with a body that is no JSON ({error})")).into()),
    }
}
