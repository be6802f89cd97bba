//! The client: one HTTP client for tables and insertAll, one gRPC channel for the Storage Write API, and whom both speak as.

use std::time::Duration;

use google_cloud_auth::credentials::{CacheableResource, Credentials};
use http::{Extensions, HeaderMap};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

use crate::google::{Advice, Meaning, Verdict, chain, judge_credentials};

use super::config::BigQueryConfig;

const REST: &str = "https://bigquery.googleapis.com";
const STORAGE: &str = "https://bigquerystorage.googleapis.com";
const AGENT: &str = concat!("flagpost/", env!("CARGO_PKG_VERSION"));

/// A connection is given up after this long; what the attempt may take altogether ends it earlier.
const CONNECT: Duration = Duration::from_secs(10);

/// A connection that is silent that long is asked whether it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Clients of both APIs. Made late, and again after anything went wrong that they may be a part of.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) http: reqwest::Client,
    /// Where the REST API is, without a slash at its end.
    pub(super) base: String,
    pub(super) channel: Channel,
    /// Where the Storage Write API is.
    pub(super) storage_address: String,
    rest: Credentials,
    storage: Credentials,
}

impl Client {
    pub(super) async fn new(config: &BigQueryConfig) -> Result<Client, Verdict> {
        let rest = config.rest.credentials().await?;
        let storage = config.storage.credentials().await?;
        let http = reqwest::Client::builder().user_agent(AGENT).connect_timeout(CONNECT).redirect(reqwest::redirect::Policy::none());
        let http = http.build().map_err(|error| Verdict::passing(format!("no HTTP client can be made: {}", chain(&error))))?;
        let base = config.rest.endpoint().unwrap_or(REST).to_owned();
        let storage_address = config.storage.endpoint().unwrap_or(STORAGE).to_owned();
        Ok(Client { http, base, channel: channel(&storage_address)?, storage_address, rest, storage })
    }

    /// Who we are, for the REST API.
    pub(super) async fn rest_headers(&self) -> Result<HeaderMap, Verdict> {
        headers(&self.rest).await
    }

    /// Who we are, for the Storage Write API.
    pub(super) async fn storage_headers(&self) -> Result<HeaderMap, Verdict> {
        headers(&self.storage).await
    }
}

/// Connects when it is used.
fn channel(address: &str) -> Result<Channel, Verdict> {
    let wrong = |error: tonic::transport::Error| Verdict {
        meaning: Meaning::Alarm(Advice::Service),
        reason: format!("{address} cannot be connected to: {}", chain(&error)),
        after: None,
    };
    let mut endpoint = Endpoint::from_shared(address.to_owned()).map_err(wrong)?.user_agent(AGENT).map_err(wrong)?;
    if address.starts_with("https:") {
        endpoint = endpoint.tls_config(ClientTlsConfig::new().with_enabled_roots()).map_err(wrong)?;
    }
    Ok(endpoint.connect_timeout(CONNECT).tcp_keepalive(Some(KEEP_ALIVE)).http2_keep_alive_interval(KEEP_ALIVE).connect_lazy())
}

async fn headers(credentials: &Credentials) -> Result<HeaderMap, Verdict> {
    match credentials.headers(Extensions::new()).await {
        Ok(CacheableResource::New { data, .. }) => Ok(data),
        Ok(CacheableResource::NotModified) => Ok(HeaderMap::new()),
        Err(error) => Err(judge_credentials(&error)),
    }
}
