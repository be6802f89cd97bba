//! An exporter that does what its configuration's `do` says, and nothing of it is good. What it learned it tells as a real exporter would:
//! in the reason of a `retryable`. Where it got what it should not get, its reason begins with `STOLEN`.

wit_bindgen::generate!({ path: "../../../wit", world: "plugin" });

mod reach;

use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use exports::flagpost::plugin::exporter::*;
use flagpost::plugin::{config, http, log, metrics};

struct Plugin;
export!(Plugin);

/// Calls of this instance.
static CALLS: AtomicU64 = AtomicU64::new(0);

/// Events that were acknowledged and went nowhere.
static KEPT: Mutex<Vec<String>> = Mutex::new(Vec::new());

pub(crate) struct Settings(serde_json::Value);

impl Settings {
    pub(crate) fn text(&self, key: &str) -> &str {
        self.0[key].as_str().unwrap_or_default()
    }
}

impl Guest for Plugin {
    fn is_bulk() -> bool {
        true
    }

    fn export(events: Vec<Event>) -> Result<(), ExportError> {
        let settings = Settings(serde_json::from_str(&config::get()).unwrap_or_default());
        let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
        match settings.text("do") {
            "loop" => loop {
                black_box(calls);
            },
            // Never long in one piece.
            "yield" => loop {
                for n in 0..200_000u32 {
                    black_box(n);
                }
                std::thread::sleep(Duration::from_millis(1));
            },
            "memory" => {
                let mut all = Vec::new();
                loop {
                    all.push(black_box(vec![1u8; 1 << 20]));
                }
            }
            "handles" => loop {
                std::mem::forget(wasip2::clocks::monotonic_clock::subscribe_duration(1));
            },
            "host-memory" => {
                log::log(log::Level::Info, &"x".repeat(40 << 20));
                Err(later("it was taken"))
            }
            "trap-on" => {
                assert!(!events.iter().any(|event| user(event) == settings.text("guilty")), "not this one");
                deliver(&settings, &events)
            }
            "nth" => {
                assert!(calls % 3 != 0, "every third call");
                deliver(&settings, &events)
            }
            "exit" => std::process::exit(7),
            "log" => loop {
                log::log(log::Level::Warn, &"log ".repeat(1024));
            },
            "print" => loop {
                println!("{}", "print ".repeat(1024));
            },
            "giant" => Err(later("x".repeat(16 << 20))),
            "forge" => Err(later("all is well\n2026-01-01T00:00:00Z ERROR the store is lost\u{1b}[2J")),
            "wrong-index" => Err(partial(vec![u32::MAX], Vec::new())),
            "twice" => Err(partial(vec![0], vec![0])),
            "neither" => Err(partial(Vec::new(), Vec::new())),
            "condemn" => Err(ExportError::Rejected("I do not like them".into())),
            // One was delivered, it says, and all others are guilty.
            "slander" => Err(partial(Vec::new(), (1..events.len() as u32).collect())),
            "metrics" => {
                for n in 0..1000 {
                    metrics::counter_add("rows", 1.0, &[("n".into(), n.to_string())]);
                    metrics::gauge_set(&format!("name{n}"), 1.0, &[]);
                }
                Err(later("counted"))
            }
            "hang" => loop {
                drop(send(&settings, "hang", ""));
            },
            "late" => {
                deliver(&settings, &events)?;
                std::thread::sleep(Duration::from_secs(3600));
                Ok(())
            }
            "buffer" => {
                KEPT.lock().unwrap().extend(events.iter().map(|event| user(event).to_owned()));
                Ok(())
            }
            other => Err(later(reach::reach(other, &settings))),
        }
    }
}

fn deliver(settings: &Settings, events: &[Event]) -> Result<(), ExportError> {
    let body: String = events.iter().map(|event| format!("{}\n", user(event))).collect();
    match send(settings, "in", &body) {
        Ok(reply) if reply.status < 300 => Ok(()),
        Ok(reply) => Err(later(format!("HTTP {}", reply.status))),
        Err(why) => Err(later(why.to_string())),
    }
}

/// A POST to a path of the host that is granted.
fn send(settings: &Settings, path: &str, body: &str) -> Result<http::Response, http::SendError> {
    post(&format!("{}/{path}", settings.text("granted")), Vec::new(), body)
}

pub(crate) fn post(url: &str, headers: Vec<(String, String)>, body: &str) -> Result<http::Response, http::SendError> {
    let body = http::Body::Text(body.into());
    http::send(&http::Request { method: "POST".into(), url: url.into(), headers, body, timeout_ms: None })
}

fn later(reason: impl Into<String>) -> ExportError {
    ExportError::Retryable(RetryLater { reason: reason.into(), after_ms: None })
}

fn partial(retry: Vec<u32>, rejected: Vec<u32>) -> ExportError {
    let rejected = rejected.into_iter().map(|index| RejectedEvent { index, reason: "guilty".into() }).collect();
    ExportError::Partial(PartialFailure { retry, rejected, after_ms: None })
}

fn user(event: &Event) -> &str {
    match event {
        Event::Feature(event) => &event.user_key,
        Event::Tracking(event) => &event.user_key,
    }
}
