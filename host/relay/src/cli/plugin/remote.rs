//! `flagpost plugin list` and `flagpost plugin reload`: the plugins of a relay that runs, by its admin routes.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::cli::admin::{self, Relay};
use crate::cli::say;

/// Compiling a large component takes a while.
const RELOAD: Duration = Duration::from_secs(300);
/// How often is looked whether the file was tried.
const LOOK: Duration = Duration::from_millis(100);

/// Which relay.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    relay: admin::Address,
    /// Prints the relay's own JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn list(arguments: &Arguments) -> ExitCode {
    run(arguments, async |relay| {
        let answer = plugins(&relay).await?;
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
        let accepted: Value = relay.ask("POST", &format!("plugins/{name}/reload"), None).await?;
        let before = accepted["loads"].as_u64().unwrap_or(0);
        let end = Instant::now() + RELOAD;
        loop {
            let answer = plugins(&relay).await?;
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
    match Relay::of(&arguments.relay) {
        Ok(relay) => admin::run(act(relay)),
        Err(code) => code,
    }
}

async fn plugins(relay: &Relay) -> Result<Value> {
    relay.ask("GET", "plugins", None).await
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
    for (title, value) in [
        ("reason", &plugin["reason"]),
        ("refused", &plugin["refused"]["reason"]),
        ("http.tls", &plugin["certificatesRefused"]),
        ("last error", &plugin["lastError"]),
    ] {
        if let Some(value) = value.as_str() {
            say(format_args!("  {title:<11} {value}"));
        }
    }
}
