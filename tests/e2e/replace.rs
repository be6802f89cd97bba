//! Another file in place of a plugin that runs: under load, good and bad ones, again and again.

use std::fs;
use std::time::Duration;

use flagpost_tests::{
    Answer, Flow, Guest, Program, Received, Setup, Target, assert_lines, events, guest, lines_in, until, versioned_plugin,
};

/// How often the plugin is replaced; `FLAGPOST_REPLACEMENTS` says otherwise.
const REPLACEMENTS: u64 = 50;

/// A plugin that posts to the target, and a file beside it.
fn beside_a_file(target: &Target, more: &str) -> Setup {
    let exporters = format!(
        "  - {{ kind: wasm, name: plugin, path: plugin.wasm, flushInterval: 20, retry: {{ initial: 5ms, max: 50ms }}, \
         config: {{ endpoint: \"{0}\" }}, allowedHosts: [ \"POST {0}\" ], {more} }}\n  \
         - {{ kind: file, name: out, outputDir: out, flushInterval: 20 }}",
        target.url("")
    );
    Setup::new().with_exporters(&exporters)
}

fn header<'r>(received: &'r Received, name: &str) -> &'r str {
    received.headers[name].to_str().unwrap()
}

fn version(received: &Received) -> u64 {
    header(received, "x-version").rsplit('-').next().unwrap().parse().unwrap()
}

/// The numbers of the events in a request.
fn numbers(received: &Received) -> Vec<u64> {
    let text = std::str::from_utf8(&received.body).unwrap();
    text.lines().map(|line| line.strip_prefix("u-").unwrap().parse().unwrap()).collect()
}

fn is_taken(received: &Received) -> bool {
    matches!(received.answer, Answer::Status(200))
}

#[tokio::test]
async fn a_batch_that_the_running_plugin_fails_for_ever_reaches_the_next_one_with_its_id() {
    let target = Target::start(|received| if version(received) == 1 { Answer::Status(503) } else { Answer::Status(200) }).await;
    let setup = beside_a_file(&target, "");
    setup.plugin("plugin.wasm", versioned_plugin(1));
    let relay = Program::start(&setup).await;
    relay.post(&events(1..101)).await;
    until("it fails again and again", async || (target.requests() > 3).then_some(())).await;
    setup.plugin("plugin.wasm", versioned_plugin(2));
    let counts = relay.drained(&["plugin", "out"]).await.counts("plugin");
    assert_eq!((counts.delivered, counts.dead, counts.dropped), (100, 0, 0));
    let received = target.received();
    let taken: Vec<&Received> = received.iter().filter(|received| is_taken(received)).collect();
    assert_eq!(taken.iter().flat_map(|received| numbers(received)).collect::<Vec<_>>(), (1..101).collect::<Vec<_>>());
    assert_eq!(header(taken[0], "x-batch"), header(&received[0], "x-batch"), "the batch keeps its id");
    assert_eq!((version(taken[0]), header(taken[0], "x-attempt")), (2, "1"), "its attempts start anew");
    let report = relay.exporter("plugin").await;
    assert_eq!((&report["plugin"]["generation"], &report["plugin"]["stats"]["replacements"]), (&2.into(), &1.into()), "{report}");
    relay.stop().await;
}

#[tokio::test]
async fn a_bad_file_in_place_of_a_running_plugin_is_named_and_the_older_one_goes_on() {
    let target = Target::good().await;
    let setup = beside_a_file(&target, "");
    setup.plugin("plugin.wasm", versioned_plugin(1));
    let relay = Program::start(&setup).await;
    relay.in_state("plugin", "running").await;
    for (nth, (bytes, words)) in
        [(b"no component".to_vec(), "is not WebAssembly"), (guest(Guest::OtherWorld, true), "it exports `run`")].into_iter().enumerate()
    {
        setup.plugin("plugin.wasm", bytes);
        let task = until("the file is refused", async || {
            let task = relay.exporter("plugin").await;
            task["plugin"]["refused"]["reason"].as_str().is_some_and(|reason| reason.contains(words)).then_some(task)
        })
        .await;
        assert_eq!((&task["state"], &task["plugin"]["state"]), (&"running".into(), &"ready".into()), "{task}");
        let metrics = relay.metrics().await;
        let of = [("exporter", "plugin")];
        assert_eq!(metrics.sum("flagpost_plugin_file_refused", &of), 1.0);
        assert_eq!(metrics.sum("flagpost_plugin_files_refused_total", &of), (nth + 1) as f64);
        until("the log names it, too", async || relay.log().contains(words).then_some(())).await;
    }
    relay.post(&events(1..11)).await;
    relay.drained(&["plugin", "out"]).await;
    assert!(target.received().iter().all(|received| version(received) == 1));
    fs::remove_file(setup.path("plugins/plugin.wasm")).unwrap();
    until("the file is gone", async || relay.exporter("plugin").await.to_string().contains("the file is gone").then_some(())).await;
    relay.post(&events(11..21)).await;
    relay.drained(&["plugin", "out"]).await;
    assert_eq!(target.received().iter().flat_map(numbers).collect::<Vec<_>>(), (1..21).collect::<Vec<_>>());
    relay.stop().await;
}

/// What is put in the plugin's place.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Good,
    NoComponent,
    OtherWorld,
    TrapsOnEvents,
    HalfCopied,
}

#[tokio::test]
async fn replacing_a_plugin_again_and_again_under_load_loses_nothing_invents_nothing_and_stalls_nobody() {
    let rounds = std::env::var("FLAGPOST_REPLACEMENTS").map_or(REPLACEMENTS, |text| text.parse().unwrap());
    let target = Target::good().await;
    let setup = beside_a_file(&target, "");
    setup.plugin("plugin.wasm", versioned_plugin(0));
    let relay = Program::start(&setup).await;
    let flow = Flow::start(&relay, 20, Duration::from_millis(10));
    let place = setup.path("plugins/plugin.wasm");
    let mut expected = vec![0];
    let (mut replaced, mut refused) = (0, 0);
    for round in 1..=rounds {
        let kind = [Kind::Good, Kind::NoComponent, Kind::Good, Kind::TrapsOnEvents, Kind::HalfCopied, Kind::Good, Kind::OtherWorld]
            [round as usize % 7];
        let before = relay.metrics().await.counts("out").delivered;
        let whole = versioned_plugin(round);
        match kind {
            Kind::Good => setup.plugin("plugin.wasm", &whole),
            Kind::NoComponent => setup.plugin("plugin.wasm", format!("this is no component: {round}")),
            Kind::OtherWorld => setup.plugin("plugin.wasm", [guest(Guest::OtherWorld, true), custom(round)].concat()),
            Kind::TrapsOnEvents => setup.plugin("plugin.wasm", [guest(Guest::Traps, true), custom(round)].concat()),
            // Written in place, as a careless operator does.
            Kind::HalfCopied => fs::write(&place, &whole[..whole.len() / 2]).unwrap(),
        }
        match kind {
            Kind::Good => {
                delivers(&target, round).await;
                (replaced, expected) = (replaced + 1, [expected, vec![round]].concat());
            }
            Kind::TrapsOnEvents => {
                replaced += 1;
                until("it traps", async || {
                    let plugin = relay.exporter("plugin").await["plugin"].clone();
                    (plugin["stats"]["replacements"] == replaced && plugin["crashesInARow"].as_u64() > Some(0)).then_some(())
                })
                .await;
            }
            Kind::NoComponent | Kind::OtherWorld | Kind::HalfCopied => {
                refused += 1;
                until("it is refused", async || {
                    (relay.exporter("plugin").await["plugin"]["stats"]["filesRefused"] == refused).then_some(())
                })
                .await;
                if matches!(kind, Kind::HalfCopied) {
                    // The copy ends after all.
                    fs::write(&place, &whole).unwrap();
                    delivers(&target, round).await;
                    (replaced, expected) = (replaced + 1, [expected, vec![round]].concat());
                }
            }
        }
        until("the file beside it goes on", async || (relay.metrics().await.counts("out").delivered > before).then_some(())).await;
    }
    // Whatever came last, a good one ends it.
    setup.plugin("plugin.wasm", versioned_plugin(999));
    delivers(&target, 999).await;
    let end = flow.end().await;
    let metrics = relay.drained(&["plugin", "out"]).await;
    let counts = metrics.counts("plugin");
    assert_eq!((counts.accepted, counts.delivered, counts.dead, counts.dropped), (end - 1, end - 1, 0, 0));
    let received = target.received();
    assert_eq!(received.iter().flat_map(numbers).collect::<Vec<_>>(), (1..end).collect::<Vec<_>>(), "each once, in order");
    let mut versions: Vec<u64> = received.iter().map(version).collect();
    versions.dedup();
    expected.push(999);
    assert_eq!(versions, expected, "each generation delivered, one after the other");
    assert_lines(&lines_in(&setup.path("out")), &events(1..end));
    relay.stop().await;
}

/// Waits until the plugin's version arrives at the target.
async fn delivers(target: &Target, wanted: u64) {
    until(&format!("version {wanted} delivers"), async || target.last().is_some_and(|received| version(&received) == wanted).then_some(()))
        .await;
}

/// A section that means nothing: the same component with other bytes.
fn custom(round: u64) -> Vec<u8> {
    let text = format!("{round:03}");
    [&[0, 5, 1, b'n'][..], text.as_bytes()].concat()
}
