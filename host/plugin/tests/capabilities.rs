//! What a plugin may be granted: each capability refused with the line that grants it, and at work when it is granted.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::io::{BufRead as _, Write as _};

use bytes::Bytes;
use common::server::Server;
use common::{HOST, RUNTIME, ask, probe, ready};
use flagpost_exporter::{Exporter, Secret};
use flagpost_plugin::{PluginSecret, PluginSpec, SecretUse, StateQuota};
use serde_json::{Value, json};

fn secret(value: &str, hosts: &[&str], exposure: SecretUse) -> PluginSecret {
    PluginSecret { value: Secret::new(value), hosts: hosts.iter().map(|host| (*host).to_owned()).collect(), exposure }
}

/// Echoes the credentials that it got, in a header and in the body.
fn echo(seen: &common::server::Seen) -> Option<http::Response<Bytes>> {
    let got = seen.headers.get("authorization").map_or("none", |value| value.to_str().unwrap()).to_owned();
    let body = Bytes::from(format!("you sent {got}"));
    Some(http::Response::builder().status(200).header("x-echo", got).body(body).unwrap())
}

#[test]
fn a_header_secret_reaches_its_host_and_nobody_else_by_both_interfaces() {
    RUNTIME.block_on(async {
        let server = Server::start(echo).await;
        let other = Server::start(echo).await;
        let origin = server.origin("127.0.0.1");
        for wasi in [false, true] {
            let spec = |header: &str, basic: bool, to: &Server| {
                let config = json!({
                    "do": "send-secret", "name": "KEY", "method": "POST", "url": to.url("/in"), "header": header, "basic": basic, "wasi": wasi
                });
                let mut spec = probe(config);
                spec.allowed_hosts = vec![origin.clone(), other.origin("127.0.0.1")];
                spec.secrets.insert("KEY".to_owned(), secret("k3y-of-acme", &[&format!("POST {origin}")], SecretUse::Header));
                spec
            };
            let exporter = ready(spec("Bearer PLACEHOLDER", false, &server)).await;
            let told = ask(&exporter).await.to_string();
            assert_eq!(server.seen().last().unwrap().headers["authorization"], "Bearer k3y-of-acme");
            assert!(told.contains("you sent Bearer ***********") && !told.contains("k3y"), "{told}");
            assert_eq!(exporter.stats().secrets_blanked, 1, "header and body of one answer");
            let exporter = ready(spec("anna:PLACEHOLDER", true, &server)).await;
            let told = ask(&exporter).await.to_string();
            assert!(told.contains("you sent Basic YW5uYTp***") && !told.contains("3ktb2Yt"), "{told}");
            assert_eq!(server.seen().last().unwrap().headers["authorization"], "Basic YW5uYTprM3ktb2YtYWNtZQ==");
            let exporter = ready(spec("Bearer PLACEHOLDER", false, &other)).await;
            let told = ask(&exporter).await.to_string();
            assert!(told.contains(if wasi { "HttpRequestDenied" } else { "the secret `KEY` is not for POST" }), "{told}");
            assert_eq!((other.seen().len(), exporter.stats().secrets_refused), (0, 1));
            let denial = exporter.report().last_denial.unwrap();
            assert!(denial.contains(&format!("add \"POST {}\" to the list secrets.KEY.hosts", other.origin("127.0.0.1"))), "{denial}");
        }
    });
}

#[test]
fn a_placeholder_in_a_body_is_refused_with_what_to_do() {
    RUNTIME.block_on(async {
        let server = Server::start(echo).await;
        let origin = server.origin("127.0.0.1");
        for (wasi, redirects) in [(false, 0), (true, 0), (true, 3)] {
            let config = json!({ "do": "send-secret", "name": "KEY", "method": "POST", "url": server.url("/"), "header": "x", "body": "{\"key\":\"PLACEHOLDER\"}", "wasi": wasi });
            let mut spec = probe(config);
            spec.http.redirects = redirects;
            spec.allowed_hosts = vec![origin.clone()];
            spec.secrets.insert("KEY".to_owned(), secret("k3y-of-acme", &[&origin], SecretUse::Header));
            let exporter = ready(spec).await;
            let told = ask(&exporter).await.to_string();
            let text = if wasi { exporter.report().last_denial.unwrap_or_default() } else { told.clone() };
            assert!(text.contains("the body") && text.contains("as: reveal"), "{told}: {text}");
            assert!(!wasi || told.contains("HttpRequestDenied"), "{told}");
            assert_eq!(exporter.stats().secrets_refused, 1);
            assert!(server.seen().is_empty(), "{:?}", server.seen());
        }
    });
}

#[test]
fn basic_credentials_are_set_by_the_host_and_the_guest_has_nothing() {
    RUNTIME.block_on(async {
        let server = Server::start(echo).await;
        let origin = server.origin("127.0.0.1");
        let with = |config: Value| {
            let mut spec = probe(config);
            spec.allowed_hosts = vec![origin.clone()];
            spec.secrets.insert("LOGIN".to_owned(), secret("anna:hunter22", &[&origin], SecretUse::Basic));
            spec
        };
        let exporter = ready(with(json!({ "do": "http", "method": "GET", "url": server.url("/") }))).await;
        let told = ask(&exporter).await.to_string();
        assert_eq!(server.seen()[0].headers["authorization"], "Basic YW5uYTpodW50ZXIyMg==");
        assert!(!told.contains("hunter22") && !told.contains("YW5uYTpodW50ZXIyMg"), "{told}");
        let told = ask(&*ready(with(json!({ "do": "secret", "name": "LOGIN" }))).await).await;
        assert_eq!(told, json!({ "secret": null, "env": null }));
    });
}

#[test]
fn a_revealed_secret_is_seen_by_the_guest_shown_as_such_and_by_nobody_else() {
    RUNTIME.block_on(async {
        let with = |act: &str| {
            let mut spec = probe(json!({ "do": act, "name": "KEY" }));
            spec.secrets.insert("KEY".to_owned(), secret("s3cret-value", &[], SecretUse::Reveal));
            spec
        };
        let exporter = ready(with("say-secret")).await;
        let error = exporter.export(&common::features(1)).await.unwrap_err().to_string();
        assert_eq!(error, "the secret is [secret KEY]");
        assert_eq!(exporter.report().grants.secrets["KEY"], SecretUse::Reveal);
        assert!(!format!("{:?} {exporter:?}", exporter.report()).contains("s3cret"));
        // The guest's own answer is where it is told; the test reads it there, so it must not be recognised on its way.
        let mut spec = with("secret");
        spec.secrets.insert("KEY".to_owned(), secret("abc", &[], SecretUse::Reveal));
        assert_eq!(ask(&*ready(spec).await).await, json!({ "secret": "abc", "env": "abc" }));
        let mut spec = probe(json!({ "do": "secret", "name": "KEY" }));
        spec.secrets.insert("KEY".to_owned(), secret("k3y-of-acme", &["https://in.acme.dev"], SecretUse::Header));
        let told = ask(&*ready(spec).await).await;
        assert!(told["secret"].as_str().unwrap().starts_with("flagpost-secret-"), "{told}");
        assert_eq!(told["secret"], told["env"]);
    });
}

#[test]
fn wrong_secrets_sockets_files_and_state_are_told_with_their_keys() {
    let mut spec = probe(json!({}));
    spec.env.insert("BOTH".to_owned(), String::new());
    spec.secrets.insert("BOTH".to_owned(), secret("x", &["https://in.acme.dev"], SecretUse::Header));
    spec.secrets.insert("NOWHERE".to_owned(), secret("x", &[], SecretUse::Header));
    spec.secrets.insert("WRONG".to_owned(), secret("no colon", &["*"], SecretUse::Basic));
    spec.secrets.insert("EMPTY".to_owned(), secret("", &[], SecretUse::Reveal));
    spec.allowed_sockets = vec!["tcp://redis:6379".to_owned(), "redis".to_owned()];
    spec.files.insert("data".to_owned(), "/tmp".into());
    spec.state = Some(StateQuota { max_bytes: 0, max_keys: 0 });
    spec.http.redirects = 21;
    spec.http.cert = Some("cert.pem".into());
    spec.http.proxy = Some(Secret::new("socks5://u:hunter22@proxy"));
    let error = HOST.load(spec).unwrap_err();
    let keys: Vec<_> = error.problems.iter().map(|problem| problem.key.as_str()).collect();
    let expected = [
        "secrets.BOTH",
        "secrets.EMPTY",
        "secrets.NOWHERE.hosts",
        "secrets.WRONG.hosts[0]",
        "secrets.WRONG",
        "allowedSockets[1]",
        "files",
        "state.maxBytes",
        "state.maxKeys",
        "http.redirects",
        "http.tls.cert",
        "http.proxy",
    ];
    assert_eq!(keys, expected, "{error}");
    assert!(!error.to_string().contains("hunter22"), "{error}");
}

#[test]
fn a_granted_directory_can_be_read_and_nothing_in_it_changed() {
    RUNTIME.block_on(async {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("lookup")).unwrap();
        std::fs::write(temp.path().join("lookup/names.csv"), "a,b\n").unwrap();
        std::fs::write(temp.path().join("outside"), "x").unwrap();
        let with = |file: &str| {
            let mut spec = probe(json!({ "do": "read", "file": file }));
            spec.files.insert("/data".to_owned(), temp.path().join("lookup"));
            spec
        };
        assert_eq!(ask(&*ready(with("/data/names.csv")).await).await, json!([{ "Ok": "a,b\n" }, false, false, false, false]));
        assert_eq!(std::fs::read_to_string(temp.path().join("lookup/names.csv")).unwrap(), "a,b\n");
        assert_eq!(std::fs::read_dir(temp.path().join("lookup")).unwrap().count(), 1);
        std::os::unix::fs::symlink(temp.path().join("outside"), temp.path().join("lookup/link")).unwrap();
        for outside in ["/data/../outside", "/data/link", "/etc/passwd"] {
            let told = ask(&*ready(with(outside)).await).await;
            assert!(told[0]["Err"].is_string(), "{outside}: {told}");
        }
        let mut spec = probe(json!({ "do": "read" }));
        spec.files.insert("/data".to_owned(), temp.path().join("missing"));
        let reason = common::invalid(spec).await;
        assert!(reason.contains("missing") && reason.contains("`files`"), "{reason}");
    });
}

/// A TCP server that answers one line per connection.
fn line_server(address: &str) -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind(address).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut line = String::new();
            std::io::BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
            stream.write_all(format!("got {line}").as_bytes()).unwrap();
        }
    });
    address
}

#[test]
fn a_socket_goes_where_it_is_granted_by_address_or_by_name_and_nowhere_else() {
    RUNTIME.block_on(async {
        let server = line_server("127.0.0.1:0");
        let talk = async |address: &str, granted: &[&str]| {
            let spec = probe(json!({ "do": "socket", "address": address }));
            let exporter = ready(PluginSpec { allowed_sockets: granted.iter().map(|one| (*one).to_owned()).collect(), ..spec }).await;
            (ask(&exporter).await, exporter.stats().sockets_denied, exporter.report().last_denial.unwrap_or_default())
        };
        let (literal, name) = (server.to_string(), format!("localhost:{}", server.port()));
        let grant = |address: &str| format!("tcp://{address}");
        assert_eq!(talk(&literal, &[&grant(&literal)]).await.0, json!({ "Ok": "got hello\n" }));
        assert_eq!(talk(&name, &[&grant(&name)]).await.0, json!({ "Ok": "got hello\n" }));
        // Not granted: by address, by name, another port, an address that only a name was granted for and nobody looked up.
        let (told, denied, why) = talk(&literal, &[]).await;
        assert!(told["Err"].is_string() && denied >= 1, "{told} {denied}");
        assert!(why.contains(&format!("allowedSockets: [ \"tcp://{literal}\" ]")), "{why}");
        let (told, denied, why) = talk("metadata.example:80", &[&grant(&name)]).await;
        assert!(told["Err"].is_string() && denied == 1, "{told} {denied}");
        assert!(why.contains("allowedSockets: [ \"tcp://metadata.example:PORT\" ]"), "{why}");
        for (address, granted) in
            [(literal.clone(), grant("127.0.0.1:1")), (literal.clone(), grant(&name)), (name.clone(), grant("localhost:1"))]
        {
            let (told, denied, _) = talk(&address, &[&granted]).await;
            assert!(told["Err"].is_string() && denied >= 1, "{address} {granted}: {told} {denied}");
        }
        let (told, _, why) = talk("169.254.169.254:80", &[&grant(&name)]).await;
        assert!(told["Err"].is_string() && why.contains("metadata"), "{told} {why}");
        let spec = probe(json!({ "do": "listen", "address": "127.0.0.1:0" }));
        let told = ask(&*ready(PluginSpec { allowed_sockets: vec![grant(&literal)], ..spec }).await).await;
        assert!(told["Err"].is_string(), "{told}");
    });
}

#[test]
fn state_is_refused_until_it_is_granted_kept_within_its_quota_and_there_after_a_restart() {
    RUNTIME.block_on(async {
        let temp = tempfile::tempdir().unwrap();
        let host = || flagpost_plugin::PluginHost::start(common::options(&temp.path().join("cache"))).unwrap();
        let with = |steps: Value, state| PluginSpec { state, ..probe(json!({ "do": "state", "steps": steps })) };
        let exporter = common::load(&host(), with(json!([["get", "a"], ["set", "a", "1"]]), None)).await;
        let told = ask(&exporter).await.to_string();
        assert_eq!(told.matches("state: { maxBytes: 1MiB, maxKeys: 1000 }").count(), 2, "{told}");
        assert_eq!(exporter.stats().state_refused, 2);
        let quota = Some(StateQuota { max_bytes: 1000, max_keys: 3 });
        let steps =
            json!([["get", "a"], ["set", "a", "1"], ["get", "a"], ["set", "b", "2"], ["list", ""], ["fill", "c", 2000], ["delete", "b"]]);
        let exporter = common::load(&host(), with(steps, quota)).await;
        let told = ask(&exporter).await;
        assert_eq!(told.as_array().unwrap()[..5], [json!(null), json!(true), json!("1"), json!(true), json!(["a", "b"])]);
        assert!(told[5]["quota"].as_str().unwrap().contains("state.maxBytes"), "{told}");
        assert_eq!(exporter.stats().state_refused, 1);
        drop(exporter);
        let exporter = common::load(&host(), with(json!([["list", ""], ["get", "a"]]), quota)).await;
        assert_eq!(ask(&exporter).await, json!([["a"], "1"]));
        let file = temp.path().join("state/default/probe.sqlite");
        assert!(file.is_file(), "{}", file.display());
    });
}

#[test]
fn own_numbers_are_counted_and_what_is_too_much_is_dropped() {
    RUNTIME.block_on(async {
        let exporter = ready(probe(json!({ "do": "count", "times": 300 }))).await;
        ask(&exporter).await;
        let metrics = exporter.metrics();
        assert_eq!(metrics.len(), 256, "the counter took all of the room");
        assert!(metrics.iter().all(|metric| metric.counter && metric.value == 2.5));
        assert_eq!(exporter.stats().metrics_dropped, 46);
        let exporter = ready(probe(json!({ "do": "count", "times": 2 }))).await;
        ask(&exporter).await;
        ask(&exporter).await;
        let found: Vec<_> = exporter.metrics().into_iter().map(|metric| (metric.name, metric.value)).collect();
        assert_eq!(found, [("lag".to_owned(), 4.0), ("rows".to_owned(), 5.0), ("rows".to_owned(), 5.0)]);
    });
}

#[test]
fn redirects_are_followed_only_when_asked_and_each_hop_is_checked() {
    fn hops(seen: &common::server::Seen) -> Option<http::Response<Bytes>> {
        let to = match seen.path.as_str() {
            "/start" => "/next",
            "/next" => "/end",
            "/away" => "http://169.254.169.254/latest/meta-data",
            "/round" => "/round",
            _ => return common::server::status(200),
        };
        Some(http::Response::builder().status(307).header("location", to).body(Bytes::new()).unwrap())
    }
    RUNTIME.block_on(async {
        for interface in ["http", "wasi-http"] {
            let server = Server::start(hops).await;
            let send = async |path: &str, redirects| {
                let mut spec = probe(json!({ "do": interface, "method": "POST", "url": server.url(path), "body": "events" }));
                spec.allowed_hosts = vec![server.origin("127.0.0.1")];
                spec.http.redirects = redirects;
                let exporter = ready(spec).await;
                (ask(&exporter).await, exporter.report().last_denial.unwrap_or_default())
            };
            assert_eq!(send("/start", 0).await.0["status"], 307, "the guest's own answer");
            assert_eq!(server.seen().len(), 1);
            assert_eq!(send("/start", 2).await.0["status"], 200);
            let seen = server.seen();
            assert_eq!((seen[3].path.as_str(), seen[3].method.as_str(), seen[3].body.as_str()), ("/end", "POST", "events"), "{interface}");
            assert_eq!(send("/start", 1).await.0["status"], 307, "one too many");
            assert_eq!(send("/round", 5).await.0["status"], 307);
            let (told, denial) = send("/away", 3).await;
            assert!(["denied", "Prohibited"].iter().any(|word| told.to_string().contains(word)), "{interface}: {told}");
            assert!(denial.contains("169.254.169.254 is a cloud's metadata service"), "{denial}");
        }
    });
}
