//! What a collector will not take: credentials, spans, too much at once; and addresses where there is none.

use flagpost_tests::servers::{jaeger, unique};
use flagpost_tests::{Faults, Program, Rule, Setup, Target, events, until};

use super::{exporter, numbers};

const PROTOBUF: &[(&str, &str)] = &[("content-type", "application/x-protobuf")];

#[tokio::test(flavor = "multi_thread")]
async fn bad_credentials_raise_an_alarm_and_once_they_are_good_everything_arrives() {
    let Some(server) = jaeger::shared().await else { return };
    let (service, faults) = (unique("guarded"), Faults::before(&server.http()).await);
    faults.add(Rule::any().when(|seen| seen.header("authorization") != "Bearer good-token").answer(401, "who are you").always());
    let own = |token: &str| format!("headers: {{ Authorization: Bearer {token} }}");
    let guarded = |token: &str| exporter("out", &service, &faults.url(""), "http/protobuf", &own(token));
    let mut setup = Setup::new().with_head("evaluation: none\nprobes: true\n").with_exporters(&guarded("bad-token"));
    let relay = Program::start(&setup).await;
    relay.post(&events(1..201)).await;
    let task = relay.in_state("out", "misconfigured").await;
    let told = task["lastError"]["message"].as_str().unwrap_or_default().to_owned();
    assert!(told.contains("401") && told.contains("who are you") && told.contains("check the credentials in `headers`"), "{task}");
    let probed =
        until("the probe has been answered", async || Some(relay.exporter("out").await["probe"].clone()).filter(|probe| !probe.is_null()))
            .await;
    assert_eq!(probed["ok"], false, "{probed}");
    assert_eq!(relay.metrics().await.counts("out").waiting, 200);
    assert!(!relay.log().contains("bad-token") && !relay.get("/health/exporters").await.1.contains("bad-token"));
    relay.stop().await;
    setup.set_exporters(&guarded("good-token"));
    let relay = Program::start(&setup).await;
    let counts = relay.drained(&["out"]).await.counts("out");
    assert_eq!((counts.dead, counts.dropped), (0, 0));
    assert_eq!(numbers(&server.at_least(&service, 200).await), (1..201).collect());
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_busy_is_left_alone_as_long_as_it_wishes() {
    let Some(server) = jaeger::shared().await else { return };
    let (service, faults) = (unique("busy"), Faults::before(&server.http()).await);
    let setup = Setup::new().with_exporters(&exporter("out", &service, &faults.url(""), "http/protobuf", ""));
    let relay = Program::start(&setup).await;
    faults.add(Rule::any().path("/v1/traces").answer_with(429, &[("retry-after", "1")], "slow down"));
    faults.add(Rule::any().path("/v1/traces").answer_with(503, &[("retry-after", "1")], "later"));
    relay.post(&events(1..101)).await;
    let task = relay.in_state("out", "retrying").await;
    assert!(task["lastError"]["message"].as_str().is_some_and(|text| text.contains("slow down") || text.contains("later")), "{task}");
    let counts = relay.drained(&["out"]).await.counts("out");
    assert_eq!((counts.delivered, counts.dead, counts.dropped), (100, 0, 0));
    assert_eq!(numbers(&server.at_least(&service, 100).await), (1..101).collect());
    let statuses: Vec<u16> = faults.seen().iter().filter_map(|seen| seen.status).collect();
    assert_eq!(statuses[..2], [429, 503]);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_spans_that_are_refused_only_the_guilty_are_dead() {
    let Some(server) = jaeger::shared().await else { return };
    let (service, faults) = (unique("strict"), Faults::before(&server.http()).await);
    // A partial success that refuses one span (in protobuf), whenever the guilty one is among them; and a refusal of the whole.
    let partial = "\u{a}\u{f}\u{8}\u{1}\u{12}\u{b}too strange";
    // In protobuf a `J` follows: the next attribute begins.
    faults.add(Rule::any().body("u-77J").answer_with(200, PROTOBUF, partial).always());
    faults.add(Rule::any().body("u-177J").answer(400, "no such user").always());
    let setup = Setup::new().with_exporters(&exporter("out", &service, &faults.url(""), "http/protobuf", ""));
    let relay = Program::start(&setup).await;
    relay.post(&events(1..301)).await;
    let counts = relay.drained(&["out"]).await.counts("out");
    assert_eq!((counts.delivered, counts.dead, counts.dropped), (298, 2, 0));
    let expected = (1..301).filter(|number| ![77, 177].contains(number)).collect();
    assert_eq!(numbers(&server.at_least(&service, 298).await), expected);
    let log = relay.log();
    for told in ["the collector refused 1 of 1 spans: too strange", "400 Bad Request: no such user"] {
        assert!(log.contains(told), "{told}");
    }
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_speaks_otlp_nothing_counts_as_delivered() {
    let Some(server) = jaeger::shared().await else { return };
    let site = Target::good().await;
    let exporters = [
        // A web site that answers everything with 200.
        exporter("site", "s", &site.url(""), "http/protobuf", ""),
        // gRPC where HTTP is spoken, and the other way round.
        exporter("crossed", "s", &server.http(), "grpc", ""),
        exporter("across", "s", &server.grpc(), "http/protobuf", ""),
        exporter("lost", "s", &format!("{}/elsewhere", server.http()), "http/protobuf", ""),
    ];
    let setup = Setup::new().with_exporters(&exporters.concat());
    let relay = Program::start(&setup).await;
    relay.post(&events(1..11)).await;
    for (name, state) in [("site", "misconfigured"), ("lost", "misconfigured"), ("crossed", "retrying"), ("across", "retrying")] {
        relay.in_state(name, state).await;
        // How such a connection ends differs from attempt to attempt.
        until(&format!("{name} is told which port speaks what"), async || {
            let task = relay.exporter(name).await;
            task["lastError"]["message"].as_str().is_some_and(|told| told.contains("4317")).then_some(())
        })
        .await;
        assert_eq!(relay.metrics().await.counts(name).waiting, 10, "{name}");
    }
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_large_together_go_in_requests_that_collectors_take() {
    let Some(server) = jaeger::shared().await else { return };
    let services = [unique("grpc"), unique("http")];
    let exporters =
        exporter("grpc", &services[0], &server.grpc(), "grpc", "") + &exporter("http", &services[1], &server.http(), "http/protobuf", "");
    let setup = Setup::new().with_exporters(&exporters);
    let relay = Program::start(&setup).await;
    // As spans six times as large as in JSON: what is a batch there is too much for one message here.
    let members: Vec<String> = (0..900).map(|number| format!("\"{number:03}\":1")).collect();
    let metadata = format!("\"source\":\"SERVER\",\"metadata\":{{{}}}", members.join(","));
    let all: Vec<String> = (1..201).map(|number| flagpost_tests::event(number * 5).replace("\"source\":\"SERVER\"", &metadata)).collect();
    relay.post(&all).await;
    let metrics = relay.drained(&["grpc", "http"]).await;
    for (name, service) in ["grpc", "http"].iter().zip(&services) {
        let counts = metrics.counts(name);
        assert_eq!((counts.delivered, counts.dead, counts.dropped), (200, 0, 0), "{name}");
        assert_eq!(numbers(&server.at_least(service, 200).await), (1..201).map(|number| number * 5).collect(), "{name}");
    }
    relay.stop().await;
}
