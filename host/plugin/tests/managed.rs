//! The full contract: description, configuration, batches in the encoding that was asked for, goodbye.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{
    HOST, RUNTIME, ask, batch_of, feature_line, features, file, invalid, load, managed, managed_wat, ready, settled, tracking_line,
};
use flagpost_event::EventKind;
use flagpost_exporter::{ExportError, Exporter, Readiness};
use flagpost_plugin::{Hidden, Places, PluginLimits, PluginSpec, PluginState};
use serde_json::{Value, json};

/// A schema at 0 and a descriptor that asks for the encoding, for all kinds of events; other numbers as given.
fn descriptor(schema: &str, encoding: u32, kinds: &[u8], most: (u32, u32)) -> (String, String) {
    let data = format!(
        r#"(data (i32.const 0) "{}") (data (i32.const 600) "acme") (data (i32.const 610) "1.2.0") (data (i32.const 620) "{}")"#,
        schema.replace('"', "\\\""),
        kinds.iter().map(|kind| format!("\\{kind:02x}")).collect::<String>(),
    );
    let words = [600, 4, 610, 5, 0, schema.len() as u32, 620, kinds.len() as u32];
    let mut code: String =
        words.iter().enumerate().map(|(at, word)| format!("(i32.store (i32.const {}) (i32.const {word}))", 1024 + 4 * at)).collect();
    code += &format!(
        "(i32.store8 (i32.const 1056) (i32.const {encoding})) (i32.store (i32.const 1060) (i32.const {})) (i32.store (i32.const 1064) (i32.const {}))",
        most.0, most.1
    );
    (data, code)
}

/// `err(rejected(...))` of the payload's bytes.
const ECHO: &str = "(i32.store8 (i32.const 1024) (i32.const 1)) (i32.store8 (i32.const 1028) (i32.const 1))
    (i32.store (i32.const 1032) (local.get $payload)) (i32.store (i32.const 1036) (local.get $length))";

const OK: &str = "(i32.store8 (i32.const 1024) (i32.const 0))";

fn wat(schema: &str, encoding: u32, export: &str) -> Vec<u8> {
    let (data, describe) = descriptor(schema, encoding, &[], (0, 0));
    managed_wat(&data, &describe, "", export, "")
}

#[test]
fn a_guest_of_the_frozen_interface_gets_each_encoding_as_it_asked_for_it() {
    RUNTIME.block_on(async {
        let lines: Vec<String> = (0..3).map(feature_line).collect();
        let cases = [(1, format!("[{}]", lines.join(","))), (2, lines.join("\n"))];
        for (encoding, expected) in cases {
            let exporter = ready(PluginSpec::new("acme", file(&wat("", encoding, ECHO)))).await;
            let told = exporter.export(&features(3)).await.unwrap_err().to_string();
            // Reasons are one line.
            assert_eq!(told.replace("\\n", "\n").trim_end(), expected);
        }
        // Typed: three records, and the first one's user-key has six bytes.
        let typed = "(if (i32.or (i32.ne (local.get $case) (i32.const 0)) (i32.ne (local.get $length) (i32.const 3))) (then unreachable))
            (if (i32.ne (i32.load (i32.add (local.get $payload) (i32.const 28))) (i32.const 6)) (then unreachable))
            (if (i32.ne (local.get $count) (i32.const 3)) (then unreachable))
            (if (i32.ne (local.get $attempt) (i32.const 1)) (then unreachable))";
        let exporter = ready(PluginSpec::new("acme", file(&wat("", 0, &format!("{typed} {OK}"))))).await;
        assert_eq!(exporter.export(&features(3)).await, Ok(()));
        assert_eq!(exporter.export(&batch_of(EventKind::Tracking, (0..3).map(tracking_line))).await, Ok(()));
        let report = exporter.report();
        assert_eq!(report.interface.as_deref(), Some("flagpost:plugin/managed-exporter@0.1.0"));
        assert_eq!(report.title.as_deref(), Some("acme 1.2.0"));
    });
}

#[test]
fn a_batch_arrives_with_its_id_and_the_configuration_once_before_it() {
    RUNTIME.block_on(async {
        let config = json!({ "do": "tell", "endpoint": "https://in.acme.dev", "retry": { "max": 3 } });
        let exporter = ready(managed(config.clone())).await;
        assert_eq!((exporter.limits().max_events, exporter.limits().max_bytes), (500, 1 << 19), "what it described");
        for _ in 0..2 {
            let told: Value = ask(&exporter).await;
            assert_eq!((&told["id"], &told["attempt"], &told["count"]), (&json!("store-default-feature-1-n"), &json!(1), &json!(1)));
            assert_eq!(
                (told["kind"].as_str().unwrap(), told["lines"].as_str().unwrap()),
                ("EventKind::Feature", &*(feature_line(0) + "\n"))
            );
            assert_eq!(told["config"], config);
        }
        assert_eq!(exporter.stats().instances, 1, "what was described in is another instance, and not counted");
    });
}

#[test]
fn nothing_is_granted_while_it_describes_itself() {
    RUNTIME.block_on(async {
        let temp = tempfile::tempdir().unwrap();
        let mut spec = managed(json!({ "do": "leave" }));
        spec.env.insert("ACME".to_owned(), "eu".to_owned());
        spec.files.insert("/data".to_owned(), temp.path().to_owned());
        let exporter = ready(spec).await;
        assert_eq!(exporter.report().title.as_deref(), Some("managed 1.0.0"));
    });
}

#[test]
fn what_the_schema_does_not_take_makes_it_invalid_and_points_at_the_lines() {
    RUNTIME.block_on(async {
        let mut spec = managed(json!({ "do": "tell", "endpont": "s3cret-1", "retry": { "max": "s3cret-2" }, "endpoint": "s3cret-3" }));
        for (path, line) in [("", 7), ("endpont", 8), ("retry", 9), ("retry.max", 10), ("endpoint", 11)] {
            spec.places.note(path, format!("line {line}"));
        }
        let exporter = load(&HOST, spec).await;
        let Readiness::Invalid { reason } = settled(&exporter).await else { panic!("it is ready") };
        let told: Vec<_> = exporter.report().diagnostics.iter().map(ToString::to_string).collect();
        for part in ["line 8: config.endpont: the plugin knows no such key", "line 10: config.retry.max: ", "line 11: config.endpoint: "] {
            assert!(told.iter().any(|one| one.starts_with(part)), "{part}: {told:?}");
            assert!(reason.contains(part), "{reason}");
        }
        assert_eq!(told.len(), 3);
        assert!(!reason.contains("s3cret"), "{reason}");
        assert_eq!(exporter.report().state, PluginState::Invalid);
        let reason = invalid(managed(json!(null))).await;
        assert!(reason.contains("config: the key \"do\" is missing"), "{reason}");
    });
}

#[test]
fn what_the_plugin_itself_does_not_take_is_told_the_same_way_without_secrets() {
    RUNTIME.block_on(async {
        let mut spec = managed(json!({ "do": "refuse", "endpoint": "https://hunter22.dev" }));
        spec.places.note("endpoint", "line 3");
        spec.places.note("retry", "line 4");
        spec.hidden.add(flagpost_exporter::Secret::new("hunter22"), "${HOST}");
        let exporter = load(&HOST, spec).await;
        let told: Vec<_> = exporter.report().diagnostics.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["line 3: config.endpoint: https://${HOST}.dev is not ours", "line 4: config.retry.max: is too many"]);
        assert_eq!(exporter.stats().calls, 0);
    });
}

#[test]
fn a_plugin_without_a_schema_takes_no_configuration_and_a_bad_schema_is_the_plugins_fault() {
    RUNTIME.block_on(async {
        let spec = |schema: &str, config| PluginSpec { config, ..PluginSpec::new("acme", file(&wat(schema, 2, OK))) };
        ready(spec("", json!({}))).await;
        let reason = invalid(spec("", json!({ "a": 1 }))).await;
        assert!(reason.contains("config.a: the plugin takes no configuration; remove the key"), "{reason}");
        let reason = invalid(spec(r#"{"$ref":"https://evil.example/x.json"}"#, json!({}))).await;
        assert!(reason.contains("only places in the schema itself are served"), "{reason}");
        ready(spec(r#"{"type":"object"}"#, json!({ "a": 1 }))).await;
    });
}

#[test]
fn a_kind_of_events_that_it_does_not_take_is_refused_with_what_to_write() {
    RUNTIME.block_on(async {
        let spec = PluginSpec { events: EventKind::ALL.to_vec(), ..managed(json!({ "do": "leave" })) };
        let reason = invalid(spec).await;
        assert!(reason.contains("takes feature events only") && reason.contains("set eventType: feature"), "{reason}");
    });
}

#[test]
fn describing_is_limited_like_a_call() {
    RUNTIME.block_on(async {
        let limits = PluginLimits { cpu: std::time::Duration::from_millis(50), ..PluginLimits::default() };
        let looping = managed_wat("", "(loop $for-ever (br $for-ever))", "", OK, "");
        let reason = invalid(PluginSpec { limits: limits.clone(), ..PluginSpec::new("acme", file(&looping)) }).await;
        assert!(reason.contains("asked for its description, it used more than 50 ms of CPU"), "{reason}");
        let (data, describe) = descriptor("", 2, &[], (0, 0));
        let looping = managed_wat(&data, &describe, "(loop $for-ever (br $for-ever))", OK, "");
        let reason = invalid(PluginSpec { limits, ..PluginSpec::new("acme", file(&looping)) }).await;
        assert!(reason.contains("tried out, it used more than 50 ms of CPU"), "{reason}");
    });
}

#[test]
fn what_it_bears_and_what_the_operator_wants_are_both_kept() {
    RUNTIME.block_on(async {
        let (data, describe) = descriptor("", 2, &[0, 1, 0], (200, 99 << 20));
        let wasm = managed_wat(&data, &describe, "", OK, "");
        let limits = async |wanted| {
            let exporter = ready(PluginSpec { max_events_per_call: wanted, ..PluginSpec::new("acme", file(&wasm)) }).await;
            (exporter.limits().max_events, exporter.limits().max_bytes)
        };
        assert_eq!(limits(None).await, (200, flagpost_exporter::MAX_BATCH_BYTES));
        assert_eq!(limits(Some(50)).await.0, 50);
        assert_eq!(limits(Some(5000)).await.0, 200);
        let exporter = ready(PluginSpec { max_events_per_call: Some(5000), ..PluginSpec::new("acme", file(&wat("", 2, OK))) }).await;
        assert_eq!((exporter.limits().max_events, exporter.limits().max_bytes), (5000, 1 << 20));
    });
}

#[test]
fn each_new_instance_is_configured_anew() {
    RUNTIME.block_on(async {
        // A flag in memory that `configure` sets and `export` wants; the second call of an instance traps.
        let (data, describe) = descriptor(r#"{}"#, 2, &[], (0, 0));
        let export = format!(
            "(if (i32.eqz (i32.load (i32.const 900))) (then unreachable)) (if (i32.gt_u (global.get $calls) (i32.const 1)) (then unreachable)) {OK}"
        );
        let wasm = managed_wat(&data, &describe, "(i32.store (i32.const 900) (local.get $length))", &export, "");
        let exporter = ready(PluginSpec::new("acme", file(&wasm))).await;
        for _ in 0..3 {
            assert_eq!(exporter.export(&features(1)).await, Ok(()));
            assert!(matches!(exporter.export(&features(1)).await, Err(ExportError::Crashed { .. })));
        }
        assert_eq!((exporter.stats().instances, exporter.stats().traps), (3, 3));
    });
}

#[test]
fn the_same_places_elsewhere_are_the_same_configuration() {
    let (mut one, two) = (managed(json!({ "do": "leave" })), managed(json!({ "do": "leave" })));
    one.places = Places::default();
    one.places.note("do", "line 3");
    assert_eq!(one, two);
    one.hidden = Hidden::default();
    one.config = json!({ "do": "tell" });
    assert_ne!(one, two);
}

#[test]
fn guests_are_told_that_nothing_more_comes_and_one_that_never_returns_is_not_waited_for() {
    RUNTIME.block_on(async {
        let (data, describe) = descriptor("", 2, &[], (0, 0));
        // Prints nothing: that it ran is seen by the trap, which is counted.
        let wasm = managed_wat(&data, &describe, "", OK, "unreachable");
        let exporter = ready(PluginSpec::new("acme", file(&wasm))).await;
        assert_eq!(exporter.export(&features(1)).await, Ok(()));
        exporter.close().await;
        assert_eq!(exporter.stats().traps, 1);
        let wasm = managed_wat(&data, &describe, "", OK, "(loop $for-ever (br $for-ever))");
        let limits = PluginLimits {
            cpu: std::time::Duration::from_secs(600),
            timeout: std::time::Duration::from_secs(600),
            ..PluginLimits::default()
        };
        let exporter = ready(PluginSpec { limits, ..PluginSpec::new("acme", file(&wasm)) }).await;
        exporter.close().await;
        assert!(exporter.export(&features(1)).await.is_err());
    });
}

#[test]
fn two_plugins_that_read_the_same_stream_share_the_text_and_both_get_it() {
    RUNTIME.block_on(async {
        let wasm = file(&wat("", 1, ECHO));
        let (one, two) = (ready(PluginSpec::new("one", wasm.clone())).await, ready(PluginSpec::new("two", wasm)).await);
        let batch = features(20);
        let expected = format!("[{}]", (0..20).map(feature_line).collect::<Vec<_>>().join(","));
        for exporter in [&one, &two, &one] {
            let told = exporter.export(&batch).await.unwrap_err().to_string();
            assert!(told.starts_with(&expected[..4000]), "{told}");
        }
    });
}
