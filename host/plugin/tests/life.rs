//! States: what makes a plugin invalid, what it says then, and how it heals.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::path::Path;
use std::time::Duration;

use common::{HOST, RUNTIME, features, file, guest, invalid, load, settled};
use flagpost_exporter::{Exporter, Readiness};
use flagpost_plugin::{PluginLimits, PluginSpec, PluginState};

/// Puts bytes there at once, as a careful operator does.
fn drop_in(path: &Path, bytes: &[u8]) {
    let temp = path.with_extension("part");
    std::fs::write(&temp, bytes).unwrap();
    std::fs::rename(temp, path).unwrap();
}

#[test]
fn every_wrong_file_is_told_from_the_others() {
    RUNTIME.block_on(async {
        let component = |text: &str| wat::parse_str(text).unwrap();
        let newer = String::from_utf8_lossy(include_bytes!("guests/exporter-0.1.0.wat")).replace("DATA", "").replace("EXPORT", "");
        let newer = newer.replace("BULK", "(i32.const 1)").replace("plugin/exporter@0.1.0", "plugin/exporter@0.2.0");
        let table: [(Vec<u8>, &str); 8] = [
            (Vec::new(), "it is empty"),
            (b"hello".to_vec(), "it is not WebAssembly: it starts with bytes 68 65 6c 6c 6f"),
            (component("(module)"), "it is a core WebAssembly module, not a component"),
            (component("(component)"), "it exports nothing; expected a component that exports `flagpost:plugin/exporter@0.1.0`"),
            (
                component(r#"(component (component $c) (instance $i (instantiate $c)) (export "wasi:cli/run@0.2.0" (instance $i)))"#),
                "it exports `wasi:cli/run@0.2.0`; expected",
            ),
            (component(&newer), "serves version 0.1 of that interface, not 0.2.0"),
            (
                component(
                    r#"(component (component $c) (instance $i (instantiate $c)) (export "flagpost:plugin/exporter@0.1.0" (instance $i)))"#,
                ),
                "it does not fit this relay",
            ),
            (
                component(
                    r#"(component (import "acme:kv/store@1.0.0" (instance (export "get" (func))))
                         (component $c) (instance $i (instantiate $c)) (export "flagpost:plugin/exporter@0.1.0" (instance $i)))"#,
                ),
                "component imports instance `acme:kv/store@1.0.0`",
            ),
        ];
        for (bytes, expected) in table {
            let path = file(&bytes);
            let reason = invalid(PluginSpec::new("acme", &path)).await;
            assert!(reason.starts_with(path.to_str().unwrap()) && reason.contains(expected), "{reason}");
        }
    });
}

#[test]
fn a_later_patch_version_and_exports_that_are_not_ours_are_served() {
    RUNTIME.block_on(async {
        let text = include_str!("guests/exporter-0.1.0.wat").replace("DATA", "").replace("EXPORT", "").replace("BULK", "(i32.const 1)");
        let text = text.replace("@0.1.0", "@0.1.7");
        let (head, _) = text.rsplit_once(')').unwrap();
        let exporter = common::plugin(&wat::parse_str(format!("{head} (export \"init\" (func $is-bulk)))")).unwrap()).await;
        assert_eq!(exporter.export(&features(2)).await, Ok(()));
        assert_eq!(exporter.report().interface.as_deref(), Some("flagpost:plugin/exporter@0.1.7"));
    });
}

#[test]
fn a_missing_file_a_folder_and_a_wrong_digest_say_what_to_do() {
    RUNTIME.block_on(async {
        let reason = invalid(PluginSpec::new("acme", "/nonexistent/acme.wasm")).await;
        assert!(reason.contains("/nonexistent/acme.wasm: there is no such file; put the plugin there"), "{reason}");
        let reason = invalid(PluginSpec::new("acme", std::env::temp_dir())).await;
        assert!(reason.contains("it is no file"), "{reason}");
        let path = file(&guest(""));
        let pinned = |digest: String| PluginSpec { sha256: Some(digest), ..PluginSpec::new("acme", &path) };
        let reason = invalid(pinned("0".repeat(64))).await;
        assert!(reason.contains("its SHA-256 is ") && reason.contains("the configuration pins 0000"), "{reason}");
        let digest = load(&HOST, PluginSpec::new("acme", &path)).await.report().digest.unwrap();
        assert!(reason.contains(&digest));
        for text in [digest.to_ascii_uppercase(), format!("sha256:{digest}")] {
            assert_eq!(load(&HOST, pinned(text)).await.report().state, PluginState::Ready);
        }
    });
}

#[test]
fn a_good_file_in_place_of_a_bad_one_heals_without_a_restart() {
    RUNTIME.block_on(async {
        let path = file(b"not a plugin");
        let exporter = load(&HOST, PluginSpec::new("acme", &path)).await;
        assert_eq!(exporter.report().state, PluginState::Invalid);
        assert!(exporter.export(&features(1)).await.is_err());
        drop_in(&path, &guest(""));
        let mut changes = exporter.readiness().unwrap();
        changes.wait_for(|readiness| *readiness == Readiness::Ready { generation: 1 }).await.unwrap();
        assert_eq!(exporter.export(&features(1)).await, Ok(()));
        let report = exporter.report();
        assert_eq!((report.state, report.reason, report.generation, report.bulk), (PluginState::Ready, None, Some(1), Some(true)));
    });
}

#[test]
fn a_file_that_appears_later_is_loaded_and_another_bad_one_is_told_anew() {
    RUNTIME.block_on(async {
        let path = file(b"");
        std::fs::remove_file(&path).unwrap();
        let exporter = load(&HOST, PluginSpec::new("acme", &path)).await;
        let mut changes = exporter.readiness().unwrap();
        drop_in(&path, b"still wrong");
        let told = |text: &'static str| move |now: &Readiness| matches!(now, Readiness::Invalid { reason } if reason.contains(text));
        changes.wait_for(told("is not WebAssembly")).await.unwrap();
        drop_in(&path, &guest("unreachable"));
        changes.wait_for(|now| *now == Readiness::Ready { generation: 1 }).await.unwrap();
    });
}

#[test]
fn a_plugin_whose_trial_took_too_long_is_tried_again() {
    RUNTIME.block_on(async {
        let limits = PluginLimits { timeout: Duration::from_millis(50), ..PluginLimits::default() };
        let slow = common::guest_with("", "(loop $for_ever (br $for_ever)) (i32.const 1)", "");
        let exporter = load(&HOST, PluginSpec { limits, ..PluginSpec::new("acme", file(&slow)) }).await;
        let reason = exporter.report().reason.unwrap();
        assert!(reason.contains("tried out, it did not answer within 50 ms"), "{reason}");
        while exporter.stats().instances < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}

#[test]
fn a_closed_plugin_takes_nothing_more() {
    RUNTIME.block_on(async {
        let exporter = common::plugin(&guest("")).await;
        exporter.close().await;
        assert!(exporter.export(&features(1)).await.is_err());
    });
}

#[test]
fn dropping_a_plugin_ends_its_loading() {
    RUNTIME.block_on(async {
        let exporter = HOST.load(PluginSpec::new("acme", file(&guest("(drop (i32.const 77))")))).unwrap();
        let mut changes = exporter.readiness().unwrap();
        drop(exporter);
        while changes.changed().await.is_ok() {}
    });
}

#[test]
fn one_bad_plugin_does_not_hold_up_another() {
    RUNTIME.block_on(async {
        let bad = HOST.load(PluginSpec::new("bad", "/nonexistent/bad.wasm")).unwrap();
        let good = common::plugin(&guest("")).await;
        assert!(matches!(settled(&bad).await, Readiness::Invalid { .. }));
        assert_eq!(good.export(&features(1)).await, Ok(()));
    });
}
