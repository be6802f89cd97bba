//! What guests print and log, and what the host says about them, in the relay's log.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::io::Write;
use std::sync::{Arc, Mutex};

use common::{RUNTIME, ask, crash, probe, ready};
use flagpost_exporter::Exporter as _;
use flagpost_plugin::PluginSpec;
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

/// Collects what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;

    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}

#[test]
fn lines_are_labelled_and_a_refusal_of_the_standard_interface_is_logged_with_its_yaml() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).without_time().finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    RUNTIME.block_on(async {
        let named = |name: &str, config| PluginSpec { name: name.to_owned(), ..probe(config) };
        ask(&*ready(named("acme-log", json!({ "do": "log" }))).await).await;
        ask(&*ready(named("acme-print", json!({ "do": "print" }))).await).await;
        crash(&*ready(named("acme-panic", json!({ "do": "panic" }))).await).await;
        let request = json!({ "do": "wasi-http", "method": "POST", "url": "https://in.acme.dev/v1" });
        let exporter = ready(named("acme-http", request)).await;
        for _ in 0..3 {
            ask(&exporter).await;
        }
        // The standard's proposal, with its draft's version and without one.
        let text = include_str!("guests/logging.wat");
        for (name, text) in [("draft", text.to_owned()), ("bare", text.replace("@0.1.0-draft", ""))] {
            let path = common::file(&wat::parse_str(text).unwrap());
            let exporter = ready(PluginSpec::new(name, path)).await;
            assert_eq!(exporter.export(&common::features(1)).await, Ok(()));
        }
    });
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines = |wanted: &[&str]| text.lines().filter(|line| wanted.iter().all(|part| line.contains(part))).count();
    assert_eq!(lines(&["WARN", "log log log", r#"plugin="acme-log""#, r#"source="log""#]), 16, "64 KiB in lines of 4 KiB");
    assert_eq!(lines(&["INFO", "print print", r#"plugin="acme-print""#, r#"source="stdout""#]), 11);
    assert_eq!(lines(&["INFO", r"about to fail\u{1b}[2J", r#"plugin="acme-panic""#, r#"source="stderr""#]), 1);
    assert_eq!(lines(&["WARN", r#"allowedHosts: [ "POST https://in.acme.dev" ]"#, r#"plugin="acme-http""#]), 1, "not once per request");
    for name in ["draft", "bare"] {
        let plugin = format!("plugin=\"{name}\"");
        assert_eq!(lines(&["ERROR", "delivery", "the sky falls", &plugin]), 1, "{text}");
        assert_eq!(lines(&["nobody asks", &plugin]), 0, "below the level of the log");
    }
    assert_eq!(lines(&["the plugin is ready"]), 6);
}
