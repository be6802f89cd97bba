//! Another configuration while the relay runs: what changes, what is not touched, what is refused.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use flagpost_tests::{Answer, Flow, Program, Setup, Target, assert_lines, body, client, events, lines_in, until, versioned_plugin};
use rustix::process::Signal;
use serde_json::json;
use tokio::sync::Notify;

/// How often the configuration is read again under load; `FLAGPOST_RELOADS` says otherwise.
const RELOADS: u64 = 100;

fn file(name: &str) -> String {
    format!("  - {{ kind: file, name: {name}, outputDir: {name}, flushInterval: 20 }}\n")
}

fn hook(name: &str, target: &Target, more: &str) -> String {
    let url = target.url("/");
    format!(
        "  - {{ kind: webhook, name: {name}, endpointUrl: \"{url}\", flushInterval: 20, retry: {{ initial: 5ms, max: 50ms }}, {more} }}\n"
    )
}

/// Sends events with a key; the status.
async fn send_with(relay: &Program, key: &str, numbers: std::ops::Range<u64>) -> u16 {
    let request = client().post(relay.url("/v1/data/collector")).header("content-type", "application/json").header("x-api-key", key);
    request.body(body(&events(numbers))).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn exporters_are_added_changed_removed_and_come_back_when_the_file_changes() {
    let mut setup = Setup::new().with_exporters(&file("a"));
    let relay = Program::start(&setup).await;
    relay.post(&events(1..101)).await;
    relay.drained(&["a"]).await;
    setup.set_exporters(&[file("a"), file("b")].concat());
    relay.reloaded(1, 0).await;
    relay.post(&events(101..201)).await;
    relay.drained(&["a", "b"]).await;
    assert_lines(&lines_in(&setup.path("b")), &events(101..201));
    // Another directory under the same name: it goes on where it was.
    setup.set_exporters(&[file("a").replace("outputDir: a", "outputDir: a2"), file("b")].concat());
    relay.reloaded(2, 0).await;
    relay.post(&events(201..301)).await;
    relay.drained(&["a", "b"]).await;
    assert_lines(&lines_in(&setup.path("a")), &events(1..201));
    assert_lines(&lines_in(&setup.path("a2")), &events(201..301));
    // Gone: its events are kept, and it gets them when it is back.
    setup.set_exporters(&file("a"));
    relay.reloaded(3, 0).await;
    assert_eq!(relay.exporter("b").await["state"], "orphaned");
    relay.post(&events(301..401)).await;
    assert_eq!(relay.drained(&["a"]).await.counts("b").waiting, 100);
    setup.set_exporters(&[file("a"), file("b")].concat());
    relay.reloaded(4, 0).await;
    relay.drained(&["a", "b"]).await;
    assert_lines(&lines_in(&setup.path("b")), &events(101..401));
    relay.stop().await;
    // The next start agrees with what was reloaded.
    let relay = Program::start(&setup).await;
    relay.drained(&["a", "b"]).await;
    assert_lines(&lines_in(&setup.path("b")), &events(101..401));
    relay.stop().await;
}

#[tokio::test]
async fn an_exporter_that_did_not_change_is_not_touched() {
    let answered = Arc::new(Notify::new());
    let target = {
        let answered = answered.clone();
        Target::start(move |_| Answer::After(answered.clone())).await
    };
    let mut setup = Setup::new().with_exporters(&[hook("slow", &target, ""), file("a")].concat());
    let relay = Program::start(&setup).await;
    relay.post(&events(1..11)).await;
    until("an attempt is under way", async || (target.requests() == 1).then_some(())).await;
    // Others come, go and change; it only gets another place in the file, and another part of the store.
    for (count, others) in [file("a").replace("20", "30"), [file("b"), file("c")].concat(), String::new()].into_iter().enumerate() {
        setup.set_exporters(&[others, hook("slow", &target, "")].concat());
        relay.reloaded(count as u64 + 1, 0).await;
    }
    answered.notify_one();
    let metrics = relay.drained(&["slow"]).await;
    assert_eq!((target.requests(), metrics.sum("flagpost_exporter_retried_total", &[("exporter", "slow")])), (1, 0.0));
    assert_eq!(target.taken(), (1..11).collect::<Vec<_>>());
    relay.stop().await;
}

#[tokio::test]
async fn the_batch_under_way_wins_over_changed_settings() {
    let (old, new) = (Target::start(|_| Answer::Status(503)).await, Target::good().await);
    let mut setup = Setup::new().with_exporters(&hook("hook", &old, ""));
    let relay = Program::start(&setup).await;
    relay.post(&events(1..101)).await;
    until("it fails", async || (old.requests() > 1).then_some(())).await;
    setup.set_exporters(&hook("hook", &new, "maxEventInMemory: 7"));
    relay.reloaded(1, 0).await;
    relay.drained(&["hook"]).await;
    relay.post(&events(101..115)).await;
    relay.drained(&["hook"]).await;
    let sizes: Vec<usize> = new.received().iter().map(|received| received.numbers().len()).collect();
    assert_eq!(sizes, [100, 7, 7], "the batch as it was planned, then as the new settings say");
    assert_eq!(new.taken(), (1..115).collect::<Vec<_>>());
    relay.stop().await;
}

#[tokio::test]
async fn a_wrong_configuration_changes_nothing_and_all_of_its_problems_are_said() {
    let mut setup = Setup::new().with_exporters(&file("a"));
    let relay = Program::start(&setup).await;
    setup.set_exporters(&[file("b"), "  - { kind: fiel, outputDir: c }\n  - { kind: webhook }\n".to_owned()].concat());
    let now = relay.reloaded(0, 1).await;
    let error = now["error"].as_str().unwrap_or_else(|| panic!("no error: {now}"));
    assert!(error.contains("fiel") && error.contains("endpointUrl") && error.contains("flagpost.yaml:"), "{error}");
    assert!(relay.log().contains("the configuration is wrong, and the one before goes on"), "{}", relay.log());
    let metrics = relay.metrics().await;
    assert_eq!(metrics.sum("flagpost_config_last_reload_successful", &[]), 0.0);
    let since = metrics.sum("flagpost_config_last_reload_success_timestamp_seconds", &[]);
    relay.post(&events(1..11)).await;
    relay.drained(&["a"]).await;
    assert!(relay.metrics().await.exporters() == ["a"]);
    // Half of a file, and none.
    let whole = fs::read(setup.config()).unwrap();
    fs::write(setup.config(), &whole[..whole.len() / 2]).unwrap();
    relay.reloaded(0, 2).await;
    fs::remove_file(setup.config()).unwrap();
    let now = relay.reloaded(0, 3).await;
    assert!(now["error"].as_str().is_some_and(|error| error.contains("cannot be read")), "{now}");
    setup.set_exporters(&[file("a"), file("b")].concat());
    let now = relay.reloaded(1, 3).await;
    assert_eq!((&now["lastReloadSuccessful"], &now["error"]), (&json!(true), &json!(null)));
    let metrics = relay.metrics().await;
    assert_eq!(metrics.sum("flagpost_config_last_reload_successful", &[]), 1.0);
    assert!(metrics.sum("flagpost_config_last_reload_success_timestamp_seconds", &[]) >= since && since > 0.0);
    relay.stop().await;
}

#[tokio::test]
async fn a_sighup_reads_the_same_file_again_and_nothing_is_touched() {
    let setup = Setup::new().with_exporters(&file("a"));
    let relay = Program::start(&setup).await;
    for count in 1..4 {
        relay.signal(Signal::HUP);
        relay.reloaded(count, 0).await;
    }
    relay.post(&events(1..11)).await;
    relay.drained(&["a"]).await;
    relay.stop().await;
}

#[tokio::test]
async fn keys_and_flag_sets_change_with_the_next_request() {
    let mut setup = Setup::new().with_head("evaluation: none\nauthorizedKeys: { evaluation: [ old ] }\n").with_exporters(&file("a"));
    let relay = Program::start(&setup).await;
    assert_eq!((send_with(&relay, "old", 1..11).await, send_with(&relay, "new", 1..2).await), (200, 401));
    setup.set_head("evaluation: none\nauthorizedKeys: { evaluation: [ new ] }\n");
    relay.reloaded(1, 0).await;
    assert_eq!((send_with(&relay, "old", 1..2).await, send_with(&relay, "new", 11..21).await), (401, 200));
    relay.drained(&["a"]).await;
    // From keys that decide nothing to keys that decide whose events they are.
    let set = |name: &str, key: &str| {
        format!(
            "  - name: {name}\n    apiKeys: [ {key} ]\n    exporters: [ {{ kind: file, name: {name}, outputDir: {name}, flushInterval: 20 }} ]\n"
        )
    };
    setup.set_exporters("");
    setup.set_head(&format!("evaluation: none\nflagSets:\n{}{}", set("acme", "acme-1"), set("globex", "globex-1")));
    relay.reloaded(2, 0).await;
    assert_eq!(
        (send_with(&relay, "acme-1", 1..6).await, send_with(&relay, "globex-1", 6..11).await, send_with(&relay, "new", 1..2).await),
        (200, 200, 401)
    );
    relay.drained(&["acme", "globex"]).await;
    assert_lines(&lines_in(&setup.path("acme")), &events(1..6));
    assert_lines(&lines_in(&setup.path("globex")), &events(6..11));
    let (_, info) = relay.get("/info").await;
    assert!(info.contains("acme") && info.contains("globex"), "{info}");
    // One goes, one comes, one gets another key.
    setup.set_head(&format!("evaluation: none\nflagSets:\n{}{}", set("acme", "acme-2"), set("umbrella", "umbrella-1")));
    relay.reloaded(3, 0).await;
    let statuses = [("acme-1", 401), ("acme-2", 200), ("globex-1", 401), ("umbrella-1", 200)];
    for (key, status) in statuses {
        assert_eq!(send_with(&relay, key, 21..26).await, status, "{key}");
    }
    relay.drained(&["acme", "umbrella"]).await;
    assert_lines(&lines_in(&setup.path("umbrella")), &events(21..26));
    assert_lines(&lines_in(&setup.path("globex")), &events(6..11));
    relay.stop().await;
}

#[tokio::test]
async fn keys_that_need_a_restart_are_named_and_the_others_hold() {
    let mut setup = Setup::new().with_exporters(&file("a"));
    let relay = Program::start(&setup).await;
    setup.set_exporters(&[file("a"), file("b")].concat());
    setup.set_head("evaluation: none\nbuffer: { path: elsewhere, minFree: 2MiB }\nlogFormat: logfmt\n");
    let now = until("both changes were read", async || {
        let now = relay.configuration().await;
        (now["needsRestart"] == json!(["buffer.path", "logFormat"])).then_some(now)
    })
    .await;
    assert_eq!(now["lastReloadSuccessful"], true);
    assert!(relay.log().contains("holds from the next start on") && relay.log().contains("buffer.path"), "{}", relay.log());
    assert_eq!(relay.metrics().await.sum("flagpost_config_needs_restart", &[]), 2.0);
    relay.post(&events(1..11)).await;
    relay.drained(&["a", "b"]).await;
    assert_lines(&lines_in(&setup.path("b")), &events(1..11));
    relay.stop().await;
    // Taken back, nothing is left to say.
    let relay = Program::start(&setup).await;
    assert_eq!(relay.configuration().await["needsRestart"], json!([]));
    relay.stop().await;
}

#[tokio::test]
async fn a_limit_and_the_level_of_the_log_hold_at_once() {
    let mut setup = Setup::new().with_exporters(&file("a"));
    let relay = Program::start(&setup).await;
    let reads = |relay: &Program| relay.log().matches("the configuration is read again").count();
    setup.set_head("evaluation: none\nlogLevel: error\ncollector: { maxBody: 1KiB }\n");
    relay.reloaded(1, 0).await;
    assert_eq!(relay.try_post(&client(), &events(1..100)).await, Some(413));
    let before = reads(&relay);
    relay.signal(Signal::HUP);
    relay.reloaded(2, 0).await;
    setup.set_head("evaluation: none\nlogLevel: info\n");
    relay.reloaded(3, 0).await;
    assert_eq!(relay.try_post(&client(), &events(1..100)).await, Some(200));
    relay.signal(Signal::HUP);
    relay.reloaded(4, 0).await;
    until("the last one is logged", async || (reads(&relay) > before).then_some(())).await;
    assert_eq!(reads(&relay), before + 1, "the others came while only errors were logged");
    relay.stop().await;
}

#[tokio::test]
async fn a_changed_plugin_is_taken_over_once_it_runs_and_one_that_does_not_run_is_refused_with_everything_else() {
    let target = Target::good().await;
    let plugin = |path: &str, more: &str| {
        format!(
            "  - {{ kind: wasm, name: plugin, path: {path}, flushInterval: 20, config: {{ endpoint: \"{0}\" }}, allowedHosts: [ \"POST {0}\" ], {more} }}\n",
            target.url("")
        )
    };
    let mut setup = Setup::new().with_exporters(&plugin("one.wasm", ""));
    setup.plugin("one.wasm", versioned_plugin(1));
    setup.plugin("two.wasm", versioned_plugin(2));
    setup.plugin("bad.wasm", "no component");
    let relay = Program::start(&setup).await;
    relay.in_state("plugin", "running").await;
    setup.set_exporters(&[plugin("bad.wasm", ""), file("a")].concat());
    let now = relay.reloaded(0, 1).await;
    assert!(now["error"].as_str().is_some_and(|error| error.contains("`plugin`") && error.contains("is not WebAssembly")), "{now}");
    assert!(relay.metrics().await.exporters() == ["plugin"], "nothing of it holds");
    relay.post(&events(1..11)).await;
    relay.drained(&["plugin"]).await;
    setup.set_exporters(&[plugin("two.wasm", "limits: { timeout: 5s }"), file("a")].concat());
    relay.reloaded(1, 1).await;
    relay.post(&events(11..21)).await;
    relay.drained(&["plugin", "a"]).await;
    let versions: Vec<String> =
        target.received().iter().map(|received| received.headers["x-version"].to_str().unwrap().to_owned()).collect();
    assert!(versions.first().unwrap().ends_with("001") && versions.last().unwrap().ends_with("002"), "{versions:?}");
    relay.stop().await;
}

/// How often a configuration was read since the start.
async fn reads(relay: &Program) -> u64 {
    let now = relay.configuration().await;
    now["applied"].as_u64().unwrap() + now["refused"].as_u64().unwrap()
}

/// Has the configuration read again: more often than `before`, with that result. (It may also have been seen to change.)
async fn read_again(relay: &Program, before: u64, good: bool) {
    relay.signal(Signal::HUP);
    until("the configuration was read", async || {
        let now = relay.configuration().await;
        (now["lastReloadSuccessful"] == good && reads(relay).await > before).then_some(())
    })
    .await;
}

#[tokio::test]
async fn reading_the_configuration_again_and_again_under_load_loses_nothing_invents_nothing_and_stalls_nobody() {
    let rounds = std::env::var("FLAGPOST_RELOADS").map_or(RELOADS, |text| text.parse().unwrap());
    let (one, other) = (Target::good().await, Target::good().await);
    let always = file("out");
    let mut setup = Setup::new().with_exporters(&[always.clone(), hook("moves", &one, "")].concat());
    let relay = Program::start(&setup).await;
    let flow = Flow::start(&relay, 20, Duration::from_millis(10));
    for round in 1..=rounds {
        let before = relay.metrics().await.counts("out").delivered;
        let read = reads(&relay).await;
        if round % 2 == 0 {
            let wrong = [
                "  - { kind: nothing }\n",
                "  - { kind: webhook }\n",
                "  - [\n",
                "  - { kind: file, outputDir: out, maxEventsInMemory: 7 }\n",
            ];
            setup.set_exporters(&[always.clone(), wrong[round as usize / 2 % wrong.len()].to_owned()].concat());
        } else {
            // It moves, is served in another way, goes and comes back, beside others that come and go.
            let target = if round % 3 == 0 { &one } else { &other };
            let moves =
                if round % 10 == 5 { String::new() } else { hook("moves", target, &format!("maxEventInMemory: {}", 10 + round % 40)) };
            let beside = if round % 4 == 1 { file(&format!("beside-{}", round % 8)) } else { String::new() };
            setup.set_exporters(&[moves, always.clone(), beside].concat());
        }
        read_again(&relay, read, round % 2 == 1).await;
        until("the file beside it goes on", async || (relay.metrics().await.counts("out").delivered > before).then_some(())).await;
    }
    let read = reads(&relay).await;
    setup.set_exporters(&[always, hook("moves", &one, "")].concat());
    read_again(&relay, read, true).await;
    flow.goes_on().await;
    let end = flow.end().await;
    let metrics = relay.drained(&["out", "moves"]).await;
    let counts = metrics.counts("moves");
    assert_eq!((counts.accepted, counts.delivered, counts.dead, counts.dropped), (end - 1, end - 1, 0, 0));
    assert_lines(&lines_in(&setup.path("out")), &events(1..end));
    // Every event at one of the two, once; and in order at each, since a batch is never overtaken by a later one.
    let (first, second) = (one.taken(), other.taken());
    assert!(first.is_sorted() && second.is_sorted(), "in order");
    let mut times: BTreeMap<u64, usize> = BTreeMap::new();
    first.into_iter().chain(second).for_each(|number| *times.entry(number).or_default() += 1);
    assert_eq!(times.len() as u64, end - 1, "no event is lost or invented");
    assert!(times.values().all(|&times| times == 1), "each once");
    relay.stop().await;
}
