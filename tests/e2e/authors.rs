//! Six languages, two worlds: from `flagpost plugin new` to delivered events, by the documented commands and the languages' own toolchains.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use flagpost_tests::{Answer, Author, Program, Setup, Target, event_number, events};
use serde_json::Value;

/// What the schema and what `configure` complain about, before anything runs.
fn wrong_configuration_is_refused(author: &Author, component: &Path) {
    for (endpoint, complaint) in
        [("5", "config.endpoint"), ("in.acme.dev", "config.endpoint: expected an address that begins with https://")]
    {
        let text = format!(
            "evaluation: none\nexporters:\n  - kind: wasm\n    name: acme\n    path: {}\n    config:\n      endpoint: {endpoint}\n",
            component.display()
        );
        let file = component.with_file_name("wrong.yaml");
        fs::write(&file, text).unwrap();
        let finished = author.run(&["validate", "--config", file.to_str().unwrap()]);
        assert!(!finished.status.success(), "{}", finished.text);
        assert!(finished.text.contains("line 7: ") && finished.text.contains(complaint), "{endpoint}: {}", finished.text);
    }
}

/// Makes, builds, tests, inspects, drops in, names in the configuration, grants; then events come, and the API is busy once.
async fn from_nothing_to_delivered_events(language: &str, name_of_language: &str, world: &str) {
    let name = format!("acme-{language}-{world}");
    let setup = Setup::new();
    let author = Author::at(setup.directory());
    let Some(component) = author.project(language, world, &name) else { return };

    let tested = author.good(&["test", &name]);
    assert!(tested.contains("test/golden.txt: the same"), "{tested}");
    assert!(tested.contains(r#"allowedHosts: [ "POST https://in.acme.dev" ]"#), "{tested}");
    // What the API says becomes the same outcome in every language.
    for (reply, outcome) in [
        ("{ status: 503 }", "  = retryable: HTTP 503\n"),
        ("{ status: 401 }", "  = misconfigured: HTTP 401: "),
        ("{ status: 400, body: bad value }", "  = rejected: HTTP 400: bad value\n"),
        ("{ error: connect }", "  = retryable: "),
    ] {
        fs::write(setup.path("replies.yaml"), format!("- {reply}\n")).unwrap();
        let config = format!("{name}/test/config.yaml");
        let said = author.run(&["test", component.to_str().unwrap(), "--config", &config, "--replies", "replies.yaml"]).text;
        assert!(said.contains(outcome), "{reply}: {said}");
    }
    let inspected = author.good(&["inspect", "--json", component.to_str().unwrap()]);
    let inspected: Value = serde_json::from_str(&inspected).unwrap();
    let interface = if world == "plugin" { "exporter" } else { "managed-exporter" };
    assert_eq!(inspected["interface"], format!("flagpost:plugin/{interface}@0.1.0"));
    if world == "managed-plugin" {
        wrong_configuration_is_refused(&author, &component);
    }
    let languages = inspected["languages"].as_array().unwrap();
    assert!(languages.iter().any(|language| language.as_str().unwrap().starts_with(name_of_language)), "{languages:?}");

    let asked = AtomicUsize::new(0);
    let busy_once = move |_: &_| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => Answer::With(429, vec![("retry-after", "1".to_owned())]),
        _ => Answer::Status(202),
    };
    let target = Target::start(busy_once).await;
    fs::copy(&component, setup.path("plugins").join(format!("{name}.wasm"))).unwrap();
    let setup = setup.with_exporters(&format!(
        "  - kind: wasm\n    name: {name}\n    path: {name}.wasm\n    config: {{ endpoint: \"{0}\", key: s3cret }}\n    allowedHosts: [ \"POST {1}\" ]\n    \
         flushInterval: 20\n    sha256: {2}",
        target.url("/v1/events"),
        target.url(""),
        inspected["sha256"].as_str().unwrap()
    ));
    author.warms(&setup);
    let relay = Program::start(&setup).await;
    let all = events(1..301);
    relay.post(&all).await;
    let counts = relay.drained(&[&name]).await.counts(&name);
    assert_eq!((counts.delivered, counts.dead, counts.dropped), (300, 0, 0));
    relay.stop().await;

    let received = target.received();
    for request in &received {
        assert_eq!(request.line, "POST /v1/events");
        assert_eq!(request.headers["authorization"], "Bearer s3cret");
        assert_eq!(request.headers["content-type"], "application/json");
    }
    let (refused, taken): (Vec<_>, Vec<_>) = received.iter().partition(|request| matches!(request.answer, Answer::With(..)));
    assert_eq!(refused.len(), 1);
    let again = taken.iter().filter(|request| request.headers["idempotency-key"] == refused[0].headers["idempotency-key"]);
    let again: Vec<_> = again.collect();
    assert_eq!(again.len(), 1, "the refused batch came once more, under its name");
    let posted: Vec<Value> = taken.iter().flat_map(|request| serde_json::from_slice::<Vec<Value>>(&request.body).unwrap()).collect();
    assert_eq!(posted.iter().map(event_number).collect::<Vec<_>>(), (1..301).collect::<Vec<_>>(), "each event once, in order");
    let expected: Vec<Value> = all.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(posted, expected);
}

#[tokio::test]
async fn an_author_in_rust_sees_events_delivered() {
    from_nothing_to_delivered_events("rust", "Rust", "plugin").await;
}

#[tokio::test]
async fn an_author_in_rust_sees_events_delivered_by_the_full_contract() {
    from_nothing_to_delivered_events("rust", "Rust", "managed-plugin").await;
}

#[tokio::test]
async fn an_author_in_javascript_sees_events_delivered() {
    from_nothing_to_delivered_events("js", "JavaScript", "plugin").await;
}

#[tokio::test]
async fn an_author_in_javascript_sees_events_delivered_by_the_full_contract() {
    from_nothing_to_delivered_events("js", "JavaScript", "managed-plugin").await;
}

#[tokio::test]
async fn an_author_in_typescript_sees_events_delivered() {
    from_nothing_to_delivered_events("ts", "TypeScript", "plugin").await;
}

#[tokio::test]
async fn an_author_in_typescript_sees_events_delivered_by_the_full_contract() {
    from_nothing_to_delivered_events("ts", "TypeScript", "managed-plugin").await;
}

#[tokio::test]
async fn an_author_in_python_sees_events_delivered() {
    from_nothing_to_delivered_events("python", "Python", "plugin").await;
}

#[tokio::test]
async fn an_author_in_python_sees_events_delivered_by_the_full_contract() {
    from_nothing_to_delivered_events("python", "Python", "managed-plugin").await;
}

#[tokio::test]
async fn an_author_in_go_sees_events_delivered() {
    from_nothing_to_delivered_events("go", "Go", "plugin").await;
}

#[tokio::test]
async fn an_author_in_go_sees_events_delivered_by_the_full_contract() {
    from_nothing_to_delivered_events("go", "Go", "managed-plugin").await;
}

#[tokio::test]
async fn an_author_in_c_sees_events_delivered() {
    from_nothing_to_delivered_events("c", "C", "plugin").await;
}

#[tokio::test]
async fn an_author_in_c_sees_events_delivered_by_the_full_contract() {
    from_nothing_to_delivered_events("c", "C", "managed-plugin").await;
}
