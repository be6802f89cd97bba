//! One hostile plugin on a relay, and what must be true then.

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::time::Duration;

use flagpost_tests::{
    Answer, Author, Flow, Guest, Metrics, Program, Received, Setup, Target, assert_lines, events, evil_plugin, guest, lines_in, until,
    versioned_plugin,
};
use serde_json::json;

/// Used by the guest in headers, never known to it.
const SECRET: &str = "k3y-of-acme-77";
/// Told to the guest; no text shows it.
const SHOWN: &str = "sh0wn-to-acme-88";
/// In the relay's own environment.
const OF_THE_RELAY: &str = "env-of-the-relay-99";

/// A hostile plugin, and what becomes of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// What the guest of `tests/guests/evil` does.
    pub(super) does: &'static str,
    /// A guest made by hand, in its place.
    pub(super) by_hand: Option<Guest>,
    /// Members of `limits`.
    pub(super) limits: &'static str,
    /// More keys of the exporter. `GRANTED` is the address of the host that is granted.
    pub(super) keys: &'static str,
    /// What the operator reads in `/health/exporters` or in the log.
    pub(super) says: &'static str,
    /// What rises in `/metrics`.
    pub(super) counter: &'static str,
    /// What becomes of its events.
    pub(super) fate: Fate,
}

impl Row {
    pub(super) const fn new(does: &'static str, says: &'static str, counter: &'static str) -> Row {
        Row { does, by_hand: None, limits: "", keys: "", says, counter, fate: Fate::Wait }
    }

    fn wasm(&self) -> Vec<u8> {
        match self.by_hand {
            Some(kind) => guest(kind, true),
            None => std::fs::read(evil_plugin()).unwrap(),
        }
    }
}

/// What becomes of a plugin's events while it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// All wait for a better one.
    Wait,
    /// It delivers them, but for this many, which are dead.
    Deliver { dead: u64 },
    /// It says that it did, and the contract believes it.
    Vanish,
    /// It accuses them: few are believed to be guilty, the others wait.
    Accused { at_most: u64 },
}

/// The hosts of these tests.
pub(super) struct Hosts {
    granted: Target,
    /// Granted, but no secret is for it.
    other: Target,
    /// Not granted.
    foreign: Target,
}

impl Hosts {
    pub(super) async fn start() -> Hosts {
        let granted = Target::start(|received| match received.line.as_str() {
            "POST /echo" => Answer::Json(json!({ "got": format!("{:?}", received.headers.get("authorization")) }).to_string()),
            "POST /hang" => Answer::Hang,
            "POST /away" => Answer::With(307, vec![("location", "http://169.254.169.254/latest/meta-data".to_owned())]),
            "POST /big" => Answer::Json("x".repeat(5 << 20)),
            _ => Answer::Status(200),
        });
        Hosts { granted: granted.await, other: Target::good().await, foreign: Target::good().await }
    }

    /// Nothing came where nothing may come.
    pub(super) fn assert_untouched(&self) {
        assert_eq!(self.foreign.requests(), 0, "{:?}", self.foreign.received());
        assert_eq!(self.other.requests(), 0, "{:?}", self.other.received());
    }

    /// What the good plugin delivered: the users of its events.
    fn good(&self) -> Vec<String> {
        let taken = |received: &Received| received.headers.contains_key("x-version") && matches!(received.answer, Answer::Status(200));
        let received = self.granted.received();
        let lines = received.iter().filter(|received| taken(received)).flat_map(|received| {
            let text = std::str::from_utf8(&received.body).unwrap();
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        });
        lines.collect()
    }
}

/// A name of this machine that is not `localhost`: it leads to an address that names may not lead to.
fn name_of_this_machine() -> String {
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let names = hosts.lines().filter_map(|line| line.strip_prefix("127.")).flat_map(|line| line.split_whitespace().skip(1));
    let name = names.filter(|name| !name.starts_with("localhost")).map(str::to_owned).next();
    name.unwrap_or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned())
}

/// The exporter of a row.
pub(super) fn exporter(name: &str, row: &Row, hosts: &Hosts) -> String {
    let [granted, other, foreign] = [&hosts.granted, &hosts.other, &hosts.foreign].map(|target| target.url(""));
    let named = format!("http://{}:{}", name_of_this_machine(), foreign.rsplit(':').next().unwrap());
    let config = json!({
        "do": row.does, "granted": granted, "other": other, "foreign": foreign, "named": named, "guilty": "u-7", "endpoint": format!("{granted}/in"),
    });
    let limits = if row.limits.contains("memory") { row.limits.to_owned() } else { format!("memory: 64MiB, {}", row.limits) };
    let keys = row.keys.replace("GRANTED", &granted);
    format!(
        "  - {{ kind: wasm, name: \"{name}\", path: \"{name}.wasm\", flushInterval: 20, retry: {{ initial: 5ms, max: 50ms }}, limits: {{ {limits} }}, \
         config: {config}, allowedHosts: [ \"{granted}\", \"{other}\", \"{named}\" ], {keys} }}\n"
    )
}

pub(super) const BESIDE: &str = "  - { kind: file, name: out, outputDir: out, flushInterval: 20 }\n";

pub(super) fn setup(exporters: &str) -> Setup {
    let setup = Setup::new().with_exporters(exporters).with_environment([("FLAGPOST_TEST_OF_THE_RELAY", OF_THE_RELAY)]);
    std::fs::write(setup.path("key"), SECRET).unwrap();
    std::fs::write(setup.path("shown"), SHOWN).unwrap();
    setup
}

/// Gives the relay what was compiled for it: once for all rows.
pub(super) fn warm(setup: &Setup) {
    static COMPILED: OnceLock<Author> = OnceLock::new();
    let author = COMPILED.get_or_init(|| {
        let scratch = tempfile::tempdir().unwrap();
        let author = Author::with_cache(scratch.path(), "guests-cache-evil");
        for (name, bytes) in [("evil.wasm", std::fs::read(evil_plugin()).unwrap()), ("good.wasm", versioned_plugin(1))] {
            std::fs::write(scratch.path().join(name), bytes).unwrap();
            // What it does is of no interest: it was compiled.
            let _finished = author.run(&["test", name]);
        }
        author
    });
    author.warms(setup);
}

pub(super) fn put(setup: &Setup, name: &str, row: &Row) {
    setup.plugin(&format!("{name}.wasm"), row.wasm());
}

/// Waits until the operator can know what the plugin does.
pub(super) async fn is_told(relay: &Program, name: &str, row: &Row) {
    until(&format!("{name} is told with: {}", row.says), async || {
        let counted = relay.metrics().await.sum(row.counter, &[("exporter", name)]) >= 1.0;
        let report = relay.exporter(name).await.to_string();
        let in_log = relay.log().lines().any(|line| line.contains(name) && line.contains(row.says));
        (counted && (report.contains(row.says) || in_log)).then_some(())
    })
    .await;
}

/// Whether a plugin's numbers are what its fate says.
pub(super) fn assert_fate(metrics: &Metrics, name: &str, fate: Fate) {
    let counts = metrics.counts(name);
    assert_eq!(counts.dropped, 0, "{name}: {counts:?}");
    match fate {
        Fate::Wait => assert_eq!((counts.delivered, counts.dead), (0, 0), "{name}: {counts:?}"),
        Fate::Deliver { dead } => assert_eq!((counts.waiting, counts.dead), (0, dead), "{name}: {counts:?}"),
        Fate::Vanish => assert_eq!((counts.waiting, counts.dead), (0, 0), "{name}: {counts:?}"),
        Fate::Accused { at_most } => assert!(counts.dead > 0 && counts.dead <= at_most && counts.waiting > 0, "{name}: {counts:?}"),
    }
}

/// No text that leaves the relay holds what is not shown, and no line of its log is a guest's.
pub(super) async fn assert_discreet(relay: &Program) {
    let texts = [relay.log(), relay.get("/health/exporters").await.1, relay.get("/metrics").await.1];
    for text in &texts {
        for word in [SECRET, SHOWN, OF_THE_RELAY, "STOLEN"] {
            assert!(!text.contains(word), "{word} is shown: {}", text.lines().find(|line| line.contains(word)).unwrap_or_default());
        }
        assert!(!text.contains('\u{1b}'), "a guest moved the operator's cursor");
    }
    assert!(
        !texts[0].lines().any(|line| line.contains("the store is lost") && !line.contains("all is well")),
        "a guest forged a line of the log"
    );
    assert!(texts[1].len() < 256 << 10, "a guest filled the report: {} bytes", texts[1].len());
}

/// Everything that must be true of a hostile plugin.
pub(super) async fn contained(row: &Row) {
    let hosts = Hosts::start().await;
    let setup = setup(&format!("{}{BESIDE}", exporter("hostile", row, &hosts)));
    put(&setup, "hostile", row);
    warm(&setup);
    let relay = Program::start(&setup).await;
    let flow = Flow::start(&relay, 10, Duration::from_millis(10));
    is_told(&relay, "hostile", row).await;
    // And on it goes: clients are answered, the exporter beside it delivers.
    let before = relay.metrics().await.counts("out").delivered;
    flow.goes_on().await;
    assert_eq!(relay.get("/health").await.0, 200);
    until("the file beside it goes on", async || (relay.metrics().await.counts("out").delivered > before).then_some(())).await;
    let end = flow.end().await;
    let all = events(1..end);
    relay.drained(&["out"]).await;
    assert_lines(&lines_in(&setup.path("out")), &all);
    let settles = matches!(row.fate, Fate::Deliver { .. } | Fate::Vanish);
    let metrics = if settles { relay.drained(&["hostile"]).await } else { relay.metrics().await };
    assert_fate(&metrics, "hostile", row.fate);
    assert_discreet(&relay).await;
    hosts.assert_untouched();

    // A good file takes its place, and gets what waits.
    setup.plugin("hostile.wasm", versioned_plugin(1));
    let healed = relay.drained(&["hostile"]).await.counts("hostile");
    let before = metrics.counts("hostile");
    assert_eq!((healed.accepted, healed.dropped), (end - 1, 0));
    let good: BTreeSet<String> = hosts.good().into_iter().collect();
    match row.fate {
        Fate::Wait => {
            assert_eq!((healed.delivered, healed.dead), (end - 1, 0));
            assert_eq!(good, (1..end).map(|number| format!("u-{number}")).collect(), "each event arrives");
        }
        Fate::Deliver { dead } => assert_eq!((healed.delivered, healed.dead), (end - 1 - dead, dead)),
        Fate::Vanish => assert_eq!(healed.delivered, end - 1),
        Fate::Accused { at_most } => {
            assert!(healed.dead <= at_most, "{healed:?}");
            assert!(good.len() as u64 >= before.waiting - (healed.dead - before.dead), "{} of {before:?}", good.len());
        }
    }
    if let Fate::Deliver { dead } = row.fate {
        let delivered: BTreeSet<String> = hosts.delivered();
        let expected: BTreeSet<String> = (1..end).map(|number| format!("u-{number}")).filter(|user| dead == 0 || user != "u-7").collect();
        assert_eq!(delivered, expected, "each event but the guilty one arrives");
    }
    relay.stop().await;
}

impl Hosts {
    /// What anybody delivered.
    fn delivered(&self) -> BTreeSet<String> {
        let received = self.granted.received();
        let taken = received.iter().filter(|received| received.line == "POST /in" && matches!(received.answer, Answer::Status(200)));
        taken.flat_map(|received| String::from_utf8_lossy(&received.body).lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    }
}
