//! Each limit: its clear error, its counter, and an exporter that works again afterwards.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::time::Duration;

use common::{RUNTIME, ask, crash, features, file, guest, guest_with, plugin, probe, ready};
use flagpost_exporter::Exporter;
use flagpost_plugin::{PluginLimits, PluginSpec, PluginStats};
use serde_json::json;

/// A guest that does something bad in its first call of an instance and returns `ok` when a batch has more than one event.
fn bad(instructions: &str) -> Vec<u8> {
    guest(&format!("(if (i32.eq (local.get $count) (i32.const 1)) (then {instructions}))"))
}

/// Fails once, then shows that the next call works on a new instance.
async fn fails_and_recovers(spec: PluginSpec, expected: &str, counted: impl Fn(&PluginStats) -> u64) {
    let exporter = ready(spec).await;
    let reason = crash(&exporter).await;
    assert!(reason.contains(expected), "{reason}");
    assert_eq!(counted(&exporter.stats()), 1, "{:?}", exporter.stats());
    assert_eq!(exporter.stats().instances, 1);
    assert_eq!(exporter.export(&features(2)).await, Ok(()), "the poisoned store was dropped");
    assert_eq!(exporter.stats().instances, 2);
    assert_eq!(exporter.report().last_error.as_deref(), Some(reason.as_str()));
}

fn spec_of(wasm: &[u8], limits: PluginLimits) -> PluginSpec {
    PluginSpec { limits, ..PluginSpec::new("acme", file(wasm)) }
}

#[test]
fn a_trap_is_a_crash_that_names_the_plugin_and_the_reason() {
    RUNTIME.block_on(fails_and_recovers(
        spec_of(&bad("unreachable"), PluginLimits::default()),
        "plugin `acme` trapped: wasm trap: wasm `unreachable` instruction executed",
        |stats| stats.traps,
    ));
}

#[test]
fn a_stack_overflow_is_a_trap() {
    let wasm = bad("(drop (call $recurse (i32.const 1)))");
    RUNTIME.block_on(fails_and_recovers(spec_of(&wasm, PluginLimits::default()), "call stack exhausted", |stats| stats.traps));
}

#[test]
fn an_endless_loop_ends_at_the_cpu_limit() {
    let limits = PluginLimits { cpu: Duration::from_millis(50), timeout: Duration::from_secs(600), ..PluginLimits::default() };
    let wasm = bad("(loop $for-ever (br $for-ever))");
    RUNTIME.block_on(fails_and_recovers(spec_of(&wasm, limits), "used more than 50 ms of CPU in one call (limits.cpu)", |stats| {
        stats.cpu_exceeded
    }));
}

#[test]
fn a_loop_of_bulk_instructions_ends_too() {
    let limits = PluginLimits { cpu: Duration::from_millis(50), timeout: Duration::from_secs(600), ..PluginLimits::default() };
    let wasm = bad("(loop $for-ever (memory.fill (i32.const 4096) (i32.const 0) (i32.const 65536)) (br $for-ever))");
    RUNTIME.block_on(fails_and_recovers(spec_of(&wasm, limits), "(limits.cpu)", |stats| stats.cpu_exceeded));
}

#[test]
fn a_memory_bomb_is_refused_and_told_what_it_wanted() {
    let limits = PluginLimits { memory: 8 << 20, ..PluginLimits::default() };
    let wasm = bad("(if (i32.eq (memory.grow (i32.const 16384)) (i32.const -1)) (then unreachable))");
    RUNTIME.block_on(fails_and_recovers(spec_of(&wasm, limits), "wanted 1 GiB of memory, limits.memory is 8 MiB", |stats| {
        stats.memory_refused
    }));
}

#[test]
fn a_guest_that_survives_a_refused_growth_keeps_its_answer_and_loses_its_instance() {
    RUNTIME.block_on(async {
        let exporter = plugin(&bad("(drop (memory.grow (i32.const 32768)))")).await;
        assert_eq!(exporter.export(&features(1)).await, Ok(()));
        assert_eq!((exporter.stats().memory_refused, exporter.stats().instances), (1, 1));
        assert_eq!(exporter.export(&features(2)).await, Ok(()));
        assert_eq!(exporter.stats().instances, 2);
    });
}

#[test]
fn a_table_bomb_is_refused() {
    let wasm = bad("(if (i32.eq (table.grow $table (ref.null func) (i32.const 1000000)) (i32.const -1)) (then unreachable))");
    RUNTIME.block_on(fails_and_recovers(spec_of(&wasm, PluginLimits::default()), "wanted a table of 1000001 elements", |stats| {
        stats.tables_refused
    }));
}

#[test]
fn start_code_and_is_bulk_are_limited_like_a_call() {
    RUNTIME.block_on(async {
        let limits = PluginLimits { cpu: Duration::from_millis(50), ..PluginLimits::default() };
        let looping = guest_with("", "(loop $for-ever (br $for-ever)) (i32.const 1)", "");
        let reason = common::invalid(spec_of(&looping, limits.clone())).await;
        assert!(reason.contains("tried out, it used more than 50 ms of CPU"), "{reason}");
        let started = guest_with("(start $init) (func $init (loop $for-ever (br $for-ever)))", "(i32.const 1)", "");
        let reason = common::invalid(spec_of(&started, limits)).await;
        assert!(reason.contains("tried out, it used more than 50 ms of CPU"), "{reason}");
        let large = guest("").to_vec();
        let limits = PluginLimits { memory: 1 << 20, ..PluginLimits::default() };
        assert!(matches!(common::load(&common::HOST, spec_of(&large, limits)).await.report().state, flagpost_plugin::PluginState::Ready));
    });
}

#[test]
fn a_sleeping_guest_ends_at_the_wall_limit() {
    RUNTIME.block_on(async {
        let limits = PluginLimits { timeout: Duration::from_millis(300), ..PluginLimits::default() };
        let exporter = ready(PluginSpec { limits, ..probe(json!({ "do": "sleep" })) }).await;
        let reason = crash(&exporter).await;
        assert!(reason.contains("did not answer within 300 ms (limits.timeout)"), "{reason}");
        assert_eq!(exporter.stats().timeouts, 1);
    });
}

#[test]
fn waiting_is_no_cpu_time() {
    RUNTIME.block_on(async {
        let limits = PluginLimits { cpu: Duration::from_millis(300), timeout: Duration::from_secs(600), ..PluginLimits::default() };
        let exporter = ready(PluginSpec { limits, ..probe(json!({ "do": "nap" })) }).await;
        assert!(ask(&exporter).await.is_null());
    });
}

#[test]
fn a_cancelled_call_costs_the_instance_and_nothing_else() {
    RUNTIME.block_on(async {
        let limits = PluginLimits { timeout: Duration::from_secs(2), ..PluginLimits::default() };
        let next = ready(PluginSpec { limits, ..probe(json!({ "do": "sleep" })) }).await;
        let batch = features(1);
        let mut call = std::pin::pin!(next.export(&batch));
        while next.stats().calls == 0 {
            tokio::select! {
                ended = &mut call => panic!("the call ended: {ended:?}"),
                () = tokio::time::sleep(Duration::from_millis(1)) => {}
            }
        }
        // Dropped in the middle of the call.
        call.set(next.export(&batch));
        assert!(crash(&next).await.contains("limits.timeout"), "it takes the next call");
        assert_eq!(next.stats().instances, 2);
    });
}

#[test]
fn a_panic_shows_its_message_and_no_control_characters() {
    RUNTIME.block_on(async {
        let exporter = ready(probe(json!({ "do": "panic" }))).await;
        let reason = crash(&exporter).await;
        assert!(
            reason.contains("plugin `probe` trapped") && reason.contains("it last printed: ") && reason.contains("the reason of the panic"),
            "{reason}"
        );
        assert!(!reason.contains(['\n', '\u{1b}']), "{reason:?}");
        assert_eq!(exporter.stats().traps, 1);
    });
}

#[test]
fn an_exit_is_told_from_a_trap() {
    RUNTIME.block_on(async {
        let exporter = ready(probe(json!({ "do": "exit" }))).await;
        let reason = crash(&exporter).await;
        // `wasi:cli/exit` carries success or failure; the number does not come through.
        assert!(reason.contains("exited with code 1; an exporter returns, it does not exit; it last printed: leaving"), "{reason}");
    });
}

#[test]
fn handles_and_bytes_given_to_the_host_are_bounded() {
    RUNTIME.block_on(async {
        let exporter = ready(probe(json!({ "do": "handles" }))).await;
        let reason = crash(&exporter).await;
        assert!(reason.contains("held more than 1024 handles of the host at once"), "{reason}");
        assert_eq!(exporter.stats().resources_refused, 1);
        let exporter = ready(probe(json!({ "do": "hostcall" }))).await;
        let reason = crash(&exporter).await;
        assert!(reason.contains("handed the host more than 32 MiB in one call"), "{reason}");
        assert_eq!(exporter.stats().hostcall_exceeded, 1);
    });
}

#[test]
fn an_instance_that_leaks_handles_is_replaced_before_it_fails() {
    RUNTIME.block_on(async {
        let exporter = ready(probe(json!({ "do": "leak", "handles": 250 }))).await;
        let mut calls = Vec::new();
        for _ in 0..4 {
            calls.push(ask(&exporter).await["calls"].as_u64().unwrap());
        }
        assert_eq!(calls, [1, 2, 1, 2]);
        assert_eq!((exporter.stats().resources_refused, exporter.stats().traps), (0, 0));
    });
}

#[test]
fn log_and_output_are_cut_and_what_is_cut_is_counted() {
    RUNTIME.block_on(async {
        for (act, written) in [("log", 100 * 4096), ("print", 100 * 6145 + 10)] {
            let exporter = ready(probe(json!({ "do": act }))).await;
            assert!(ask(&exporter).await.is_null());
            let dropped = exporter.stats().log_dropped_bytes;
            assert!(dropped > 0 && dropped <= written - (64 << 10) && dropped > written - (80 << 10), "{act}: {dropped} of {written}");
            assert!(ask(&exporter).await.is_null());
            assert_eq!(exporter.stats().log_dropped_bytes, 2 * dropped, "{act}: the budget is per call");
        }
    });
}

#[test]
fn random_bytes_come_in_bounded_portions() {
    RUNTIME.block_on(async {
        assert_eq!(ask(&*ready(probe(json!({ "do": "random", "bytes": 64 << 10 }))).await).await, 64 << 10);
        let exporter = ready(probe(json!({ "do": "random", "bytes": (64 << 10) + 1 }))).await;
        let reason = crash(&exporter).await;
        assert!(reason.contains("plugin `probe` trapped"), "{reason}");
    });
}

#[test]
fn a_giant_reason_is_cut() {
    RUNTIME.block_on(async {
        let exporter = ready(probe(json!({ "do": "giant" }))).await;
        let error = exporter.export(&features(1)).await.unwrap_err().to_string();
        assert!(error.len() < 5000 && error.contains("bytes more"), "{}", error.len());
    });
}

#[test]
fn an_instance_that_holds_most_of_its_memory_is_replaced() {
    RUNTIME.block_on(async {
        let limits = PluginLimits { memory: 32 << 20, ..PluginLimits::default() };
        let exporter = ready(PluginSpec { limits, ..probe(json!({ "do": "hold", "bytes": 10 << 20 })) }).await;
        let mut calls = Vec::new();
        for _ in 0..4 {
            calls.push(ask(&exporter).await["calls"].as_u64().unwrap());
        }
        // 1 MiB and 10, 21, 31 (worn: over 24), then a new instance.
        assert_eq!(calls, [1, 2, 3, 1]);
        assert_eq!(exporter.stats().memory_refused, 0);
        assert!(exporter.report().memory_peak > 24 << 20);
    });
}
