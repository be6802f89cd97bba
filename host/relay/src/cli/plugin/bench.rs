//! `flagpost plugin bench`: what a plugin costs, beside the built-in `webhook` with the same events in the same run.
//!
//! Both POST to a sink in this process that answers at once, by turns, so that a busy machine slows both. The numbers are of this machine and
//! moment; their ratio is what can be compared.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use flagpost_event::{BatchId, EventBatch, StreamName};
use flagpost_exporter::Exporter;
use flagpost_plugin::PluginSpec;
use http_body_util::{BodyExt as _, Empty};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

use super::session::Session;
use super::test::events;
use super::validate::named;
use crate::cli::{complain, say};
use crate::config::{self, Format, Sources, Target};

/// Turns of each side; the middle one is reported.
const TURNS: usize = 9;
/// Lines of one piece of a batch: the log gives what was taken together together.
const BLOCK: usize = 100;
/// Calls of which the middle one is reported, where one call is measured.
const CALLS: usize = 15;

/// What is measured with what.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The component.
    file: PathBuf,
    /// What the plugin gets as its `config:`, as YAML or JSON. Every URL in it is led to the sink.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Events, one JSON object per line, repeated as often as needed.
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Events of one call.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
    /// Milliseconds of each turn; there are 9 of the plugin and 9 of the built-in exporter.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    millis: u64,
}

pub(super) fn bench(arguments: &Arguments) -> ExitCode {
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let cache = tempfile::tempdir().context("no directory for compiled code")?;
    let sink = Sink::start()?;
    let spec = spec(arguments, &sink)?;

    let begun = Instant::now();
    let session = Session::start_in(cache.path(), None)?;
    session.load(spec.clone())?;
    let first = begun.elapsed();
    drop(session);
    let begun = Instant::now();
    let session = Session::start_in(cache.path(), None)?;
    let plugin = session.load(spec)?;
    let cached = begun.elapsed();
    say(format_args!("first start, with compiling    {}", shown(first)));
    say(format_args!("start out of the cache         {}", shown(cached)));

    let (stream, lines) = events::read(arguments.events.as_deref())?.swap_remove(0);
    let per_call = plugin.limits().max_events.min(arguments.batch as usize);
    let batches = Batches { stream, lines };
    // Connections and caches of both sides.
    call(&session, &*plugin, &batches.of(per_call))?;
    let posts = sink.requests() > 0;
    let one = batches.of(1);
    say(format_args!("a call with 1 event            {}", shown(middle(CALLS, || call(&session, &*plugin, &one))?)));
    let fresh = middle(CALLS, || {
        plugin.drop_instances();
        call(&session, &*plugin, &one)
    })?;
    say(format_args!("the same in a new instance     {}", shown(fresh)));

    let native = native(&sink)?;
    call(&session, &*native, &batches.of(per_call))?;
    let (batch, turn) = (batches.of(per_call), Duration::from_millis(arguments.millis));
    let tested: Arc<dyn Exporter> = plugin.clone();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        ours.push(per_event(&session, &tested, &batch, turn)?);
        theirs.push(per_event(&session, &native, &batch, turn)?);
    }
    if !posts {
        complain("no request reached the sink: these are times without HTTP; give the plugin a --config with the URL that it asks for");
    }
    let (ours, theirs) = (median(ours), median(theirs));
    say(format_args!("{per_call} events per call, with POST  {:.2} us per event, {:.0} events/s", micros(ours), 1e6 / micros(ours)));
    say(format_args!("the built-in webhook           {:.2} us per event, {:.0} events/s", micros(theirs), 1e6 / micros(theirs)));
    say(format_args!("ratio                          {:.2} of the built-in exporter's events/s", micros(theirs) / micros(ours)));
    say(format_args!("memory of an instance          {:.1} MiB at most", plugin.report().memory_peak as f64 / f64::from(1 << 20)));
    Ok(())
}

/// The plugin with its URLs led to the sink, and granted it.
fn spec(arguments: &Arguments, sink: &Sink) -> Result<PluginSpec> {
    let mut spec = named(&arguments.file);
    if let Some(path) = &arguments.config {
        spec.config = config::read_tree(path)?.to_json();
        lead(&mut spec.config, &sink.origin);
    }
    spec.allowed_hosts = vec![sink.origin.clone()];
    Ok(spec)
}

/// Replaces scheme and host of every URL.
fn lead(value: &mut Value, origin: &str) {
    match value {
        Value::String(text) if text.starts_with("http://") || text.starts_with("https://") => {
            let path = text.splitn(4, '/').nth(3).map(|path| format!("/{path}"));
            *text = format!("{origin}{}", path.unwrap_or_default());
        }
        Value::Array(items) => items.iter_mut().for_each(|item| lead(item, origin)),
        Value::Object(members) => members.values_mut().for_each(|member| lead(member, origin)),
        _ => {}
    }
}

/// The built-in `webhook`, as the relay makes it.
fn native(sink: &Sink) -> Result<Arc<dyn Exporter>> {
    let text = format!("evaluation: none\nexporters: [ {{ kind: webhook, endpointUrl: \"{}/\" }} ]\n", sink.origin);
    let loaded = config::from_text(&text, Format::Yaml, Path::new("."), &Sources::system());
    let loaded = loaded.map_err(|problems| anyhow::anyhow!("the built-in webhook cannot be made: {problems:?}"))?;
    match loaded.config.exporters.first().map(|exporter| &exporter.target) {
        Some(Target::Native(exporter)) => Ok(exporter.clone()),
        _ => bail!("the built-in webhook is not there"),
    }
}

/// Batches out of the sample lines.
struct Batches {
    stream: StreamName,
    lines: Vec<Bytes>,
}

impl Batches {
    fn of(&self, count: usize) -> EventBatch {
        let lines: Vec<_> = self.lines.iter().cycle().take(count).cloned().collect();
        let blocks: Vec<_> = lines.chunks(BLOCK).map(|lines| Bytes::from(lines.concat())).collect();
        EventBatch::new(BatchId::new(format!("bench-{}-1-{count}", self.stream.kind)), self.stream.clone(), 1, blocks)
    }
}

/// How long one call takes. A call that fails ends the bench: what is measured must be deliveries.
async fn timed(exporter: &dyn Exporter, batch: &EventBatch) -> Result<Duration> {
    let begun = Instant::now();
    exporter.export(batch).await.map_err(|why| anyhow::anyhow!("the events were not taken: {why}"))?;
    Ok(begun.elapsed())
}

fn call(session: &Session, exporter: &dyn Exporter, batch: &EventBatch) -> Result<Duration> {
    session.runtime.block_on(timed(exporter, batch))
}

fn middle(count: usize, mut measure: impl FnMut() -> Result<Duration>) -> Result<Duration> {
    Ok(median((0..count).map(|_| measure()).collect::<Result<_>>()?))
}

/// Calls come from a task of the work runtime, as delivery's do.
fn per_event(session: &Session, exporter: &Arc<dyn Exporter>, batch: &EventBatch, turn: Duration) -> Result<Duration> {
    let (exporter, batch) = (Arc::clone(exporter), batch.clone());
    let calls = session.runtime.spawn(async move {
        let (mut spent, mut events) = (Duration::ZERO, 0);
        while spent < turn {
            spent += timed(&*exporter, &batch).await?;
            events += batch.len();
        }
        anyhow::Ok(spent.div_f64(events as f64))
    });
    session.runtime.block_on(calls).context("the calls ended")?
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn shown(time: Duration) -> String {
    if time < Duration::from_millis(10) { format!("{:.0} us", micros(time)) } else { format!("{:.0} ms", micros(time) / 1e3) }
}

/// A server that reads and says 200.
struct Sink {
    origin: String,
    requests: Arc<AtomicU64>,
    _runtime: tokio::runtime::Runtime,
}

impl Sink {
    fn start() -> Result<Sink> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().context("no threads")?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).context("no port for the sink")?;
        let origin = format!("http://{}", listener.local_addr().context("no port for the sink")?);
        let requests = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&requests);
        runtime.spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let seen = Arc::clone(&seen);
                tokio::spawn(async move {
                    let answer = service_fn(|request: http::Request<hyper::body::Incoming>| {
                        let seen = Arc::clone(&seen);
                        async move {
                            let mut body = request.into_body();
                            while body.frame().await.is_some() {}
                            seen.fetch_add(1, Ordering::Relaxed);
                            Ok::<_, Infallible>(http::Response::new(Empty::<Bytes>::new()))
                        }
                    });
                    // A connection ends when the other side does.
                    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await);
                });
            }
        });
        Ok(Sink { origin, requests, _runtime: runtime })
    }

    fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_url_of_a_configuration_leads_to_the_sink() {
        let mut config = json!({ "endpoint": "https://in.acme.dev/v1/x?y=z", "more": ["http://a", 5, "ftp://b"], "key": "k" });
        lead(&mut config, "http://127.0.0.1:9");
        assert_eq!(config, json!({ "endpoint": "http://127.0.0.1:9/v1/x?y=z", "more": ["http://127.0.0.1:9", 5, "ftp://b"], "key": "k" }));
    }
}
