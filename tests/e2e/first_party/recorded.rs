//! A service that nobody can run: an HTTP server in this process that holds requests against the rules which the service documents, and takes, refuses
//! and de-duplicates as it does. What it knows of a service stands in that service's module, as data and as one function; it never says 200 out of
//! kindness.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use flagpost_tests::{Answer, Program, Received, Setup, Target, books, events, tracking, until};
use rustix::process::Signal;
use serde_json::Value;

/// What a service answers.
pub(super) struct Said(pub(super) u16, pub(super) Value);

/// A service's state.
pub(super) struct Shelf {
    /// The one key that it accepts.
    pub(super) key: &'static str,
    /// Most bytes in a request.
    pub(super) largest: usize,
    /// Most bytes in an event.
    pub(super) largest_event: usize,
    /// What it took, by the id that it drops duplicates by.
    pub(super) taken: BTreeMap<String, Value>,
    /// Events that came although they were there.
    pub(super) again: u64,
    /// What happens to the next requests, whatever the rules say.
    script: VecDeque<Fault>,
}

/// What happens to one request.
pub(super) enum Fault {
    /// It is taken as the rules say, and the answer is lost.
    Lost,
    /// It is not looked at, and answered so.
    Says(u16, Vec<(&'static str, String)>, &'static str),
}

impl Shelf {
    /// Takes an event, unless one with its id is there.
    pub(super) fn take(&mut self, id: &str, event: &Value) {
        if self.taken.insert(id.to_owned(), event.clone()).is_some() {
            self.again += 1;
        }
    }
}

/// A running service.
pub(super) struct Service {
    shelf: Arc<Mutex<Shelf>>,
    target: Target,
}

impl Service {
    /// Starts one that answers as `rules` say; the request is what came, the shelf what is there.
    pub(super) async fn start(key: &'static str, largest: usize, rules: fn(&Received, &mut Shelf) -> Said) -> Service {
        let shelf = Shelf { key, largest, largest_event: usize::MAX, taken: BTreeMap::new(), again: 0, script: VecDeque::new() };
        let shelf = Arc::new(Mutex::new(shelf));
        let kept = shelf.clone();
        let target = Target::start(move |request| {
            let mut shelf = kept.lock().unwrap();
            match shelf.script.pop_front() {
                Some(Fault::Says(status, headers, body)) => Answer::Full(status, headers, body.to_owned()),
                fault => {
                    let Said(status, body) = rules(request, &mut shelf);
                    if fault.is_some() { Answer::Cut } else { Answer::Full(status, Vec::new(), body.to_string()) }
                }
            }
        })
        .await;
        Service { shelf, target }
    }

    /// Its state.
    pub(super) fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap()
    }

    /// Events that it took, and how many came again.
    pub(super) fn counts(&self) -> (usize, u64) {
        let shelf = self.shelf();
        (shelf.taken.len(), shelf.again)
    }

    /// What happens to the next requests.
    pub(super) fn next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shelf().script.extend(faults);
    }

    /// An address.
    pub(super) fn url(&self, path: &str) -> String {
        self.target.url(path)
    }

    /// The requests so far.
    pub(super) fn requests(&self) -> Vec<Received> {
        self.target.received()
    }
}

/// A relay whose exporter `out` sends to a service: `config` are more members of its `config`; `secret` is its secret, which stands in the file `key`.
pub(super) fn relay(service: &Service, plugin: &str, path: &str, config: &str, secret: (&str, &str), key: &str) -> Setup {
    let (name, exposure) = secret;
    let hosts = if exposure == "reveal" { String::new() } else { format!("hosts: [ \"{}\" ], ", service.url("")) };
    let keys = format!(
        "eventType: all
        config: {{ endpoint: \"{}\", {config} }}
        allowedHosts: [ \"POST {}\" ]
        secrets: {{ {name}: {{ file: key, {hosts}as: {exposure} }} }}",
        service.url(path),
        service.url("")
    );
    let setup = super::setup(plugin, &keys);
    std::fs::write(setup.path("key"), key).unwrap();
    setup
}

/// Flag evaluations and tracking events, some of each.
pub(super) fn both() -> Vec<String> {
    let mut all = events(1..301);
    all.extend((1..21).map(tracking));
    all
}

/// Every event is there once and as it should be, although the first answers of both kinds are lost. `shown` makes of an event what
/// the service should have of it, as [`Service::shelf`] holds it without its id.
pub(super) async fn arrives_once(service: &Service, setup: &Setup, shown: fn(&Value) -> Value, bare: fn(Value) -> Value) {
    let relay = Program::start(setup).await;
    relay.in_state("out", "running").await;
    service.next([Fault::Lost, Fault::Lost]);
    let all = both();
    relay.post(&all).await;
    relay.complete("out", all.len() as u64).await;
    let expected = super::sorted(all.iter().map(|line| shown(&serde_json::from_str(line).unwrap())).collect());
    let found = {
        let shelf = service.shelf();
        assert!(shelf.again > 0, "something came again after its answer was lost");
        super::sorted(shelf.taken.values().cloned().map(bare).collect())
    };
    assert_eq!(found, expected);
    relay.stop().await;
}

/// The dead letters of `out`, with their reasons.
pub(super) async fn letters(setup: &Setup) -> Vec<(Value, String)> {
    let books = books(setup);
    let mut found = Vec::new();
    for record in books.ledger.consumers() {
        for letter in books.ledger.dead_letters(record.id, None, 100).await.unwrap() {
            found.push((serde_json::from_slice(&letter.event).unwrap(), letter.reason));
        }
    }
    found
}

/// `wrong` is a dead letter for a reason with those words, the 300 events around it are taken.
pub(super) async fn dies_alone(service: &Service, setup: &Setup, wrong: &str, words: &str) {
    let relay = Program::start(setup).await;
    let mut all = events(1..301);
    all.insert(150, wrong.to_owned());
    relay.post(&all).await;
    let counts = relay.drained(&["out"]).await.counts("out");
    assert_eq!((counts.delivered, counts.dead, counts.dropped), (300, 1, 0), "{}", relay.exporter("out").await);
    assert_eq!(service.shelf().taken.len(), 300);
    relay.stop().await;
    let letters = letters(setup).await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].0, serde_json::from_str::<Value>(wrong).unwrap());
    assert!(letters[0].1.contains(words), "{}", letters[0].1);
}

/// Everything is taken, each event once, although the next requests are answered so.
pub(super) async fn outlasts(service: &Service, setup: &Setup, faults: Vec<Fault>) {
    let expected = faults.len() + 1;
    let relay = Program::start(setup).await;
    service.next(faults);
    relay.post(&events(1..301)).await;
    relay.complete("out", 300).await;
    assert_eq!(service.shelf().taken.len(), 300);
    assert!(service.requests().len() >= expected);
    relay.stop().await;
}

/// What is too large is sent in smaller parts, and each event is there once.
pub(super) async fn is_cut(service: &Service, setup: &Setup) {
    service.shelf().largest = 20_000;
    let relay = Program::start(setup).await;
    relay.post(&events(1..301)).await;
    relay.complete("out", 300).await;
    let refused = service.requests().iter().filter(|request| matches!(request.answer, Answer::Full(413, ..))).count();
    assert!(refused > 0, "one was too large");
    assert_eq!(service.counts(), (300, 0), "an event came again although it was taken");
    relay.stop().await;
}

/// A wrong key is an alarm and no loss: events wait, and go with the right one. Neither key is in the log.
pub(super) async fn waits_for_the_right_key(service: &Service, setup: &Setup, wrong: &str, right: &str, words: &str) {
    std::fs::write(setup.path("key"), wrong).unwrap();
    let relay = Program::start(setup).await;
    relay.post(&events(1..301)).await;
    let task = relay.in_state("out", "misconfigured").await;
    assert!(task.to_string().contains(words), "`{words}` is not in: {task}");
    let counts = relay.metrics().await.counts("out");
    assert_eq!((counts.waiting, counts.delivered, counts.dead), (300, 0, 0));
    assert!(service.shelf().taken.is_empty());
    std::fs::write(setup.path("key"), right).unwrap();
    until("the file is read again", async || {
        relay.signal(Signal::HUP);
        (relay.configuration().await["applied"].as_u64() > Some(0)).then_some(())
    })
    .await;
    relay.complete("out", 300).await;
    assert_eq!(service.shelf().taken.len(), 300);
    for key in [wrong, right] {
        assert!(!relay.log().contains(key), "{key}");
    }
    relay.stop().await;
}

/// The name and the properties that an event has in product analytics.
pub(super) fn analytics(event: &Value) -> (String, Value) {
    if event["kind"] == "tracking" {
        return (event["key"].as_str().unwrap().to_owned(), event["trackingEventDetails"].clone());
    }
    let mut properties = serde_json::json!({
        "flag_key": event["key"], "variation": event["variation"], "value": event["value"], "default": event["default"],
        "version": event["version"], "source": event["source"],
    });
    if let Some(metadata) = event.get("metadata") {
        properties["metadata"] = metadata.clone();
    }
    ("Feature Flag Evaluated".to_owned(), properties)
}

/// When an event happened, as these services write it. All events of these tests are of the 15th of November 2023 or the day before.
pub(super) fn date(event: &Value) -> String {
    let day = event["creationDate"].as_u64().unwrap() - 1_699_920_000;
    format!("2023-11-{:02}T{:02}:{:02}:{:02}Z", 14 + day / 86_400, day / 3_600 % 24, day / 60 % 60, day % 60)
}
