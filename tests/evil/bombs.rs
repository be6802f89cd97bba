//! Files that are no plugin and cost whoever reads or compiles them; and a plugin whose harm only its author can see.

use std::fs::File;

use flagpost_tests::{Author, Guest, Program, Setup, assert_lines, events, evil_plugin, guest, lines_in};

use super::contained::BESIDE;

/// Invalid, named, and cured by a good file; the exporter beside it delivers.
async fn is_refused(bytes: impl FnOnce(&Setup), words: &str) {
    let wasm = "  - { kind: wasm, name: hostile, path: hostile.wasm, flushInterval: 20 }\n";
    let setup = Setup::new().with_exporters(&format!("{wasm}{BESIDE}"));
    bytes(&setup);
    let relay = Program::start(&setup).await;
    relay.post(&events(1..101)).await;
    let task = relay.in_state("hostile", "invalid").await;
    let reason = task["reason"].as_str().unwrap_or_default();
    assert!(reason.contains(words), "`{words}` is not in: {reason}");
    assert_eq!(relay.get("/health").await.0, 200);
    relay.post(&events(101..201)).await;
    let counts = relay.drained(&["out"]).await.counts("hostile");
    assert_eq!((counts.waiting, counts.dead, counts.dropped), (200, 0, 0));
    assert_lines(&lines_in(&setup.path("out")), &events(1..201));
    setup.plugin("hostile.wasm", guest(Guest::Takes, true));
    relay.complete("hostile", 200).await;
    relay.stop().await;
}

#[tokio::test]
async fn a_giant_file_is_not_read() {
    let giant = |setup: &Setup| {
        let file = File::create(setup.path("plugins/hostile.wasm")).unwrap();
        // It has no blocks: only its size is large.
        file.set_len((256 << 20) + 1).unwrap();
    };
    is_refused(giant, "at most 256 MiB are loaded").await;
}

/// A component in a component in a component…
fn nested(depth: usize) -> Vec<u8> {
    const HEAD: [u8; 8] = *b"\0asm\x0d\0\x01\0";
    // From the inside out, backwards, so that nothing is copied again and again.
    let mut backwards: Vec<u8> = HEAD.iter().rev().copied().collect();
    for _ in 1..depth {
        let mut size = backwards.len();
        let mut leb = Vec::new();
        loop {
            let more = size >= 0x80;
            leb.push((size & 0x7f) as u8 | if more { 0x80 } else { 0 });
            size >>= 7;
            if !more {
                break;
            }
        }
        backwards.extend(leb.iter().rev());
        // A section with a component in it.
        backwards.push(4);
        backwards.extend(HEAD.iter().rev());
    }
    backwards.reverse();
    backwards
}

#[tokio::test]
async fn a_component_that_is_nested_without_end_is_refused() {
    is_refused(|setup| setup.plugin("hostile.wasm", nested(200_000)), "compil").await;
}

#[tokio::test]
async fn a_component_with_a_thousand_thousand_functions_is_refused() {
    let many = |setup: &Setup| {
        let functions = "(func)".repeat(1_000_001);
        setup.plugin("hostile.wasm", wat::parse_str(format!("(component (core module {functions}))")).unwrap());
    };
    is_refused(many, "it does not compile").await;
}

#[test]
fn what_acknowledges_and_keeps_is_shown_to_its_author() {
    let setup = Setup::new();
    std::fs::copy(evil_plugin(), setup.path("keeps.wasm")).unwrap();
    std::fs::write(setup.path("config.yaml"), "{ do: buffer }").unwrap();
    let finished = Author::at(setup.directory()).run(&["test", "keeps.wasm", "--config", "config.yaml", "--chaos"]);
    assert!(!finished.status.success());
    assert!(finished.text.contains("24 of 24 acknowledged events were in no request"), "{}", finished.text);
}
