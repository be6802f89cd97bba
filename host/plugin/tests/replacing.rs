//! Another file in place of one that runs: taken over between two calls, or refused with the older one going on.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::server::Server;
use common::{HOST, RUNTIME, features, file, guest, guest_with, load, options, probe, ready, until};
use flagpost_exporter::{ExportError, Exporter, Readiness};
use flagpost_plugin::{HostOptions, PluginHost, PluginLimits, PluginReport, PluginSpec, PluginState, WasmExporter};

/// Puts bytes there at once, as a careful operator does.
fn drop_in(path: &Path, bytes: &[u8]) {
    let temp = path.with_extension("part");
    std::fs::write(&temp, bytes).unwrap();
    std::fs::rename(temp, path).unwrap();
}

/// A guest that refuses every batch with its version, so that it is seen who was asked.
fn version(version: u8) -> Vec<u8> {
    let says = "(i32.store8 (i32.const 1024) (i32.const 1)) (i32.store8 (i32.const 1028) (i32.const 1))
                (i32.store (i32.const 1032) (i32.const 0)) (i32.store (i32.const 1036) (i32.const 3))";
    guest_with(&format!("(data (i32.const 0) \"v{version:02}\")"), "(i32.const 1)", says)
}

async fn asked(exporter: &WasmExporter) -> String {
    match exporter.export(&features(1)).await {
        Err(ExportError::Rejected { reason }) => reason,
        other => panic!("expected a version, got {other:?}"),
    }
}

async fn generation(exporter: &WasmExporter, number: u64) {
    let mut changes = exporter.readiness().unwrap();
    changes.wait_for(|now| *now == Readiness::Ready { generation: number }).await.unwrap();
}

/// Waits until the report fits.
async fn reported(exporter: &WasmExporter, what: &str, fits: impl Fn(&PluginReport) -> bool) -> PluginReport {
    until(what, async || Some(exporter.report()).filter(|report| fits(report))).await
}

async fn refused(exporter: &WasmExporter, words: &str) -> PluginReport {
    let says = |report: &PluginReport| report.refused.as_ref().is_some_and(|refused| refused.reason.contains(words));
    reported(exporter, words, says).await
}

#[test]
fn another_good_file_takes_over_and_its_generation_is_told() {
    RUNTIME.block_on(async {
        let path = file(&version(1));
        let exporter = ready(PluginSpec::new("acme", &path)).await;
        assert_eq!(asked(&exporter).await, "v01");
        let first = exporter.report();
        for next in 2..5u8 {
            drop_in(&path, &version(next));
            generation(&exporter, next.into()).await;
            assert_eq!(asked(&exporter).await, format!("v{next:02}"));
        }
        let report = exporter.report();
        assert_eq!((report.generation, report.stats.replacements, report.stats.files_refused, report.draining), (Some(4), 3, 0, 0));
        assert_ne!(report.digest, first.digest);
        // The same bytes anew are no other generation.
        drop_in(&path, &version(4));
        drop_in(&path, b"bad");
        refused(&exporter, "is not WebAssembly").await;
        drop_in(&path, &version(4));
        let report = reported(&exporter, "the refusal is over", |report| report.refused.is_none()).await;
        assert_eq!((report.generation, report.stats.replacements), (Some(4), 3));
    });
}

#[test]
fn a_bad_file_leaves_the_one_before_running_and_is_told_with_its_reason() {
    RUNTIME.block_on(async {
        let path = file(&version(1));
        let exporter = ready(PluginSpec::new("acme", &path)).await;
        let whole = version(2);
        let traps = guest_with("", "(unreachable)", "");
        let table: [(&[u8], &str); 6] = [
            (b"", "it is empty"),
            (b"#!/bin/sh", "it is not WebAssembly"),
            (&whole[..whole.len() / 2], "it does not compile"),
            (&wat::parse_str("(module)").unwrap(), "it is a core WebAssembly module"),
            (&wat::parse_str("(component)").unwrap(), "it exports nothing"),
            (&traps, "tried out, it trapped"),
        ];
        for (count, (bytes, words)) in table.into_iter().enumerate() {
            drop_in(&path, bytes);
            let report = refused(&exporter, words).await;
            assert_eq!((report.state, report.reason, report.generation), (PluginState::Ready, None, Some(1)));
            assert_eq!(report.stats.files_refused, count as u64 + 1);
            let refused = report.refused.unwrap();
            assert!(refused.digest.is_some() && refused.digest != report.digest && refused.at_unix_millis > 0, "{refused:?}");
            assert_eq!(asked(&exporter).await, "v01");
        }
        drop_in(&path, &whole);
        generation(&exporter, 2).await;
        assert_eq!((asked(&exporter).await.as_str(), exporter.report().refused), ("v02", None));
    });
}

#[test]
fn a_file_with_another_digest_than_the_pinned_one_is_refused() {
    RUNTIME.block_on(async {
        let path = file(&version(1));
        let digest = load(&HOST, PluginSpec::new("acme", &path)).await.report().digest;
        let exporter = ready(PluginSpec { sha256: digest, ..PluginSpec::new("acme", &path) }).await;
        drop_in(&path, &version(2));
        refused(&exporter, "the configuration pins").await;
        assert_eq!(asked(&exporter).await, "v01");
    });
}

#[test]
fn a_deleted_file_leaves_the_plugin_running_and_is_told() {
    RUNTIME.block_on(async {
        let path = file(&version(1));
        let exporter = ready(PluginSpec::new("acme", &path)).await;
        std::fs::remove_file(&path).unwrap();
        let report = refused(&exporter, "the file is gone").await;
        assert_eq!((report.state, report.stats.files_refused), (PluginState::Ready, 0));
        assert_eq!(asked(&exporter).await, "v01");
        drop_in(&path, &version(2));
        generation(&exporter, 2).await;
        assert_eq!(asked(&exporter).await, "v02");
    });
}

#[test]
fn a_call_under_way_ends_on_the_generation_it_began_with_and_the_memory_of_both_is_counted() {
    RUNTIME.block_on(async {
        let limits = PluginLimits { memory: 64 << 20, timeout: Duration::from_secs(5), ..PluginLimits::default() };
        let server = Server::start(|_| None).await;
        let origin = server.origin("127.0.0.1");
        let mut spec = probe(serde_json::json!({ "do": "http", "method": "POST", "url": origin }));
        let path = file(&std::fs::read(&spec.path).unwrap());
        (spec.path, spec.limits, spec.allowed_hosts) = (path.clone(), limits.clone(), vec![origin.clone()]);
        // Room for two generations, and not for three.
        let cache = tempfile::tempdir().unwrap();
        let host = PluginHost::start(HostOptions { memory_budget: 128 << 20, ..options(cache.path()) }).unwrap();
        let exporter = load(&host, spec).await;
        let call = {
            let exporter = Arc::clone(&exporter);
            tokio::spawn(async move { exporter.export(&features(1)).await })
        };
        while server.seen().is_empty() {
            tokio::task::yield_now().await;
        }
        drop_in(&path, &version(2));
        generation(&exporter, 2).await;
        assert_eq!(exporter.report().draining, 1);
        assert_eq!(asked(&exporter).await, "v02");
        let crowded = host.load(PluginSpec { limits: limits.clone(), ..PluginSpec::new("other", &path) }).unwrap_err();
        assert!(crowded.to_string().contains("exceed the 128 MiB"), "{crowded}");
        drop_in(&path, &version(3));
        refused(&exporter, "for a moment two of it would run").await;
        // The call ends as its own generation ends it, and with it that generation.
        let ended = call.await.unwrap().unwrap_err().to_string();
        assert!(ended.contains("timeout"), "{ended}");
        reported(&exporter, "the older one is closed", |report| report.draining == 0).await;
        // What was refused for want of memory is tried again by itself.
        generation(&exporter, 3).await;
        assert_eq!(asked(&exporter).await, "v03");
    });
}

#[test]
fn a_plugin_that_crashes_again_and_again_is_slowed_until_another_file_comes() {
    RUNTIME.block_on(async {
        let path = file(&guest("unreachable"));
        let exporter = ready(PluginSpec::new("acme", &path)).await;
        for _ in 0..20 {
            assert!(exporter.export(&features(1)).await.is_err());
        }
        assert!(!exporter.report().slowed);
        assert!(exporter.export(&features(1)).await.is_err());
        let report = exporter.report();
        assert_eq!((report.slowed, report.crashes_in_a_row, report.state), (true, 21, PluginState::Ready));
        drop_in(&path, &version(2));
        generation(&exporter, 2).await;
        assert_eq!(asked(&exporter).await, "v02");
        assert_eq!((exporter.report().slowed, exporter.report().crashes_in_a_row), (false, 0));
    });
}

#[test]
fn closing_waits_for_the_call_under_way() {
    RUNTIME.block_on(async {
        let limits = PluginLimits { cpu: Duration::from_millis(300), ..PluginLimits::default() };
        let exporter = ready(PluginSpec { limits, ..PluginSpec::new("acme", file(&guest("(loop $for_ever (br $for_ever))"))) }).await;
        let call = {
            let exporter = Arc::clone(&exporter);
            tokio::spawn(async move { exporter.export(&features(1)).await })
        };
        while exporter.stats().calls == 0 {
            tokio::task::yield_now().await;
        }
        exporter.close().await;
        assert_eq!(exporter.stats().cpu_exceeded, 1, "the call has ended");
        assert!(call.await.unwrap().is_err());
    });
}
