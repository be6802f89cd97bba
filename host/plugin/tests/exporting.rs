//! What comes back from `export`, and what becomes of it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::time::Duration;

use common::{RUNTIME, batch_of, features, guest, guest_with, plugin, tracking_line};
use flagpost_event::EventKind;
use flagpost_exporter::{ExportError, Exporter, RejectedEvent};

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
