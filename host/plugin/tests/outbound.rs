//! Outbound HTTP by both interfaces: denied, granted, judged by address, bounded.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use common::server::{Server, status};
use common::{RUNTIME, ask, load, probe, ready};
use flagpost_plugin::{HostOptions, PluginHost, PluginLimits, PluginSpec, Resolver};
use http::Response;
use serde_json::{Value, json};

/// A probe that makes one request per call.
fn asking(interface: &str, method: &str, url: &str, allowed: &[&str]) -> PluginSpec {
    let allowed_hosts = allowed.iter().map(|&text| text.to_owned()).collect();
    PluginSpec { allowed_hosts, ..probe(json!({ "do": interface, "method": method, "url": url, "body": "hello" })) }
}

#[test]
fn without_a_grant_nothing_leaves_and_the_refusal_holds_the_yaml() {
    RUNTIME.block_on(async {
        let server = Server::start(|_| status(200)).await;
        let url = server.url("/v1?key=secret");
        let exporter = ready(asking("http", "POST", &url, &[])).await;
        let denied = ask(&exporter).await["denied"].as_str().unwrap().to_owned();
        assert!(denied.contains(&format!(r#"allowedHosts: [ "POST {}" ]"#, server.origin("127.0.0.1"))), "{denied}");
        assert!(!denied.contains("secret"), "{denied}");
        assert_eq!((exporter.stats().http_requests, exporter.stats().http_denied), (1, 1));
        let exporter = ready(asking("wasi-http", "POST", &url, &["GET http://127.0.0.1"])).await;
        let error = ask(&exporter).await["error"].as_str().unwrap().to_owned();
        assert!(error.contains("HttpRequestDenied"), "{error}");
        assert_eq!(exporter.stats().http_denied, 1);
        let exporter = ready(asking("http", "DELETE", &url, &[&format!("POST,GET {}", server.origin("127.0.0.1"))])).await;
        assert!(ask(&exporter).await["denied"].as_str().unwrap().contains("is granted, but not for DELETE"));
        assert_eq!(server.connections(), 0);
    });
}

#[test]
fn a_granted_request_arrives_whole_and_connections_are_reused() {
    RUNTIME.block_on(async {
        let server =
            Server::start(|_| Some(Response::builder().header("X-Answer", "yes").body(Bytes::from_static(b"thanks")).unwrap())).await;
        let origin = server.origin("127.0.0.1");
        let mut spec = asking("http", "post", &server.url("/v1?x=1"), &[&origin]);
        spec.config["headers"] = json!({ "X-Key": "abc" });
        let exporter = ready(spec).await;
        for _ in 0..3 {
            let answer = ask(&exporter).await;
            assert_eq!((&answer["status"], &answer["body"]), (&json!(200), &json!("thanks")));
            assert!(answer["headers"].as_array().unwrap().contains(&json!(["x-answer", "yes"])), "names in lower case: {answer}");
        }
        assert_eq!(server.connections(), 1);
        let seen = &server.seen()[0];
        assert_eq!((seen.method.as_str(), seen.path.as_str(), seen.body.as_str()), ("POST", "/v1?x=1", "hello"));
        assert_eq!(seen.headers["x-key"], "abc");
        assert_eq!(seen.headers["host"].to_str().unwrap(), server.address.to_string());

        let exporter = ready(asking("wasi-http", "POST", &server.url("/v2"), &[&origin])).await;
        for _ in 0..3 {
            assert_eq!(ask(&exporter).await, json!({ "status": 200, "length": 6, "body": "thanks" }));
        }
        assert_eq!(server.connections(), 2, "one per plugin: connections are not shared");
        let seen = &server.seen()[3];
        assert_eq!((seen.method.as_str(), seen.path.as_str(), seen.body.as_str()), ("POST", "/v2", "hello"));
        assert_eq!(seen.headers["host"].to_str().unwrap(), server.address.to_string());
    });
}

#[test]
fn a_refusal_reaches_a_guest_that_is_still_writing_its_body() {
    RUNTIME.block_on(async {
        let mut spec = asking("wasi-http", "POST", "http://127.0.0.1:1/", &[]);
        spec.config["body"] = json!("x".repeat(3 << 20));
        let answer = ask(&*ready(spec).await).await;
        assert!(answer["error"].as_str().unwrap().contains("HttpRequestDenied"), "{answer}");
    });
}

#[test]
fn a_swarm_of_requests_takes_few_connections_and_all_are_answered() {
    RUNTIME.block_on(async {
        let server = Server::start(|_| status(204)).await;
        let mut spec = asking("swarm", "GET", &server.origin("127.0.0.1"), &[&server.origin("127.0.0.1")]);
        spec.config["requests"] = json!(100);
        assert_eq!(ask(&*ready(spec).await).await, json!([]), "all are answered");
        assert_eq!(server.seen().len(), 100);
        // 16 in use, 8 idle ones kept.
        assert!(server.most_open() <= 24, "{}", server.most_open());
    });
}

#[test]
fn redirects_are_shown_not_followed() {
    RUNTIME.block_on(async {
        let server = Server::start(|_| {
            Some(Response::builder().status(307).header("location", "http://169.254.169.254/latest/meta-data").body(Bytes::new()).unwrap())
        })
        .await;
        for interface in ["http", "wasi-http"] {
            let exporter = ready(asking(interface, "POST", &server.url("/"), &[&server.origin("127.0.0.1")])).await;
            assert_eq!(ask(&exporter).await["status"], 307);
            assert_eq!(exporter.stats().http_requests, 1);
        }
    });
}

#[test]
fn headers_of_the_connection_belong_to_the_host() {
    RUNTIME.block_on(async {
        let server = Server::start(|_| status(200)).await;
        for (name, value, expected) in [
            ("Host", "internal.example", "set by the host"),
            ("content-length", "1", "set by the host"),
            ("Transfer-Encoding", "chunked", "set by the host"),
            ("no name", "x", "is no header name"),
            ("x-key", "secret\r\nx: y", "characters that no header may have"),
        ] {
            let mut spec = asking("http", "POST", &server.url("/"), &[&server.origin("127.0.0.1")]);
            spec.config["headers"] = json!({ name: value });
            let answer = ask(&*ready(spec).await).await["other"].as_str().unwrap().to_owned();
            assert!(answer.contains(expected) && !answer.contains("secret"), "{answer}");
        }
        assert_eq!(server.connections(), 0);
    });
}

#[test]
fn a_large_response_is_cut_and_counted() {
    RUNTIME.block_on(async {
        let server = Server::start(|_| Some(Response::new(Bytes::from(vec![b'x'; 5 << 20])))).await;
        let exporter = ready(asking("http", "GET", &server.url("/"), &[&server.origin("127.0.0.1")])).await;
        assert_eq!(ask(&exporter).await["length"], 4 << 20);
        assert_eq!(exporter.stats().http_truncated, 1);
        let exporter = ready(asking("wasi-http", "GET", &server.url("/"), &[&server.origin("127.0.0.1")])).await;
        let answer = ask(&exporter).await;
        assert!(answer["error"].as_str().unwrap().contains("exceeds limit: 4194304 bytes"), "{answer}");
        assert_eq!(exporter.stats().http_truncated, 1);
    });
}

#[test]
fn a_destination_that_hangs_is_an_error_for_the_guest_not_its_end() {
    RUNTIME.block_on(async {
        let server = Server::start(|_| None).await;
        let limits = PluginLimits { timeout: Duration::from_secs(5), ..PluginLimits::default() };
        for (interface, expected) in [("http", "timeout"), ("wasi-http", "Timeout")] {
            let spec = asking(interface, "POST", &server.url("/"), &[&server.origin("127.0.0.1")]);
            let exporter = ready(PluginSpec { limits: limits.clone(), ..spec }).await;
            let answer = ask(&exporter).await.to_string();
            assert!(answer.contains(expected), "{answer}");
            assert_eq!((exporter.stats().timeouts, exporter.stats().instances), (0, 1));
        }
        let mut spec = asking("http", "POST", &server.url("/"), &[&server.origin("127.0.0.1")]);
        spec.config["timeoutMs"] = json!(20);
        assert_eq!(ask(&*ready(spec).await).await, "timeout", "its own timeout is shorter");
    });
}

#[test]
fn a_refused_connection_is_told() {
    RUNTIME.block_on(async {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let origin = format!("http://127.0.0.1:{port}");
        let answer = ask(&*ready(asking("http", "GET", &origin, &[&origin])).await).await;
        assert!(answer["connect"].as_str().unwrap().contains("refused"), "{answer}");
        let answer = ask(&*ready(asking("wasi-http", "GET", &origin, &[&origin])).await).await;
        assert!(answer["error"].as_str().unwrap().contains("ConnectionRefused"), "{answer}");
    });
}

/// Answers in turn; the last answer stays.
#[derive(Debug)]
struct Scripted(Mutex<VecDeque<Vec<IpAddr>>>);

#[async_trait]
impl Resolver for Scripted {
    async fn resolve(&self, _name: &str) -> io::Result<Vec<IpAddr>> {
        let mut answers = self.0.lock().unwrap();
        Ok(if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() })
    }
}

/// A host whose names lead where the script says.
fn host_with(answers: &[&[&str]]) -> (tempfile::TempDir, Arc<PluginHost>) {
    let temp = tempfile::tempdir().unwrap();
    let answers = answers.iter().map(|one| one.iter().map(|text| text.parse().unwrap()).collect()).collect();
    let options = HostOptions { resolver: Arc::new(Scripted(Mutex::new(answers))), ..common::options(&temp.path().join("cache")) };
    (temp, PluginHost::start(options).unwrap())
}

/// One request to `in.acme.test`, granted by name, per call.
fn named(interface: &str, server: &Server, networks: &[&str]) -> PluginSpec {
    let origin = server.origin("in.acme.test");
    let allowed_networks = networks.iter().map(|text| text.parse().unwrap()).collect();
    PluginSpec { allowed_networks, ..asking(interface, "POST", &origin, &[&origin]) }
}

fn denied(answer: &Value) -> String {
    answer["denied"].as_str().map_or_else(|| panic!("expected a denial, got {answer}"), str::to_owned)
}

#[test]
fn a_granted_name_that_leads_into_the_private_network_is_refused() {
    RUNTIME.block_on(async {
        let server = Server::start(|_| status(200)).await;
        let (_temp, host) = host_with(&[&["127.0.0.1"]]);
        let exporter = load(&host, named("http", &server, &[])).await;
        let text = denied(&ask(&exporter).await);
        assert!(text.contains("`in.acme.test` resolves to 127.0.0.1, a loopback address"), "{text}");
        assert!(text.contains(r#"allowedNetworks: [ "127.0.0.1/32" ]"#), "{text}");
        assert_eq!(exporter.stats().http_denied, 1);
        let exporter = load(&host, named("wasi-http", &server, &[])).await;
        let answer = ask(&exporter).await;
        assert!(answer["error"].as_str().unwrap().contains("DestinationIpProhibited"), "{answer}");
        assert_eq!((exporter.stats().http_denied, server.connections()), (1, 0));
        let exporter = load(&host, named("http", &server, &["127.0.0.0/8"])).await;
        assert_eq!(ask(&exporter).await["status"], 200, "the operator may mean it");
    });
}

#[test]
fn a_name_that_is_rebound_is_judged_again_at_each_connection() {
    RUNTIME.block_on(async {
        let close = |_: &common::server::Seen| Some(Response::builder().header("connection", "close").body(Bytes::new()).unwrap());
        let server = Server::start(close).await;
        let (_temp, host) = host_with(&[&["127.0.0.1"], &["169.254.169.254"], &["::ffff:169.254.169.254"], &["10.0.0.1"]]);
        let exporter = load(&host, named("http", &server, &["127.0.0.0/8", "169.254.0.0/16"])).await;
        assert_eq!(ask(&exporter).await["status"], 200);
        for _ in 0..2 {
            assert!(denied(&ask(&exporter).await).contains("is a cloud's metadata service, which no plugin may reach"));
        }
        assert!(denied(&ask(&exporter).await).contains("resolves to 10.0.0.1, a private address"));
        assert_eq!(server.connections(), 1);
    });
}

#[test]
fn of_several_addresses_only_the_permitted_are_used() {
    RUNTIME.block_on(async {
        let server = Server::start(|_| status(200)).await;
        let (_temp, host) = host_with(&[&["10.255.255.1", "127.0.0.1"]]);
        let exporter = load(&host, named("http", &server, &["127.0.0.0/8"])).await;
        assert_eq!(ask(&exporter).await["status"], 200);
    });
}

/// Never answers; counts how many ask.
#[derive(Debug, Default)]
struct Hanging(std::sync::atomic::AtomicUsize);

#[async_trait]
impl Resolver for Hanging {
    async fn resolve(&self, _name: &str) -> io::Result<Vec<IpAddr>> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        std::future::pending().await
    }
}

#[test]
fn look_ups_that_hang_do_not_pile_up_behind_requests_that_were_given_up() {
    RUNTIME.block_on(async {
        let temp = tempfile::tempdir().unwrap();
        let resolver = Arc::new(Hanging::default());
        let options = HostOptions { resolver: resolver.clone(), ..common::options(&temp.path().join("cache")) };
        let host = PluginHost::start(options).unwrap();
        let mut spec = asking("http", "POST", "http://in.acme.test", &["http://in.acme.test"]);
        spec.config["timeoutMs"] = json!(20);
        let exporter = load(&host, spec).await;
        for _ in 0..12 {
            assert_eq!(ask(&exporter).await, "timeout");
        }
        assert_eq!(resolver.0.load(std::sync::atomic::Ordering::Relaxed), 4);
    });
}

#[test]
fn localhost_is_what_its_name_says() {
    RUNTIME.block_on(async {
        let server = Server::start(|_| status(200)).await;
        let origin = server.origin("localhost");
        let (_temp, host) = host_with(&[&["127.0.0.1"]]);
        let exporter = load(&host, asking("http", "POST", &origin, &[&origin])).await;
        assert_eq!(ask(&exporter).await["status"], 200);
        let (_temp, host) = host_with(&[&["10.0.0.1"]]);
        let exporter = load(&host, asking("http", "POST", &origin, &[&origin])).await;
        assert!(denied(&ask(&exporter).await).contains("private address"));
    });
}
