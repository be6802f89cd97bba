//! `--chaos`: what is lost when instances go.
//!
//! The relay drops instances after any call (age, memory, idleness, a limit, a restart) and never asks for what they hold: `ok` means that
//! the events are safe. A plugin that collects events and sends them later passes every other test. Here each event has a user of its own and
//! a second of its own; an acknowledged event that no request carried in any form is one that such a plugin would lose.

use std::process::ExitCode;

use anyhow::Result;
use bytes::Bytes;
use flagpost_event::{BatchId, EventBatch};
use flagpost_exporter::Exporter;
use flagpost_plugin::PluginSpec;
use serde_json::{Value, json};

use super::events::{self, Streams};
use super::script::{Exchange, Script};
use crate::cli::plugin::session::Session;
use crate::cli::{complain, say};

/// Calls that are made; an instance goes after every third `ok`.
const CALLS: usize = 12;
const EVERY: usize = 3;
/// Events of a call, where the plugin takes batches.
const EVENTS: usize = 2;
/// Lost events that are named.
const SHOWN: usize = 5;

/// An event by what is only its own.
struct Marked {
    user: String,
    second: String,
    line: Bytes,
}

pub(super) fn run(session: &Session, spec: PluginSpec, script: &Script, streams: &Streams) -> Result<ExitCode> {
    let exporter = session.load(spec)?;
    let per_call = exporter.limits().max_events.clamp(1, EVENTS);
    let (mut acknowledged, mut failed, mut dropped, mut sent, mut requests) = (Vec::new(), 0, 0, Vec::new(), 0);
    // One stream: the first of the file.
    let Some((stream, samples)) = streams.first() else { return Ok(ExitCode::SUCCESS) };
    let events = marked(samples, CALLS * per_call)?;
    for (call, events) in events.chunks(per_call).enumerate() {
        let id = BatchId::new(format!("chaos-{}-{}-{}-{}", stream.flag_set, stream.kind, call * per_call + 1, (call + 1) * per_call));
        let batch = EventBatch::new(id, stream.clone(), 1, events.iter().map(|event| event.line.clone()).collect::<Vec<_>>());
        let outcome = session.runtime.block_on(exporter.export(&batch));
        let exchanges = script.exchanged();
        requests += exchanges.len();
        sent.extend(exchanges.iter().map(text));
        match outcome {
            Ok(()) => acknowledged.push(events),
            Err(why) => {
                failed += 1;
                complain(format_args!("call {}: {why}", call + 1));
            }
        }
        if outcome_is_third(acknowledged.len(), dropped) {
            exporter.drop_instances();
            dropped += 1;
        }
    }
    let sent = sent.concat();
    let acknowledged: Vec<&Marked> = acknowledged.iter().copied().flatten().collect();
    let lost: Vec<&&Marked> = acknowledged.iter().filter(|event| !sent.contains(&event.user) && !sent.contains(&event.second)).collect();
    say(format_args!(
        "{CALLS} calls, {failed} failed, {} events acknowledged, {requests} requests, {dropped} instances dropped",
        acknowledged.len()
    ));
    if lost.len() == acknowledged.len() && requests > 0 && !acknowledged.is_empty() {
        say("cannot tell what was lost: no request names a user's key or an event's date in plain text");
        return Ok(ExitCode::FAILURE);
    }
    if lost.is_empty() && !acknowledged.is_empty() {
        say("nothing lost: a request carried every acknowledged event");
        return Ok(ExitCode::SUCCESS);
    }
    if acknowledged.is_empty() {
        say(
            "nothing was acknowledged, so nothing was tried: requests are answered with 200 and nothing; --replies FILE gives what this API answers, over and over",
        );
        return Ok(ExitCode::FAILURE);
    }
    say(format_args!(
        "{} of {} acknowledged events were in no request: they were kept in memory, and would be lost. Return ok only for what is safe at the destination.",
        lost.len(),
        acknowledged.len()
    ));
    for event in lost.iter().take(SHOWN) {
        say(format_args!("  {}", String::from_utf8_lossy(&event.line).trim_end()));
    }
    if lost.len() > SHOWN {
        say(format_args!("  and {} more", lost.len() - SHOWN));
    }
    Ok(ExitCode::FAILURE)
}

/// Whether as many calls were acknowledged as the next drop waits for.
fn outcome_is_third(acknowledged: usize, dropped: usize) -> bool {
    acknowledged / EVERY > dropped
}

/// As many events as the samples repeated, each with a user and a second that no other event has.
fn marked(samples: &[Bytes], count: usize) -> Result<Vec<Marked>> {
    let mut text = String::new();
    for (number, sample) in samples.iter().cycle().take(count).enumerate() {
        let mut event: Value = serde_json::from_slice(sample)?;
        event["userKey"] = json!(user(number));
        event["creationDate"] = json!(second(number));
        text.push_str(&format!("{event}\n"));
    }
    let (_, lines) = events::parse(&text, "chaos")?.swap_remove(0);
    let marked = |(number, line)| Marked { user: user(number), second: second(number).to_string(), line };
    Ok(lines.into_iter().enumerate().map(marked).collect())
}

fn user(number: usize) -> String {
    format!("chaos-user-{number:04}")
}

fn second(number: usize) -> usize {
    1_750_000_000 + number
}

/// All text of a request.
fn text(exchange: &Exchange) -> String {
    format!("{} {}\n", exchange.request.uri(), String::from_utf8_lossy(exchange.request.body()))
}
