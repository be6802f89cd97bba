//! What comes back from `export`, and what becomes of it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::time::Duration;

use common::server::Server;
use common::{RUNTIME, ask, batch_of, feature_line, features, file, guest, guest_with, load, plugin, probe, ready, tracking_line};
use flagpost_event::EventKind;
use flagpost_exporter::{ExportError, Exporter, RejectedEvent};
use flagpost_plugin::{HostOptions, PluginHost, PluginLimits, PluginSpec};

const REASON: &str = r#"(data (i32.const 0) "boom")"#;

/// Writes `err` and the variant's case, then a string at 8.
fn error(case: u32, rest: &str) -> Vec<u8> {
    let export = format!(
        "(i32.store8 (i32.const 1024) (i32.const 1)) (i32.store8 (i32.const 1028) (i32.const {case}))
         (i32.store (i32.const 1032) (i32.const 0)) (i32.store (i32.const 1036) (i32.const 4)) {rest}"
    );
    guest_with(REASON, "(i32.const 1)", &export)
}

#[test]
fn a_guest_of_the_frozen_interface_takes_both_kinds_of_events() {
    RUNTIME.block_on(async {
        // Traps unless it got 3 events and the first one's user-key has 6 bytes.
        let exporter = plugin(&guest(
            "(if (i32.ne (local.get $count) (i32.const 3)) (then unreachable))
             (if (i32.ne (i32.load (i32.add (local.get $events) (i32.const 28))) (i32.const 6)) (then unreachable))",
        ))
        .await;
        assert_eq!(exporter.export(&features(3)).await, Ok(()));
        assert_eq!(exporter.export(&batch_of(EventKind::Tracking, (0..3).map(tracking_line))).await, Ok(()));
        assert!(exporter.export(&features(2)).await.is_err());
        let report = exporter.report();
        assert_eq!(report.interface.as_deref(), Some("flagpost:plugin/exporter@0.1.0"));
        assert_eq!(report.imports, ["flagpost:plugin/events@0.1.0"]);
        assert_eq!((report.stats.calls, report.stats.traps), (3, 1));
    });
}

#[test]
fn is_bulk_is_asked_and_decides_how_many_events_come_per_call() {
    RUNTIME.block_on(async {
        let bulk = plugin(&guest("")).await;
        assert!(bulk.is_bulk());
        assert_eq!(bulk.limits().max_events, 1000);
        let streaming = plugin(&guest_with("", "(i32.const 0)", "")).await;
        assert!(!streaming.is_bulk());
        assert_eq!(streaming.limits().max_events, 1);
    });
}

#[test]
fn several_instances_are_that_many_calls_at_once() {
    RUNTIME.block_on(async {
        let limits = PluginLimits { instances: 3, ..PluginLimits::default() };
        let server = Server::start(|_| None).await;
        let origin = server.origin("127.0.0.1");
        let settings = serde_json::json!({ "do": "http", "method": "POST", "url": origin });
        let exporter = ready(PluginSpec { limits, allowed_hosts: vec![origin.clone()], ..probe(settings) }).await;
        assert_eq!((exporter.limits().concurrency, exporter.limits().ordered), (3, true), "the operator decides about order");
        let calls: Vec<_> = (0..3)
            .map(|_| {
                let exporter = exporter.clone();
                tokio::spawn(async move { exporter.export(&features(1)).await })
            })
            .collect();
        // None is answered: all three wait at the same time.
        while server.seen().len() < 3 {
            tokio::task::yield_now().await;
        }
        calls.iter().for_each(|call| call.abort());
    });
}

#[test]
fn each_error_of_the_guest_arrives_as_the_outcome_of_the_same_name() {
    RUNTIME.block_on(async {
        let after = "(i32.store8 (i32.const 1040) (i32.const 1)) (i32.store (i32.const 1044) (i32.const 1500))";
        let retryable = ExportError::Retryable { reason: "boom".into(), after: Some(Duration::from_millis(1500)) };
        let partial = "(i32.store (i32.const 100) (i32.const 2)) (i32.store (i32.const 1032) (i32.const 100)) (i32.store (i32.const 1036) (i32.const 1))
            (i32.store (i32.const 1040) (i32.const 104)) (i32.store (i32.const 1044) (i32.const 1))
            (i32.store (i32.const 104) (i32.const 1)) (i32.store (i32.const 108) (i32.const 0)) (i32.store (i32.const 112) (i32.const 4))";
        let rejected = vec![RejectedEvent { index: 1, reason: "boom".into() }];
        let table = [
            (error(0, after), retryable),
            (error(0, ""), ExportError::retryable("boom")),
            (error(1, ""), ExportError::rejected("boom")),
            (error(2, partial), ExportError::Partial { retry: vec![2], rejected, after: None }),
            (error(3, ""), ExportError::misconfigured("boom")),
        ];
        for (guest, expected) in table {
            let exporter = plugin(&guest).await;
            assert_eq!(exporter.export(&features(3)).await, Err(expected.clone()));
            assert_eq!(exporter.report().last_error, Some(expected.to_string()));
            assert_eq!(exporter.stats().instances, 1, "an answer leaves the instance warm");
        }
    });
}

#[test]
fn a_partial_result_with_a_wrong_index_is_a_failure_of_the_plugin() {
    RUNTIME.block_on(async {
        let partial = "(i32.store (i32.const 100) (i32.const 7)) (i32.store (i32.const 1032) (i32.const 100)) (i32.store (i32.const 1036) (i32.const 1))";
        let exporter = plugin(&error(2, partial)).await;
        let Err(ExportError::Crashed { reason }) = exporter.export(&features(3)).await else { panic!("another outcome") };
        assert!(reason.contains("names event 7 of a call with 3 events"), "{reason}");
        assert_eq!(exporter.stats().bad_results, 1);
    });
}

#[test]
fn a_stored_line_that_cannot_be_read_goes_and_the_others_come_again() {
    RUNTIME.block_on(async {
        let exporter = plugin(&guest("")).await;
        let lines = [feature_line(0), r#"{"kind":"feature""#.to_owned(), feature_line(2)];
        let Err(ExportError::Partial { retry, rejected, after: None }) = exporter.export(&batch_of(EventKind::Feature, lines)).await else {
            panic!("another outcome")
        };
        assert_eq!((retry, rejected.len(), rejected[0].index), (vec![0, 2], 1, 1));
        assert!(rejected[0].reason.contains("the stored line cannot be read"), "{}", rejected[0].reason);
        assert_eq!(exporter.stats().calls, 0);
    });
}

#[test]
fn an_instance_is_replaced_after_ten_thousand_calls() {
    RUNTIME.block_on(async {
        let exporter = plugin(&guest("(if (i32.gt_u (global.get $calls) (i32.const 10000)) (then unreachable))")).await;
        let batch = features(1);
        for call in 0..10_001 {
            assert_eq!(exporter.export(&batch).await, Ok(()), "call {call}");
        }
        assert_eq!(exporter.stats().instances, 2);
    });
}

#[test]
fn as_many_calls_run_at_once_as_there_are_instances() {
    RUNTIME.block_on(async {
        for instances in [1, 2] {
            let limits = PluginLimits { instances, ..PluginLimits::default() };
            let exporter = ready(PluginSpec { limits, ..probe(serde_json::json!({ "do": "nap" })) }).await;
            let (one, two) = tokio::join!(ask(&exporter), ask(&exporter));
            assert!(one.is_null() && two.is_null());
            assert_eq!(exporter.stats().instances, instances as u64);
        }
    });
}

/// On a paused clock: the host runs its guests on the test's own runtime.
#[tokio::test(start_paused = true)]
async fn an_idle_instance_gives_its_memory_back() {
    let temp = tempfile::tempdir().unwrap();
    let options = HostOptions { runtime: tokio::runtime::Handle::current(), ..common::options(&temp.path().join("cache")) };
    let exporter = load(&PluginHost::start(options).unwrap(), PluginSpec::new("acme", file(&guest("")))).await;
    let idle = async |seconds| {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        assert_eq!(exporter.export(&features(1)).await, Ok(()));
        exporter.stats().instances
    };
    assert_eq!(idle(0).await, 1);
    assert_eq!(idle(299).await, 1);
    assert_eq!(idle(331).await, 2);
}
