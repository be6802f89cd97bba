//! Events that a target never takes, and targets that take nothing.

use flagpost_tests::{Answer, Guest, Program, Received, Setup, Target, assert_lines, books, events, guest, lines_in, poison};

/// Refuses every request that holds a poisoned event.
fn refuses_poison(received: &Received) -> Answer {
    let text = std::str::from_utf8(&received.body).unwrap();
    if text.contains(r#""variation":"poison""#) { Answer::Status(400) } else { Answer::Status(200) }
}

#[tokio::test]
async fn one_poisoned_event_among_ten_thousand_is_the_only_dead_one() {
    let target = Target::start(refuses_poison).await;
    let exporters = format!(
        "  - {{ kind: webhook, name: hook, endpointUrl: \"{}\", flushInterval: 50, maxEventInMemory: 2500, retry: {{ initial: 5ms, max: 50ms }} }}\n  - {{ kind: file, name: out, outputDir: out, flushInterval: 50 }}",
        target.url("/")
    );
    let setup = Setup::new().with_exporters(&exporters);
    let relay = Program::start(&setup).await;
    let mut all = events(1..10_001);
    all[6_788] = poison(6_789);
    for batch in all.chunks(1_000) {
        relay.post(batch).await;
    }
    let metrics = relay.drained(&["hook", "out"]).await;
    let counts = metrics.counts("hook");
    assert_eq!((counts.delivered, counts.dead, counts.dropped), (9_999, 1, 0));
    let mut taken = target.taken();
    taken.sort_unstable();
    assert_eq!(taken, (1..10_001).filter(|&number| number != 6_789).collect::<Vec<_>>(), "each of the others exactly once");
    assert_lines(&lines_in(&setup.path("out")), &all);
    relay.stop().await;
    let books = books(&setup);
    let record = books.ledger.consumers().into_iter().find(|record| record.identity.exporter == "hook").unwrap();
    let letters = books.ledger.dead_letters(record.id, None, 10).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(String::from_utf8(letters[0].event.clone()).unwrap(), poison(6_789));
    assert!(letters[0].reason.contains("400"), "{}", letters[0].reason);
}

#[tokio::test]
async fn a_plugin_that_traps_on_everything_condemns_nothing() {
    let exporters = "
  - { kind: wasm, name: trap, path: trap.wasm, flushInterval: 20, retry: { initial: 1ms, max: 2ms } }
  - { kind: file, name: out, outputDir: out, flushInterval: 50 }";
    let setup = Setup::new().with_exporters(exporters);
    setup.plugin("trap.wasm", guest(Guest::Traps, true));
    let relay = Program::start(&setup).await;
    for start in (0..100_000).step_by(5_000) {
        relay.post(&events(start + 1..start + 5_001)).await;
    }
    // Bisected down to single events, and none of them could be delivered.
    relay.in_state("trap", "misconfigured").await;
    let metrics = relay.drained(&["out"]).await;
    assert!(metrics.sum("flagpost_plugin_traps_total", &[]) >= 20.0);
    let counts = metrics.counts("trap");
    assert_eq!((counts.dead, counts.dropped, counts.delivered, counts.waiting), (0, 0, 0, 100_000));
    // A good version gets them all.
    setup.plugin("trap.wasm", guest(Guest::Takes, true));
    relay.stop().await;
    let relay = Program::start(&setup).await;
    let counts = relay.drained(&["trap"]).await.counts("trap");
    assert_eq!((counts.dead, counts.dropped, counts.delivered), (0, 0, 100_000));
    relay.stop().await;
}

#[tokio::test]
async fn a_target_that_refuses_everything_condemns_nothing() {
    let target = Target::start(|_| Answer::Status(400)).await;
    let exporters = format!(
        "  - {{ kind: webhook, name: hook, endpointUrl: \"{}\", flushInterval: 20, retry: {{ initial: 1ms, max: 2ms }} }}",
        target.url("/")
    );
    let setup = Setup::new().with_exporters(&exporters);
    let relay = Program::start(&setup).await;
    relay.post(&events(1..1_001)).await;
    let task = relay.in_state("hook", "misconfigured").await;
    assert_eq!((&task["dead"], &task["waiting"]), (&0.into(), &1_000.into()), "{task}");
    relay.stop().await;
}
