//! The admin routes of a relay that runs, for the commands that use them.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;

use super::{complain, find, load_from};
use crate::config::Sources;

/// The relay answers from memory, or from its bookkeeping.
const PATIENCE: Duration = Duration::from_secs(30);
/// What holds the key when no option does.
const KEY: &str = "FLAGPOST_ADMIN_KEY";

/// Which relay.
#[derive(Debug, clap::Args)]
pub(super) struct Address {
    /// The relay's configuration: its port, and a key of `authorizedKeys.admin`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The relay's address, without TLS; before what the configuration says.
    #[arg(long, value_name = "http://HOST:PORT")]
    url: Option<String>,
}

/// A relay and the key to it.
pub(super) struct Relay {
    url: String,
    key: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// Does it, and says what went wrong.
pub(super) fn run(act: impl Future<Output = Result<ExitCode>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = runtime.context("no threads").and_then(|runtime| runtime.block_on(act));
    ended.unwrap_or_else(|error| {
        complain(format_args!("{error:#}"));
        ExitCode::FAILURE
    })
}

impl Relay {
    /// What is missing has been printed.
    pub(super) fn of(address: &Address) -> Result<Relay, ExitCode> {
        let mut key = std::env::var(KEY).ok().filter(|key| !key.is_empty());
        let mut url = address.url.clone();
        if address.config.is_some() || url.is_none() || key.is_none() {
            // The secrets of plugins are no business of this command.
            let file = find(address.config.as_deref())?;
            let config = load_from(&file, &Sources::without_secrets())?.config;
            key = key.or_else(|| config.authorized_keys.admin.first().map(|key| key.reveal().to_owned()));
            if config.server.tls.is_some() && url.is_none() {
                complain("the relay's port speaks TLS, which this command does not: name another address of it with --url http://…");
                return Err(ExitCode::FAILURE);
            }
            url = url.or_else(|| Some(format!("http://{}", listening(&config.server.host, config.server.port))));
        }
        let Some(key) = key else {
            complain(format_args!("no key of an admin: set {KEY}, or `authorizedKeys: {{ admin: [ … ] }}` in the relay's configuration"));
            return Err(ExitCode::FAILURE);
        };
        let client = Client::builder(TokioExecutor::new()).build_http();
        Ok(Relay { url: url.unwrap_or_default().trim_end_matches('/').to_owned(), key, client })
    }

    /// Asks one of the routes of ours; `body` is JSON.
    pub(super) async fn ask<T: DeserializeOwned>(&self, method: &str, route: &str, body: Option<Vec<u8>>) -> Result<T> {
        let url = format!("{}/admin/v1/flagpost/{route}", self.url);
        let request = http::Request::builder().method(method).uri(&url).header("x-api-key", &self.key);
        let request = request.header("content-type", "application/json").body(Full::from(body.unwrap_or_default()));
        let request = request.with_context(|| format!("{url}: expected http://HOST:PORT"))?;
        let answered = async {
            let response = self.client.request(request).await?;
            let status = response.status();
            Ok::<_, anyhow::Error>((status, response.into_body().collect().await?.to_bytes()))
        };
        let answered = tokio::time::timeout(PATIENCE, answered).await.map_err(|_| anyhow!("no answer within {} s", PATIENCE.as_secs()));
        let (status, body) = answered.and_then(|answered| answered).with_context(|| format!("{url}: is the relay running there?"))?;
        if !status.is_success() {
            let value: serde_json::Value =
                serde_json::from_slice(&body).unwrap_or_else(|_| String::from_utf8_lossy(&body).into_owned().into());
            let hint =
                if status == 401 { format!("; the key is taken from {KEY}, else from `authorizedKeys.admin`") } else { String::new() };
            bail!("{url}: {status}: {}{hint}", value["errorDetails"].as_str().or(value["message"].as_str()).unwrap_or(&value.to_string()));
        }
        serde_json::from_slice(&body).with_context(|| format!("{url}: not the answer of a flagpost relay of this version"))
    }
}

/// The address to connect to, where it listens on all.
fn listening(host: &str, port: u16) -> String {
    match host {
        "" | "0.0.0.0" | "::" | "[::]" => format!("127.0.0.1:{port}"),
        host if host.contains(':') && !host.starts_with('[') => format!("[{host}]:{port}"),
        host => format!("{host}:{port}"),
    }
}
