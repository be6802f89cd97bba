//! Flag sets: two tenants behind one relay, and what another relay exports to this one.

use std::path::Path;

use flagpost_tests::{Client, Program, Setup, assert_lines, body, client, events, json_files, lines_in};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Upstream's `exporter/webhookexporter/testdata/valid_with_signature.json` as it is on the wire.
const RECORDED: &str = include_str!("../../host/relay/tests/webhook-body.json");

const TWO_TENANTS: &str = "evaluation: none
authorizedKeys: { evaluation: [ eval-key ], admin: [ admin-key ] }
flagSets:
  - name: acme
    apiKeys: [ acme-key ]
    exporters: [ { kind: file, name: out, outputDir: acme, flushInterval: 20 } ]
  - name: globex
    apiKeys: [ globex-key, globex-key-2 ]
    exporters: [ { kind: file, name: out, outputDir: globex, flushInterval: 20 }, { kind: file, name: more, outputDir: globex2, flushInterval: 20 } ]
";

async fn post(relay: &Client, path: &str, headers: &[(&str, &str)], body: String) -> (u16, String) {
    let mut request = client().post(relay.url(path)).header("content-type", "application/json").body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn each_tenants_events_reach_its_own_exporters_and_no_other() {
    let setup = Setup::new().with_head(TWO_TENANTS);
    let relay = Program::start(&setup).await;
    let sent: [(&[(&str, &str)], _); 4] = [
        (&[("x-api-key", "acme-key")], 1..101),
        (&[("authorization", "Bearer globex-key")], 101..301),
        (&[("x-api-key", "globex-key-2")], 301..401),
        (&[("x-api-key", "acme-key"), ("authorization", "Bearer globex-key")], 401..501),
    ];
    for (headers, numbers) in sent {
        let answer = post(&relay, "/v1/data/collector", headers, body(&events(numbers.clone()))).await;
        assert_eq!(answer, (200, format!("{{\"ingestedContentCount\":{}}}\n", numbers.count())), "{headers:?}");
    }
    let refused: [(&[(&str, &str)], u16, &str); 6] = [
        (&[], 401, "missing key in request header"),
        (&[("authorization", "acme-key")], 401, "invalid key in the request header"),
        (&[("authorization", "Bearer nobody")], 401, "invalid key"),
        (&[("x-api-key", "nobody"), ("authorization", "Bearer acme-key")], 401, "code=401, message=Unauthorized"),
        (&[("x-api-key", "eval-key")], 400, "error while getting flagset: flagset not found for API key"),
        (&[("x-api-key", "admin-key")], 400, "error while getting flagset: flagset not found for API key"),
    ];
    for (headers, status, message) in refused {
        let answer = post(&relay, "/v1/data/collector", headers, body(&events(900..910))).await;
        assert_eq!(answer, (status, format!("{{\"message\":\"{message}\"}}\n")), "{headers:?}");
    }
    let metrics = relay.drained(&["out", "more"]).await;
    let taken = |set: &str| metrics.sum("flagpost_collector_events_total", &[("flag_set", set)]) as u64;
    assert_eq!((taken("acme"), taken("globex")), (200, 300));
    assert_lines(&lines_in(&setup.path("acme")), &[events(1..101), events(401..501)].concat());
    for directory in ["globex", "globex2"] {
        assert_lines(&lines_in(&setup.path(directory)), &events(101..401));
    }
    let (_, info) = relay.get("/info").await;
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    assert_eq!(info["flagpost"]["flagSets"], serde_json::json!(["acme", "globex"]));
    assert_eq!((&info["flagsets"]["acme"], &info["flagsets"]["globex"]), (&info["cacheRefresh"], &info["cacheRefresh"]));
    for key in ["acme-key", "globex-key", "eval-key", "admin-key"] {
        assert!(!relay.log().contains(key), "a key is in the log:\n{}", relay.log());
    }
    relay.stop().await;
}

fn sign(secret: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// Everything in a directory's finished files, in order.
fn bytes_in(directory: &Path) -> String {
    json_files(directory).iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
}

#[tokio::test]
async fn what_upstreams_webhook_sends_comes_out_of_file_byte_for_byte() {
    let exporter = "  - { kind: file, name: out, outputDir: out, flushInterval: 20 }\n  - { kind: file, name: tracks, outputDir: tracks, eventType: tracking, flushInterval: 20 }";
    let setup = Setup::new().with_head("evaluation: none\ncollector: { webhookSecret: secret }\n").with_exporters(exporter);
    let relay = Program::start(&setup).await;
    let recorded = sign("secret", RECORDED);
    assert_eq!(recorded, "sha256=f1f9766836d4e513035986c035ee9f091b895709be47a802b5840467007e1ec0", "upstream's own vector");
    let track = r#"{"kind":"tracking","contextKind":"user","userKey":"u","creationDate":1680246000123,"key":"k","evaluationContext":{"targetingKey":"u"},"trackingEventDetails":null}"#;
    let tracking = format!(r#"{{"meta":{{"hostname":"relay-0"}},"events":[{track}]}}"#);
    for (body, signature, count) in [(RECORDED, recorded, 2), (&tracking, sign("secret", &tracking), 1)] {
        let headers = [("x-hub-signature-256", signature.as_str())];
        let answer = post(&relay, "/v1/data/exported", &headers, body.to_owned()).await;
        assert_eq!(answer, (200, format!("{{\"ingestedContentCount\":{count}}}\n")));
    }
    let (status, text) = post(&relay, "/v1/data/exported", &[("x-hub-signature-256", &sign("other", RECORDED))], RECORDED.to_owned()).await;
    assert!(status == 401 && text.contains("X-Hub-Signature-256"), "{status} {text}");
    let (status, _) = post(&relay, "/v1/data/exported", &[], RECORDED.to_owned()).await;
    assert_eq!(status, 401);
    relay.drained(&["out", "tracks"]).await;
    let (_, inner) = RECORDED.split_once("\"events\":[").unwrap();
    assert_eq!(bytes_in(&setup.path("out")), inner.trim_end_matches("]}").replace("},{", "}\n{") + "\n");
    assert_eq!(bytes_in(&setup.path("tracks")), format!("{track}\n"));
    relay.stop().await;
}

#[tokio::test]
async fn a_relay_exports_to_another_and_nothing_changes_on_the_way() {
    let exporter = "  - { kind: file, name: out, outputDir: out, flushInterval: 20 }";
    let head = "evaluation: none\nauthorizedKeys: { evaluation: [ next ] }\ncollector: { webhookSecret: s3cret }\n";
    let second = Setup::new().with_head(head).with_exporters(exporter);
    let behind = Program::start(&second).await;
    let hook = format!(
        "  - {{ kind: webhook, name: hook, endpointUrl: \"{}\", secret: s3cret, headers: {{ X-API-Key: [ next ] }}, flushInterval: 20 }}",
        behind.url("/v1/data/exported")
    );
    let first = Setup::new().with_exporters(&hook);
    let relay = Program::start(&first).await;
    for batch in events(1..2_001).chunks(250) {
        relay.post(batch).await;
    }
    relay.drained(&["hook"]).await;
    behind.drained(&["out"]).await;
    assert_lines(&lines_in(&second.path("out")), &events(1..2_001));
    relay.stop().await;
    behind.stop().await;
}
