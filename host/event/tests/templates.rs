//! Templates against Go's text/template: with the outputs that `go_templates/main.go` recorded, and with Go itself where there is one.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use flagpost_event::{Event, EventKind, FeatureEvent, Json, Template, TemplateOptions, TrackingEvent, Zone};
use serde::Deserialize;
use serde_json::Value;

/// Refused at start although Go writes some events: see the essay of `template`.
const STRICTER: &[&str] = &["{{ if false }}{{ .Nope }}{{ end }}", "{{ 1i }}", "{{ and 0 .Nope }}"];

/// Written although Go fails: no value as JSON text.
const MORE_LENIENT: &[&str] = &["{{ .ConvertValueForParquet }}", "{{ .ConvertValueForParquet | printf \"%q\" }}"];

#[derive(Deserialize)]
struct Line {
    kind: String,
    recorded: Recorded,
}

#[derive(Deserialize)]
struct Recorded {
    template: String,
    #[serde(default)]
    refused: bool,
    #[serde(default)]
    outputs: Vec<Option<String>>,
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/go_templates")
}

/// The events of `cases.json` as canonical lines.
fn events(kind: &str) -> Vec<Vec<u8>> {
    let cases: Value = serde_json::from_reader(File::open(directory().join("cases.json")).unwrap()).unwrap();
    let text = |event: &Value, name: &str| event[name].as_str().unwrap().to_owned().into();
    let json = |event: &Value, name: &str| Json::from(event[name].clone());
    let line = |event: &Value| {
        let mut line = Vec::new();
        let (kind, context_kind, user_key) = (text(event, "kind"), text(event, "contextKind"), text(event, "userKey"));
        let (creation_date, key) = (event["creationDate"].as_i64().unwrap(), text(event, "key"));
        if event.get("trackingEventDetails").is_some() {
            let (evaluation_context, tracking_event_details) = (json(event, "evaluationContext"), json(event, "trackingEventDetails"));
            TrackingEvent { kind, context_kind, user_key, creation_date, key, evaluation_context, tracking_event_details }
                .write_line(&mut line);
        } else {
            let (variation, version, source) = (text(event, "variation"), text(event, "version"), text(event, "source"));
            let (value, default) = (json(event, "value"), event["default"].as_bool().unwrap());
            let metadata = event.get("metadata").map(|_| json(event, "metadata"));
            FeatureEvent { kind, context_kind, user_key, creation_date, key, variation, value, default, version, source, metadata }
                .write_line(&mut line);
        }
        line
    };
    cases[kind]["events"].as_array().unwrap().iter().map(line).collect()
}

/// Holds everything against what Go made of it; gives the differences.
fn differences(recorded: &str) -> Vec<String> {
    let options = TemplateOptions { zone: Zone::named("Asia/Tokyo").unwrap(), quote: false };
    let mut found = Vec::new();
    let events = [events("feature"), events("tracking")];
    for line in recorded.lines() {
        let Line { kind, recorded: Recorded { template: text, refused, outputs } } = serde_json::from_str(line).unwrap();
        let kind = if kind == "feature" { EventKind::Feature } else { EventKind::Tracking };
        let template = match Template::parse(&text, kind, &options) {
            Ok(template) if !refused => template,
            Ok(_) => {
                found.push(format!("{text:?} is taken; Go refuses it"));
                continue;
            }
            Err(error) => {
                let sometimes = outputs.iter().any(Option::is_some);
                if !refused && sometimes && !STRICTER.contains(&text.as_str()) {
                    found.push(format!("{text:?} is refused ({error}); Go writes events with it"));
                }
                continue;
            }
        };
        for (line, expected) in events[usize::from(kind == EventKind::Tracking)].iter().zip(&outputs) {
            let mut out = "before ".to_owned();
            let result = template.render(&Event::from_line(kind, line).unwrap(), &mut out);
            let out = out.strip_prefix("before ").unwrap();
            let event = String::from_utf8_lossy(line);
            match (result, expected) {
                (Ok(()), Some(expected)) if out == expected => {}
                (Err(_), None) if out.is_empty() => {}
                (Ok(()), None) if MORE_LENIENT.contains(&text.as_str()) => {}
                (result, expected) => found.push(format!("{text:?} gives {result:?} {out:?}, Go {expected:?}, of {event}")),
            }
        }
    }
    found
}

#[test]
fn templates_give_what_go_gave() {
    let recorded = std::fs::read_to_string(directory().join("recorded.jsonl")).unwrap();
    assert!(recorded.lines().count() > 200);
    let found = differences(&recorded);
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}

#[test]
fn templates_give_what_go_gives_now() {
    if Command::new("go").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        eprintln!("skipped: no `go` here; the recorded outputs were compared");
        return;
    }
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go-build");
    let output = Command::new("go")
        .args(["run", "main.go"])
        .current_dir(directory())
        .env("TZ", "Asia/Tokyo")
        .env("GOCACHE", cache)
        .env("GO111MODULE", "off")
        .stdin(File::open(directory().join("cases.json")).unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found = differences(&String::from_utf8(output.stdout).unwrap());
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}
