//! A flag set is a tenant: whatever clients present and whatever exporters do, no line reaches an exporter of another flag set, and in each
//! flag set every event is accounted for.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use flagpost::{
    CollectError, EventBatch, EventKind, ExportError, Exporter, ExporterOptions, FeatureEvent, Json, Policy, Relay, Secret, StartError,
};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Keeps what it gets; fails the first times it is asked.
#[derive(Clone, Default)]
struct Keep {
    users: Arc<Mutex<Vec<String>>>,
    failures: Arc<AtomicU32>,
    bulk: bool,
}

#[async_trait]
impl Exporter for Keep {
    fn is_bulk(&self) -> bool {
        self.bulk
    }

    async fn export(&self, batch: &EventBatch) -> Result<(), ExportError> {
        if self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            return Err(ExportError::retryable("not now"));
        }
        let user = |line: &[u8]| serde_json::from_slice::<serde_json::Value>(line).unwrap()["userKey"].as_str().unwrap().to_owned();
        self.users.lock().unwrap().extend(batch.lines().map(user));
        Ok(())
    }
}

/// How many keys each flag set has.
const KEYS: usize = 2;

/// An exporter of one flag set.
#[derive(Clone, Debug)]
struct OneExporter {
    set: usize,
    kinds: Vec<EventKind>,
    bulk: bool,
    failures: u32,
}

/// What a client presents.
#[derive(Clone, Debug)]
enum Presented {
    Nothing,
    /// A flag set's key, by number; in one of three headers.
    Key(usize, usize, Form),
    Evaluation(Form),
    Admin(Form),
    Wrong(Form),
    /// `X-API-Key` of one flag set and `Authorization` of another: the first one alone decides.
    Both(usize, usize),
    /// A wrong `X-API-Key` and a good `Authorization`.
    WrongFirst(usize),
}

#[derive(Clone, Copy, Debug)]
enum Form {
    ApiKey,
    Bearer,
    LowerBearer,
}

#[derive(Clone, Debug)]
struct Sent {
    presented: Presented,
    events: Vec<EventKind>,
    exported: bool,
}

#[derive(Clone, Debug)]
struct World {
    sets: usize,
    exporters: Vec<OneExporter>,
    clients: Vec<Sent>,
}

fn key(set: usize, number: usize) -> String {
    format!("key-of-set-{set}-{number}")
}

fn form() -> impl Strategy<Value = Form> {
    prop_oneof![Just(Form::ApiKey), Just(Form::Bearer), Just(Form::LowerBearer)]
}

fn kind() -> impl Strategy<Value = EventKind> {
    prop_oneof![3 => Just(EventKind::Feature), 1 => Just(EventKind::Tracking)]
}

fn world() -> impl Strategy<Value = World> {
    (1..5_usize).prop_flat_map(|sets| {
        let kinds = prop_oneof![Just(vec![EventKind::Feature]), Just(vec![EventKind::Tracking]), Just(EventKind::ALL.to_vec())];
        let exporter = (0..sets, kinds, any::<bool>(), 0..3_u32);
        let exporter = exporter.prop_map(|(set, kinds, bulk, failures)| OneExporter { set, kinds, bulk, failures });
        let presented = prop_oneof![
            1 => Just(Presented::Nothing),
            6 => (0..sets, 0..KEYS, form()).prop_map(|(set, number, form)| Presented::Key(set, number, form)),
            1 => form().prop_map(Presented::Evaluation),
            1 => form().prop_map(Presented::Admin),
            1 => form().prop_map(Presented::Wrong),
            1 => (0..sets, 0..sets).prop_map(|(first, second)| Presented::Both(first, second)),
            1 => (0..sets).prop_map(Presented::WrongFirst),
        ];
        let client = (presented, prop::collection::vec(kind(), 0..6), any::<bool>());
        let client = client.prop_map(|(presented, events, exported)| Sent { presented, events, exported });
        (prop::collection::vec(exporter, 0..6), prop::collection::vec(client, 1..12)).prop_map(move |(exporters, clients)| World {
            sets,
            exporters,
            clients,
        })
    })
}

impl Presented {
    fn headers(&self) -> Vec<(&'static str, String)> {
        let in_form = |key: String, form: &Form| match form {
            Form::ApiKey => ("x-api-key", key),
            Form::Bearer => ("authorization", format!("Bearer {key}")),
            Form::LowerBearer => ("authorization", format!("bearer {key}")),
        };
        match self {
            Presented::Nothing => vec![],
            Presented::Key(set, number, form) => vec![in_form(key(*set, *number), form)],
            Presented::Evaluation(form) => vec![in_form("evaluation".into(), form)],
            Presented::Admin(form) => vec![in_form("admin".into(), form)],
            Presented::Wrong(form) => vec![in_form("nobodys".into(), form)],
            Presented::Both(first, second) => {
                vec![in_form(key(*first, 0), &Form::ApiKey), in_form(key(*second, 1), &Form::Bearer)]
            }
            Presented::WrongFirst(set) => vec![in_form("nobodys".into(), &Form::ApiKey), in_form(key(*set, 0), &Form::Bearer)],
        }
    }

    /// The answer, and whose the events are.
    fn expected(&self) -> (u16, Option<usize>) {
        match self {
            Presented::Nothing | Presented::Wrong(_) | Presented::WrongFirst(_) => (401, None),
            Presented::Evaluation(_) | Presented::Admin(_) => (400, None),
            Presented::Key(set, ..) | Presented::Both(set, _) => (200, Some(*set)),
        }
    }
}

fn event(kind: EventKind, user: &str) -> String {
    format!(r#"{{"kind":"{kind}","userKey":"{user}","creationDate":1680246000,"key":"k","variation":null}}"#)
}

async fn connect(relay: &Relay) -> SendRequest<Full<Bytes>> {
    let stream = tokio::net::TcpStream::connect(relay.address().unwrap()).await.unwrap();
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// Plays a world through; what each exporter got is compared with what its flag set was sent.
async fn play(world: World) -> Result<(), TestCaseError> {
    let name = |set: usize| format!("set-{set}");
    let mut builder = Relay::builder().memory(16 << 20).seed(7).listen_at("127.0.0.1", 0);
    builder = builder.evaluation_keys([Secret::new("evaluation")]).admin_keys([Secret::new("admin")]);
    for set in 0..world.sets {
        builder = builder.flag_set(name(set), (0..KEYS).map(|number| Secret::new(key(set, number))));
    }
    let mut kept = Vec::new();
    for (number, one) in world.exporters.iter().enumerate() {
        let keep = Keep { bulk: one.bulk, failures: Arc::new(AtomicU32::new(one.failures)), ..Keep::default() };
        let mut policy = Policy { flush_interval: Duration::from_millis(1), ..Policy::default() };
        policy.retry.initial = Duration::from_millis(1);
        let options = ExporterOptions { flag_set: name(one.set), events: one.kinds.clone(), policy };
        builder = builder.exporter_with(format!("exporter-{number}"), keep.clone(), options);
        kept.push((one.clone(), keep));
    }
    let relay = builder.start().await.unwrap();
    let mut connection = connect(&relay).await;

    // Who was sent what, by the model.
    let mut sent: BTreeMap<(usize, EventKind), Vec<String>> = BTreeMap::new();
    for (client, Sent { presented, events, exported }) in world.clients.iter().enumerate() {
        let users: Vec<String> = (0..events.len()).map(|event| format!("client-{client}-{event}")).collect();
        let body: Vec<String> = events.iter().zip(&users).map(|(kind, user)| event(*kind, user)).collect();
        let path = if *exported { "/v1/data/exported" } else { "/v1/data/collector" };
        let mut request = http::Request::post(path).header("content-type", "application/json");
        for (header, value) in presented.headers() {
            request = request.header(header, value);
        }
        let request = request.body(Full::new(Bytes::from(format!("{{\"events\":[{}]}}", body.join(","))))).unwrap();
        connection.ready().await.unwrap();
        let response = connection.send_request(request).await.unwrap();
        let (status, set) = presented.expected();
        prop_assert_eq!(response.status().as_u16(), status, "{:?}", presented);
        response.into_body().collect().await.unwrap();
        if let Some(set) = set {
            for (kind, user) in events.iter().zip(users) {
                sent.entry((set, *kind)).or_default().push(user);
            }
        }
    }

    // The program's own sums, per flag set, over all that was sent.
    let request = http::Request::get("/metrics").body(Full::default()).unwrap();
    connection.ready().await.unwrap();
    let metrics = connection.send_request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    let metrics = String::from_utf8(metrics.to_vec()).unwrap();
    let number = |series: &str| -> usize {
        let line = metrics.lines().find_map(|line| line.strip_prefix(series)).unwrap_or_else(|| panic!("no {series} in\n{metrics}"));
        line.trim().parse().unwrap()
    };
    for set in 0..world.sets {
        let of = |kind: EventKind| sent.get(&(set, kind)).map_or(0, Vec::len);
        let is_read = |kind: &EventKind| world.exporters.iter().any(|one| one.set == set && one.kinds.contains(kind));
        let unread: usize = EventKind::ALL.into_iter().filter(|kind| !is_read(kind)).map(of).sum();
        for kind in EventKind::ALL.into_iter().filter(is_read) {
            let series = format!("flagpost_collector_events_total{{flag_set=\"set-{set}\",event_type=\"{kind}\"}}");
            prop_assert_eq!(number(&series), of(kind));
        }
        prop_assert_eq!(number(&format!("flagpost_collector_dropped_total{{flag_set=\"set-{set}\",reason=\"no_exporter\"}}")), unread);
    }

    let tasks = relay.exporters();
    // Shutdown asks an exporter once; those that fail at first are waited for.
    while tasks.iter().any(|task| task.waiting_events() > 0) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let report = relay.close().await;
    prop_assert!(report.unsent.is_empty() && report.in_time, "{:?}", report);
    for task in tasks {
        let set: usize = task.stream().flag_set.strip_prefix("set-").unwrap().parse().unwrap();
        let expected = sent.get(&(set, task.stream().kind)).map_or(0, Vec::len) as u64;
        prop_assert_eq!((task.accepted(), task.delivered(), task.waiting_events(), task.dead()), (expected, expected, 0, 0));
    }
    for (one, keep) in kept {
        let mut expected: Vec<String> =
            one.kinds.iter().flat_map(|kind| sent.get(&(one.set, *kind)).cloned().unwrap_or_default()).collect();
        let mut found = keep.users.lock().unwrap().clone();
        expected.sort();
        found.sort();
        prop_assert_eq!(found, expected, "{:?}", one);
    }
    Ok(())
}

#[test]
fn no_line_reaches_another_flag_set_and_every_event_is_accounted_for() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 200, failure_persistence: None, ..Config::default() });
    runner.run(&world(), |world| runtime.block_on(play(world))).unwrap();
}

fn feature(user: &str) -> FeatureEvent<'_> {
    FeatureEvent {
        kind: "feature".into(),
        context_kind: "user".into(),
        user_key: user.into(),
        creation_date: 1,
        key: "k".into(),
        variation: "v".into(),
        value: Json::NULL,
        default: false,
        version: "".into(),
        source: "SERVER".into(),
        metadata: None,
    }
}

#[tokio::test]
async fn an_embedding_program_names_the_flag_set_of_its_events() {
    let (own, acme) = (Keep::default(), Keep::default());
    let for_acme = ExporterOptions { flag_set: "acme".into(), ..ExporterOptions::default() };
    let builder = Relay::builder().memory(1 << 20).flag_set("acme", []).flag_set("idle", []);
    let relay = builder.exporter("own", own.clone()).exporter_with("own", acme.clone(), for_acme).start().await.unwrap();
    relay.collect(feature("a")).await.unwrap();
    relay.collect_for("acme", feature("b")).await.unwrap();
    relay.collect_all_for("idle", [feature("c")]).await.unwrap();
    let nobody = relay.collect_for("nobody", feature("d")).await.unwrap_err();
    assert!(matches!(&nobody, CollectError::UnknownFlagSet { flag_set } if flag_set == "nobody"), "{nobody}");
    relay.close().await;
    assert_eq!((own.users.lock().unwrap().clone(), acme.users.lock().unwrap().clone()), (vec!["a".to_owned()], vec!["b".to_owned()]));
}

#[tokio::test]
async fn flag_sets_that_do_not_fit_together_are_refused_and_no_key_is_shown() {
    let twice = Relay::builder().flag_set("a", []).flag_set("a", []).start().await.unwrap_err();
    assert!(matches!(twice, StartError::FlagSetTwice { .. }), "{twice}");
    let shared = || [Secret::new("hunter2")];
    let shared = Relay::builder().flag_set("a", shared()).flag_set("b", shared()).start().await.unwrap_err();
    assert_eq!(shared.to_string(), "one API key belongs to the flag sets `a` and `b`; give each flag set keys of its own");
    assert!(!format!("{shared:?}").contains("hunter2"));
    let options = ExporterOptions { flag_set: "b".into(), ..ExporterOptions::default() };
    let unknown = Relay::builder().flag_set("a", []).exporter_with("x", Keep::default(), options).start().await.unwrap_err();
    assert_eq!(unknown.to_string(), "the exporter `x` is for the flag set `b`, which is not configured");
}
