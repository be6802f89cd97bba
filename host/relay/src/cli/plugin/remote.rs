//! `flagpost plugin list` and `flagpost plugin reload`: the plugins of a relay that runs, by its admin routes.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use crate::cli::{complain, load, say};

/// The relay answers from memory.
const PATIENCE: Duration = Duration::from_secs(10);
/// Compiling a large component takes a while.
const RELOAD: Duration = Duration::from_secs(300);
/// How often is looked whether the file was tried.
const LOOK: Duration = Duration::from_millis(100);
/// What holds the key when no option does.
const KEY: &str = "FLAGPOST_ADMIN_KEY";

/// Which relay.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The relay's configuration: its port, and a key of `authorizedKeys.admin`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The relay's address, without TLS; before what the configuration says.
    #[arg(long, value_name = "http://HOST:PORT")]
    url: Option<String>,
    /// Prints the relay's own JSON.
    #[arg(long)]
    json: bool,
}

/// A relay and the key to it.
struct Relay {
    url: String,
    key: String,
    client: Client<HttpConnector, Empty<Bytes>>,
}

pub(super) fn list(arguments: &Arguments) -> ExitCode {
    run(arguments, async |relay| {
        let answer = relay.get().await?;
        if arguments.json {
            say(format_args!("{answer:#}"));
        } else {
            let plugins = answer["plugins"].as_array().cloned().unwrap_or_default();
            if plugins.is_empty() {
                say("no plugins");
            }
            plugins.iter().for_each(tell);
        }
        Ok(ExitCode::SUCCESS)
    })
}

pub(super) fn reload(name: &str, arguments: &Arguments) -> ExitCode {
    run(arguments, async |relay| {
        let accepted = relay.ask("POST", &format!("/{name}/reload")).await?;
        let before = accepted["loads"].as_u64().unwrap_or(0);
        let end = Instant::now() + RELOAD;
        loop {
            let answer = relay.get().await?;
            let plugins = answer["plugins"].as_array().cloned().unwrap_or_default();
            let plugin = plugins.into_iter().find(|plugin| plugin["name"] == name).with_context(|| format!("`{name}` is gone"))?;
            if plugin["loads"].as_u64() > Some(before) {
                tell(&plugin);
                let good = plugin["state"] == "ready" && plugin["refused"].is_null();
                return Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
            if Instant::now() > end {
                bail!("`{name}` is still being loaded; see `flagpost plugin list`");
            }
            sleep(LOOK).await;
        }
    })
}

fn run(arguments: &Arguments, act: impl AsyncFnOnce(Relay) -> Result<ExitCode>) -> ExitCode {
    let relay = match Relay::of(arguments) {
        Ok(relay) => relay,
        Err(code) => return code,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = runtime.context("no threads").and_then(|runtime| runtime.block_on(act(relay)));
    ended.unwrap_or_else(|error| {
        complain(format_args!("{error:#}"));
        ExitCode::FAILURE
    })
}

/// A plugin in a few lines.
fn tell(plugin: &Value) {
    let text = |key: &str| plugin[key].as_str().unwrap_or("-").to_owned();
    let generation = plugin["generation"].as_u64().map_or("-".to_owned(), |generation| generation.to_string());
    let loading = plugin["loading"].as_str().map_or_else(String::new, |step| format!(", {step} a file"));
    let slowed =
        if plugin["slowed"] == true { format!(", slowed after {} crashes in a row", plugin["crashesInARow"]) } else { String::new() };
    say(format_args!("{}  {}{loading}{slowed}, generation {generation}", text("name"), text("state")));
    say(format_args!("  file        {}  sha256 {}", text("path"), text("digest")));
    if let Some(image) = plugin["image"].as_str() {
        say(format_args!("  image       {image}"));
    }
    say(format_args!("  interface   {}", text("interface")));
    let granted: Vec<_> = plugin["grants"]["hosts"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    say(format_args!("  may reach   {}", if granted.is_empty() { "nothing".to_owned() } else { granted.join(", ") }));
    for (title, value) in [("reason", &plugin["reason"]), ("refused", &plugin["refused"]["reason"]), ("last error", &plugin["lastError"])] {
        if let Some(value) = value.as_str() {
            say(format_args!("  {title:<11} {value}"));
        }
    }
}

impl Relay {
    fn of(arguments: &Arguments) -> Result<Relay, ExitCode> {
        let mut key = std::env::var(KEY).ok().filter(|key| !key.is_empty());
        let mut url = arguments.url.clone();
        if arguments.config.is_some() || url.is_none() || key.is_none() {
            let config = load(arguments.config.as_deref())?.1.config;
            key = key.or_else(|| config.authorized_keys.admin.first().map(|key| key.reveal().to_owned()));
            if config.server.tls.is_some() && url.is_none() {
                complain("the relay's port speaks TLS, which this command does not: name another address of it with --url http://…");
                return Err(ExitCode::FAILURE);
            }
            url = url.or_else(|| Some(format!("http://{}", address(&config.server.host, config.server.port))));
        }
        let Some(key) = key else {
            complain(format_args!("no key of an admin: set {KEY}, or `authorizedKeys: {{ admin: [ … ] }}` in the relay's configuration"));
            return Err(ExitCode::FAILURE);
        };
        let client = Client::builder(TokioExecutor::new()).build_http();
        Ok(Relay { url: url.unwrap_or_default().trim_end_matches('/').to_owned(), key, client })
    }

    async fn get(&self) -> Result<Value> {
        self.ask("GET", "").await
    }

    async fn ask(&self, method: &str, rest: &str) -> Result<Value> {
        let url = format!("{}/admin/v1/flagpost/plugins{rest}", self.url);
        let request = http::Request::builder().method(method).uri(&url).header("x-api-key", &self.key).body(Empty::new());
        let request = request.with_context(|| format!("{url}: expected http://HOST:PORT"))?;
        let answered = async {
            let response = self.client.request(request).await?;
            let status = response.status();
            Ok::<_, anyhow::Error>((status, response.into_body().collect().await?.to_bytes()))
        };
        let answered = timeout(PATIENCE, answered).await.map_err(|_| anyhow!("no answer within {} s", PATIENCE.as_secs()));
        let (status, body) = answered.and_then(|answered| answered).with_context(|| format!("{url}: is the relay running there?"))?;
        let value: Value = serde_json::from_slice(&body).unwrap_or_else(|_| String::from_utf8_lossy(&body).into_owned().into());
        if !status.is_success() {
            let hint =
                if status == 401 { format!("; the key is taken from {KEY}, else from `authorizedKeys.admin`") } else { String::new() };
            bail!("{url}: {status}: {}{hint}", value["errorDetails"].as_str().or(value["message"].as_str()).unwrap_or(&value.to_string()));
        }
        Ok(value)
    }
}

/// The address to connect to, where it listens on all.
fn address(host: &str, port: u16) -> String {
    match host {
        "" | "0.0.0.0" | "::" | "[::]" => format!("127.0.0.1:{port}"),
        host if host.contains(':') && !host.starts_with('[') => format!("[{host}]:{port}"),
        host => format!("{host}:{port}"),
    }
}
