//! The bookkeeping is lost between two runs while events wait: they may come twice, and none may be missing.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flagpost_tests::{Answer, Program, Setup, Target, events};

fn track(number: u64) -> String {
    format!(
        r#"{{"kind":"tracking","contextKind":"user","userKey":"u-{number}","creationDate":1700000000,"key":"checkout","evaluationContext":{{"a":1}},"trackingEventDetails":{{"value":{number}}}}}"#
    )
}

#[tokio::test]
async fn a_backlog_in_several_segments_survives_the_loss_of_the_bookkeeping() {
    for how in ["deleted", "damaged"] {
        let open = Arc::new(AtomicBool::new(false));
        let gate = || {
            let open = open.clone();
            move |_: &flagpost_tests::Received| Answer::Status(if open.load(Ordering::SeqCst) { 200 } else { 503 })
        };
        let (features, tracks) = (Target::start(gate()).await, Target::start(gate()).await);
        let hook = |name: &str, kind: &str, target: &Target| {
            format!(
                "  - {{ kind: webhook, name: {name}, eventType: {kind}, endpointUrl: \"{}\", flushInterval: 20, retry: {{ initial: 5ms, max: 20ms }} }}",
                target.url("/")
            )
        };
        // Many others come before the one that reads the second stream: there is time to trim it.
        let others = (0..12).map(|n| format!("  - {{ kind: file, name: other-{n}, outputDir: other-{n}, flushInterval: 20 }}"));
        let exporters = std::iter::once(hook("features", "feature", &features)).chain(others).chain([hook("tracks", "tracking", &tracks)]);
        let exporters = exporters.collect::<Vec<_>>().join("\n");
        let setup = Setup::new().with_exporters(&exporters);
        // Each life begins a segment of its own; the first ones hold nothing of the stream whose exporter comes first.
        for life in 0..4 {
            let relay = Program::start(&setup).await;
            let numbers = life * 100 + 1..life * 100 + 101;
            relay.post(&numbers.map(track).collect::<Vec<_>>()).await;
            if life == 3 {
                relay.post(&events(1..401)).await;
            }
            relay.stop().await;
        }
        let segments = || {
            fs::read_dir(setup.store())
                .unwrap()
                .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|ext| ext == "segment"))
                .count()
        };
        assert!(segments() >= 4, "{} segments", segments());
        let ledger = setup.store().join("ledger.sqlite");
        match how {
            "deleted" => fs::remove_file(&ledger).unwrap(),
            _ => fs::write(&ledger, vec![0x5a; 8_192]).unwrap(),
        }
        open.store(true, Ordering::SeqCst);
        let relay = Program::start(&setup).await;
        let metrics = relay.drained(&["features", "tracks"]).await;
        for (name, target) in [("features", &features), ("tracks", &tracks)] {
            let counts = metrics.counts(name);
            assert_eq!((counts.accepted, counts.delivered), (400, 400), "{how}: {name}");
            let taken: BTreeSet<u64> = target.taken().into_iter().collect();
            assert_eq!(taken, (1..401).collect(), "{how}: {name}");
        }
        if how == "damaged" {
            assert!(relay.log().contains("set aside"), "{}", relay.log());
        }
        relay.stop().await;
    }
}
