//! Dead letters: looking at them, sending them again, dropping them, by the commands and by the admin routes.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use flagpost_tests::{
    Answer, Client, Finished, Program, Received, Setup, Target, assert_lines, books, client, events, flagpost, poison, program_path,
    sorted, until,
};
use serde_json::{Value, json};

const KEY: &str = "boss-key";

/// What the target does with poison.
#[derive(Clone, Default)]
struct Mood(Arc<AtomicU8>);

const REFUSES: u8 = 0;
const TAKES: u8 = 1;
const HANGS: u8 = 2;

impl Mood {
    fn set(&self, mood: u8) {
        self.0.store(mood, Ordering::SeqCst);
    }

    fn answer(&self, received: &Received) -> Answer {
        let text = std::str::from_utf8(&received.body).unwrap();
        match self.0.load(Ordering::SeqCst) {
            REFUSES if text.contains(r#""variation":"poison""#) => Answer::Status(400),
            HANGS => Answer::Hang,
            _ => Answer::Status(200),
        }
    }
}

async fn moody() -> (Target, Mood) {
    let mood = Mood::default();
    let answers = mood.clone();
    (Target::start(move |received| answers.answer(received)).await, mood)
}

fn setup(target: &Target) -> Setup {
    let hook = format!(
        "  - {{ kind: webhook, name: hook, endpointUrl: \"{}\", flushInterval: 50, maxEventInMemory: 3, retry: {{ initial: 5ms, max: 50ms }} }}\n  - {{ kind: file, name: out, outputDir: out, flushInterval: 50 }}",
        target.url("/")
    );
    Setup::new().with_head(&format!("evaluation: none\nauthorizedKeys: {{ admin: [ {KEY} ] }}\n")).with_exporters(&hook)
}

/// Sends `count` events of which these are poison, and waits until they are dead.
async fn condemn(relay: &Program, count: u64, guilty: &[u64]) -> Vec<String> {
    let mut all = events(1..count + 1);
    guilty.iter().for_each(|&number| all[number as usize - 1] = poison(number));
    for batch in all.chunks(100) {
        relay.post(batch).await;
    }
    let counts = relay.drained(&["hook", "out"]).await.counts("hook");
    assert_eq!((counts.dead, counts.delivered), (guilty.len() as u64, count - guilty.len() as u64));
    all
}

fn run(setup: &Setup, arguments: &[&str]) -> Finished {
    flagpost(setup, &[&["dead-letters"], arguments].concat())
}

/// The command against the running relay; it succeeds.
fn good(setup: &Setup, arguments: &[&str]) -> String {
    let finished = run(setup, &[arguments, &["--config", "flagpost.yaml"]].concat());
    assert!(finished.status.success(), "{arguments:?}: {}", finished.text);
    finished.text
}

/// The command as it is; it succeeds.
fn good_at(setup: &Setup, arguments: &[&str]) -> String {
    let finished = run(setup, arguments);
    assert!(finished.status.success(), "{arguments:?}: {}", finished.text);
    finished.text
}

/// The ids of an exporter's letters by event number, as a script gets them.
fn letters(setup: &Setup, place: &[&str]) -> Vec<Value> {
    let finished = run(setup, &[&["show", "--json", "--exporter", "hook", "--limit", "1000"], place].concat());
    finished.text.lines().filter(|line| line.starts_with('{')).map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn id_of(letters: &[Value], number: u64) -> String {
    let letter = letters.iter().find(|letter| letter["number"] == number).unwrap_or_else(|| panic!("no letter {number}: {letters:?}"));
    letter["id"].as_str().unwrap().to_owned()
}

async fn replayed(relay: &Client, count: u64) {
    until(&format!("{count} are replayed"), async || {
        let metrics = relay.metrics().await;
        (metrics.sum("flagpost_exporter_replayed_total", &[("exporter", "hook")]) as u64 == count).then_some(())
    })
    .await;
}

const RUNNING: &[&str] = &["--config", "flagpost.yaml"];

#[tokio::test]
async fn letters_are_listed_shown_and_exported_as_they_are_stored() {
    let (target, _mood) = moody().await;
    let setup = setup(&target);
    let relay = Program::start(&setup).await;
    assert!(good(&setup, &["list"]).contains("no dead letters"));
    let all = condemn(&relay, 60, &[7, 30, 59]).await;

    let text = good(&setup, &["list"]);
    assert!(text.contains("default/hook (feature)  3 dead letters") && text.contains("400"), "{text}");
    let listed: Value = serde_json::from_str(&good(&setup, &["list", "--json", "--exporter", "hook"])).unwrap();
    let hook = &listed["exporters"][0];
    assert_eq!(
        (&hook["count"], &hook["marked"], &hook["gone"], &hook["reasons"][0]["count"]),
        (&json!(3), &json!(0), &json!(false), &json!(3))
    );
    assert!(hook["oldestUnixMillis"].as_u64() <= hook["newestUnixMillis"].as_u64());
    for nothing in [["--exporter", "out"], ["--event-type", "tracking"], ["--reason-contains", "413"], ["--flag-set", "other"]] {
        assert!(good(&setup, &[&["list"][..], &nothing].concat()).contains("no dead letters"), "{nothing:?}");
    }

    let shown = letters(&setup, RUNNING);
    let id = id_of(&shown, 30);
    let text = good(&setup, &["show", &id]);
    for words in [&id, "default/hook (feature)", "reason ", "400", "attempts ", "event 30 of its stream, batch ", &poison(30)] {
        assert!(text.contains(words), "`{words}`: {text}");
    }
    let finished = run(&setup, &["show", "1-99999", "--config", "flagpost.yaml"]);
    assert!(!finished.status.success() && finished.text.contains("no such dead letters"), "{}", finished.text);

    let events = [7, 30, 59].map(|number: usize| all[number - 1].clone());
    good(&setup, &["export", "--output", "dead.jsonl"]);
    assert_lines(&fs::read_to_string(setup.path("dead.jsonl")).unwrap().lines().map(str::to_owned).collect::<Vec<_>>(), &events);
    let again = run(&setup, &["export", "--output", "dead.jsonl", "--config", "flagpost.yaml"]);
    assert!(!again.status.success() && again.text.contains("not there yet"), "{}", again.text);
    let text = good(&setup, &["export", "--with-reasons", "--limit", "2"]);
    let enveloped: Vec<&str> = text.lines().filter(|line| line.starts_with('{')).collect();
    assert_eq!(enveloped.len(), 2, "{text}");
    for (line, event) in enveloped.iter().zip(&events) {
        assert!(line.contains(&format!("\"event\":{event}")), "byte for byte: {line}");
        assert!(serde_json::from_str::<Value>(line).unwrap()["reason"].as_str().unwrap().contains("400"));
    }
    assert_eq!(relay.metrics().await.counts("hook").dead, 3, "they stay");
    relay.stop().await;
}

#[tokio::test]
async fn a_replay_delivers_exactly_the_chosen_letters_once_the_destination_takes_them() {
    let (target, mood) = moody().await;
    let setup = setup(&target);
    let relay = Program::start(&setup).await;
    condemn(&relay, 120, &[7, 30, 59, 60, 100]).await;
    let shown = letters(&setup, RUNNING);

    // Still refused: dead as before, with more attempts.
    good(&setup, &["replay", &id_of(&shown, 7), &id_of(&shown, 30)]);
    let attempts =
        |shown: &[Value], number: u64| shown.iter().find(|letter| letter["number"] == number).unwrap()["attempts"].as_u64().unwrap();
    until("both were refused again", async || {
        let now = letters(&setup, RUNNING);
        let again = [7, 30].iter().all(|&number| attempts(&now, number) > attempts(&shown, number));
        (again && now.iter().all(|letter| letter["marked"] == false)).then_some(())
    })
    .await;
    assert_eq!(relay.metrics().await.counts("hook").dead, 5);

    mood.set(TAKES);
    let before = target.taken();
    let text = good(&setup, &["replay", &id_of(&shown, 30), &id_of(&shown, 59), &id_of(&shown, 100)]);
    assert!(text.contains("3 dead letters are sent again by their exporters' workers"), "{text}");
    replayed(&relay, 3).await;
    assert_eq!(target.taken()[before.len()..], [30, 59, 100], "these and no other, in order");

    // The rest, while events come.
    relay.post(&events(121..151)).await;
    assert!(run(&setup, &["replay", "--config", "flagpost.yaml"]).text.contains("which dead letters?"));
    good(&setup, &["replay", "--all"]);
    replayed(&relay, 5).await;
    let metrics = relay.drained(&["hook", "out"]).await;
    let counts = metrics.counts("hook");
    assert_eq!((counts.delivered, counts.dead, counts.dropped), (150, 0, 0));
    assert_eq!(metrics.sum("flagpost_exporter_dead_total", &[("exporter", "hook")]), 5.0, "a counter never falls");
    let mut taken = target.taken();
    taken.sort_unstable();
    assert_eq!(taken, (1..151).collect::<Vec<_>>(), "each exactly once");
    assert!(good(&setup, &["list"]).contains("no dead letters"));
    relay.stop().await;
}

#[tokio::test]
async fn letters_are_dropped_only_when_it_is_meant_and_are_counted() {
    let (target, mood) = moody().await;
    let setup = setup(&target);
    let relay = Program::start(&setup).await;
    condemn(&relay, 60, &[7, 30, 59]).await;
    let id = id_of(&letters(&setup, RUNNING), 30);
    let asked = run(&setup, &["drop", "--exporter", "hook", "--config", "flagpost.yaml"]);
    assert!(!asked.status.success() && asked.text.contains("3 dead letters would be dropped"), "{}", asked.text);
    assert_eq!(run(&setup, &["drop", "--yes", "--config", "flagpost.yaml"]).status.code(), Some(2), "nothing is not everything");
    assert_eq!(run(&setup, &["drop", "thirty", "--yes", "--config", "flagpost.yaml"]).status.code(), Some(2));
    assert_eq!(relay.metrics().await.counts("hook").dead, 3);
    let dropped: Value = serde_json::from_str(&good(&setup, &["drop", &id, "--yes", "--json"])).unwrap();
    assert_eq!(dropped, json!({ "changed": 1, "gone": 0, "unreadable": 0, "sending": 0 }));
    let metrics = relay.metrics().await;
    let counts = metrics.counts("hook");
    assert_eq!((counts.delivered, counts.dead, counts.dropped), (57, 2, 1));
    assert_eq!(metrics.sum("flagpost_exporter_dropped_total", &[("exporter", "hook"), ("reason", "dead_letter")]), 1.0);
    mood.set(TAKES);
    good(&setup, &["replay", "--all"]);
    replayed(&relay, 2).await;
    assert!(!target.taken().contains(&30));
    relay.kill();
    let relay = Program::start(&setup).await;
    let counts = relay.metrics().await.counts("hook");
    assert_eq!((counts.delivered, counts.dead, counts.dropped), (59, 0, 1), "after a crash, too");
    relay.stop().await;
}

#[tokio::test]
async fn a_replay_is_taken_back_while_the_destination_hangs_and_on_a_store_that_nobody_has_open() {
    let (target, mood) = moody().await;
    let setup = setup(&target);
    let relay = Program::start(&setup).await;
    condemn(&relay, 60, &[7, 30, 45, 50]).await;
    mood.set(HANGS);
    good(&setup, &["replay", "--all"]);
    until("a batch is under way", async || target.last().filter(|last| matches!(last.answer, Answer::Hang)).map(drop)).await;
    let asked = run(&setup, &["replay", "--cancel", "--config", "flagpost.yaml"]);
    assert!(asked.status.code() == Some(2) && asked.text.contains("which dead letters?"), "{}", asked.text);
    let text = good(&setup, &["replay", "--cancel", "--exporter", "hook"]);
    for words in ["4 dead letters are not sent again", "3 of them were in the batch under way"] {
        assert!(text.contains(words), "no `{words}` in: {text}");
    }
    assert!(good(&setup, &["list"]).contains("4 dead letters\n"), "none is marked");
    relay.kill();
    mood.set(TAKES);
    let relay = Program::start(&setup).await;
    relay.post(&events(61..71)).await;
    let counts = relay.drained(&["hook", "out"]).await.counts("hook");
    assert_eq!((counts.delivered, counts.dead), (66, 4), "the batch that the ledger knew of is no more");
    relay.stop().await;

    let store = setup.store().display().to_string();
    let shown = letters(&setup, &["--store", &store]);
    for arguments in [&["replay", "--all"][..], &["replay", "--cancel", &id_of(&shown, 30), &id_of(&shown, 45)]] {
        let finished = run(&setup, &[arguments, &["--json", "--store", &store]].concat());
        assert!(finished.status.success(), "{}", finished.text);
    }
    let relay = Program::start(&setup).await;
    replayed(&relay, 2).await;
    assert_eq!(relay.metrics().await.counts("hook").dead, 2);
    let taken = target.taken();
    assert!([7, 50].iter().all(|number| taken.contains(number)) && ![30, 45].iter().any(|number| taken.contains(number)), "{taken:?}");
    relay.stop().await;
}

#[tokio::test]
async fn what_a_killed_relay_was_sending_again_can_be_taken_back_and_dropped_on_its_store() {
    let (target, mood) = moody().await;
    let setup = setup(&target);
    let relay = Program::start(&setup).await;
    condemn(&relay, 60, &[7, 30, 45]).await;
    mood.set(HANGS);
    good(&setup, &["replay", "--all"]);
    until("a batch is under way", async || target.last().filter(|last| matches!(last.answer, Answer::Hang)).map(drop)).await;
    relay.kill();
    let store = setup.store().display().to_string();
    let text = good_at(&setup, &["replay", "--cancel", "--all", "--store", &store]);
    assert!(text.contains("3 dead letters are not sent again") && !text.contains("under way"), "{text}");
    let text = good_at(&setup, &["drop", "--all", "--yes", "--store", &store]);
    assert!(text.contains("3 dead letters dropped"), "{text}");
}

#[tokio::test]
async fn a_relay_that_is_killed_in_the_middle_of_a_replay_loses_no_letter() {
    let (target, mood) = moody().await;
    let setup = setup(&target);
    let relay = Program::start(&setup).await;
    let guilty: Vec<u64> = (1..11).map(|number| number * 25).collect();
    condemn(&relay, 300, &guilty).await;
    let before = target.requests();
    // The first batch is taken, the second is under way when the relay ends, three times over.
    mood.set(TAKES);
    let marks = Mood(mood.0.clone());
    good(&setup, &["replay", "--exporter", "hook", "--limit", "3"]);
    replayed(&relay, 3).await;
    marks.set(HANGS);
    good(&setup, &["replay", "--all"]);
    until("a batch is under way", async || target.last().filter(|last| matches!(last.answer, Answer::Hang)).map(drop)).await;
    relay.kill();
    for _ in 0..2 {
        let requests = target.requests();
        let relay = Program::start(&setup).await;
        let counts = relay.metrics().await.counts("hook");
        assert_eq!((counts.delivered, counts.dead, counts.waiting), (293, 7, 0));
        until("the batch is under way again", async || (target.requests() > requests).then_some(())).await;
        relay.kill();
    }
    mood.set(TAKES);
    let relay = Program::start(&setup).await;
    replayed(&relay, 10).await;
    let counts = relay.metrics().await.counts("hook");
    assert_eq!((counts.delivered, counts.dead, counts.dropped), (300, 0, 0));
    let received = target.received();
    let replays: Vec<&Received> =
        received[before..].iter().filter(|received| received.numbers().iter().all(|number| number % 25 == 0)).collect();
    let taken: Vec<u64> =
        replays.iter().filter(|received| matches!(received.answer, Answer::Status(200))).flat_map(|received| received.numbers()).collect();
    assert_eq!(
        sorted(taken.iter().map(u64::to_string).collect::<Vec<_>>()),
        sorted(guilty.iter().map(u64::to_string).collect::<Vec<_>>()),
        "each exactly once: what hung was not taken"
    );
    let hung: Vec<Vec<u64>> =
        replays.iter().filter(|received| matches!(received.answer, Answer::Hang)).map(|received| received.numbers()).collect();
    assert!(hung.iter().all(|numbers| numbers.len() <= 3), "at most one batch at a time: {hung:?}");
    relay.stop().await;
}

#[tokio::test]
async fn the_routes_ask_for_an_admins_key_and_the_command_says_where_it_takes_it_from() {
    let (target, _mood) = moody().await;
    let setup = setup(&target);
    let relay = Program::start(&setup).await;
    condemn(&relay, 30, &[7]).await;
    for (method, path) in [("GET", ""), ("GET", "/events"), ("POST", "/replay"), ("POST", "/replay/cancel"), ("POST", "/drop")] {
        for key in [None, Some("wrong")] {
            let url = relay.url(&format!("/admin/v1/flagpost/dead-letters{path}"));
            let mut request = client().request(method.parse().unwrap(), url).body(r#"{"all":true}"#);
            if let Some(key) = key {
                request = request.header("x-api-key", key);
            }
            let response = request.send().await.unwrap();
            let (status, text) = (response.status().as_u16(), response.text().await.unwrap());
            assert!(status == 401 && !text.contains("poison"), "{method} {path} {key:?}: {status} {text}");
        }
    }
    let url = relay.url("");
    let with_key = |key: &str| {
        let output =
            Command::new(program_path()).args(["dead-letters", "list", "--url", &url]).env("FLAGPOST_ADMIN_KEY", key).output().unwrap();
        (output.status.success(), [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat())
    };
    let (good, text) = with_key("wrong");
    assert!(!good && text.contains("401") && text.contains("FLAGPOST_ADMIN_KEY"), "{text}");
    let (good, text) = with_key(KEY);
    assert!(good && text.contains("1 dead letter"), "{text}");
    assert_eq!(relay.metrics().await.counts("hook").dead, 1);
    relay.stop().await;
    let finished = run(&setup, &["list", "--config", "flagpost.yaml"]);
    assert!(!finished.status.success() && finished.text.contains("is the relay running there?"), "{}", finished.text);
}

#[tokio::test]
async fn a_store_that_no_relay_has_open_is_looked_at_and_marked_for_the_next_start() {
    let (target, mood) = moody().await;
    let setup = setup(&target);
    let store = setup.store().to_str().unwrap().to_owned();
    let here = ["--store", store.as_str()];
    let empty = run(&setup, &["list", "--store", "nothing"]);
    assert!(!empty.status.success() && empty.text.contains("no store of flagpost's"), "{}", empty.text);
    let relay = Program::start(&setup).await;
    condemn(&relay, 60, &[7, 30, 59]).await;
    let held = run(&setup, &[&["list"][..], &here].concat());
    assert!(!held.status.success() && held.text.contains("a relay has it open"), "{}", held.text);
    assert!(held.text.contains(&relay.pid().to_string()), "{}", held.text);
    relay.stop().await;

    let offline = |arguments: &[&str]| {
        let finished = run(&setup, &[arguments, &here].concat());
        assert!(finished.status.success(), "{arguments:?}: {}", finished.text);
        finished.text
    };
    assert!(offline(&["list"]).contains("default/hook (feature)  3 dead letters"));
    let shown = letters(&setup, &here);
    assert_eq!(offline(&["export"]).lines().filter(|line| line.starts_with('{')).count(), 3);
    let text = offline(&["replay", &id_of(&shown, 7), &id_of(&shown, 59)]);
    assert!(text.contains("2 dead letters are sent again when the relay starts on this store"), "{text}");
    assert!(offline(&["list"]).contains("3 dead letters, 2 to be sent again"));
    offline(&["drop", &id_of(&shown, 30), "--yes"]);
    let record = books(&setup).ledger.consumers().into_iter().find(|record| record.identity.exporter == "hook").unwrap();
    assert_eq!((record.dead, record.delivered()), (2, 57));

    mood.set(TAKES);
    let relay = Program::start(&setup).await;
    replayed(&relay, 2).await;
    let counts = relay.metrics().await.counts("hook");
    assert_eq!((counts.delivered, counts.dead, counts.dropped), (59, 0, 1));
    assert_eq!(target.taken().iter().filter(|number| [7, 30, 59].contains(*number)).collect::<Vec<_>>(), [&7, &59]);
    relay.stop().await;
}

#[tokio::test]
async fn letters_of_an_exporter_that_writes_files_go_into_a_file_of_their_own_after_a_change() {
    let exporter = |template: &str| {
        format!(
            "  - {{ kind: file, name: hook, outputDir: out, format: csv, flushInterval: 50, csvTemplate: \"{template}\\n\" }}\n  - {{ kind: file, name: out, outputDir: all, flushInterval: 50 }}"
        )
    };
    let head = format!("evaluation: none\nauthorizedKeys: {{ admin: [ {KEY} ] }}\n");
    let mut setup = Setup::new().with_head(&head).with_exporters(&exporter("{{ .UserKey }} {{ slice .Variation 0 5 }}"));
    let relay = Program::start(&setup).await;
    let mut all: Vec<String> =
        events(1..201).iter().map(|event| event.replace(r#""variation":"on""#, r#""variation":"enabled""#)).collect();
    for number in [33, 150] {
        all[number - 1] = events(number as u64..number as u64 + 1).remove(0);
    }
    relay.post(&all).await;
    let counts = relay.drained(&["hook", "out"]).await.counts("hook");
    assert_eq!((counts.delivered, counts.dead), (198, 2), "{}", relay.log());
    setup.set_exporters(&exporter("{{ .UserKey }} {{ .Variation }}"));
    relay.reloaded(1, 0).await;
    good(&setup, &["replay", "--all"]);
    replayed(&relay, 2).await;
    let mut files: Vec<String> = Vec::new();
    for entry in fs::read_dir(setup.path("out")).unwrap() {
        files.push(fs::read_to_string(entry.unwrap().path()).unwrap());
    }
    assert!(files.contains(&"u-33 on\nu-150 on\n".to_owned()), "{files:?}");
    assert_eq!(files.iter().flat_map(|file| file.lines()).count(), 200, "each once");
    relay.stop().await;
}
