//! What the service will not take, and from whom.

use flagpost_tests::servers::{gcs, unique};
use flagpost_tests::{Answer, Faults, Program, Rule, Setup, Target, events};
use serde_json::json;

use super::{exporter, lines, sorted};

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_made_later_gets_everything() {
    let Some(gcs) = gcs::shared().await else { return };
    let bucket = unique("later");
    let setup = Setup::new().with_exporters(&exporter("out", &bucket, gcs.url(), ""));
    let relay = Program::start(&setup).await;
    relay.post(&events(1..501)).await;
    let task = relay.in_state("out", "misconfigured").await;
    let told = task["lastError"]["message"].as_str().unwrap_or_default().to_owned();
    assert!(told.contains(&bucket) && told.contains("create the bucket, or correct `bucket`"), "{task}");
    assert_eq!(relay.metrics().await.counts("out").waiting, 500);
    gcs.make_bucket(&bucket).await;
    relay.post(&events(501..601)).await;
    let counts = relay.drained(&["out"]).await.counts("out");
    assert_eq!((counts.delivered, counts.dead, counts.dropped), (600, 0, 0));
    assert_eq!(lines(&gcs.objects(&bucket).await), sorted(events(1..601)));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn throttling_outages_and_missing_rights_hold_events_and_condemn_none() {
    let Some(gcs) = gcs::shared().await else { return };
    let bucket = gcs.bucket().await;
    let faults = Faults::before(gcs.url()).await;
    let setup = Setup::new().with_exporters(&exporter("out", &bucket, &faults.url(""), ""));
    let relay = Program::start(&setup).await;
    let said =
        |code: u16, reason: &str| json!({ "error": { "code": code, "message": "recorded", "errors": [{ "reason": reason }] } }).to_string();
    let cases = [
        (401, said(401, "authError"), "misconfigured", "check the credentials"),
        (403, said(403, "forbidden"), "misconfigured", "storage.objects.create"),
        (403, said(403, "rateLimitExceeded"), "retrying", "recorded"),
        (404, said(404, "notFound"), "misconfigured", "create the bucket"),
        (429, said(429, "rateLimitExceeded"), "retrying", "recorded"),
        (503, "Service Unavailable".to_owned(), "retrying", "Service Unavailable"),
        (400, said(400, "invalid"), "misconfigured", "recorded"),
    ];
    let mut next = 1;
    for (code, body, state, expected) in cases {
        faults.add(Rule::any().path("/upload/").always().answer(code, body));
        relay.post(&events(next..next + 50)).await;
        next += 50;
        let task = relay.in_state("out", state).await;
        let told = task["lastError"]["message"].to_string();
        assert!(told.contains(&code.to_string()) && told.contains(expected) && told.contains(&bucket), "{code}: {told}");
        faults.heal();
        relay.drained(&["out"]).await;
    }
    let counts = relay.metrics().await.counts("out");
    assert_eq!((counts.delivered, counts.dead, counts.dropped), (next - 1, 0, 0));
    assert_eq!(lines(&gcs.objects(&bucket).await), sorted(events(1..next)), "each once");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_objects_name_that_somebody_else_has_is_left_alone() {
    let Some(gcs) = gcs::shared().await else { return };
    let bucket = gcs.bucket().await;
    let faults = Faults::before(gcs.url()).await;
    let setup = Setup::new().with_exporters(&exporter("out", &bucket, &faults.url(""), "filename: '{{ .Timestamp }}.json'"));
    let relay = Program::start(&setup).await;
    let gate = faults.hold(Rule::any().path("/upload/"));
    relay.post(&events(1..51)).await;
    gate.reached().await;
    gate.release();
    relay.drained(&["out"]).await;
    let first: u64 = gcs.objects(&bucket).await[0].name.trim_end_matches(".json").parse().unwrap();
    // Names of the next minute are taken.
    for second in first + 1..first + 60 {
        gcs.put(&bucket, &format!("{second}.json"), "somebody else's").await;
    }
    relay.post(&events(51..101)).await;
    relay.drained(&["out"]).await;
    let (others, ours): (Vec<_>, Vec<_>) = gcs.objects(&bucket).await.into_iter().partition(|object| object.bytes == b"somebody else's");
    assert_eq!(others.len(), 59, "none was overwritten");
    assert_eq!(lines(&ours), sorted(events(1..101)));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_of_a_file_are_sent_and_read_again_when_they_were_refused() {
    let Some(gcs) = gcs::shared().await else { return };
    let bucket = gcs.bucket().await;
    let faults = Faults::before(gcs.url()).await;
    // Google's token service, as far as it is needed: it gives each user another token.
    let tokens = Target::start(|request| {
        let token = if String::from_utf8_lossy(&request.body).contains("new-hunter") { "new-token" } else { "old-token" };
        Answer::Json(json!({ "access_token": token, "token_type": "Bearer", "expires_in": 3600 }).to_string())
    })
    .await;
    let user = |secret: &str| {
        json!({
            "type": "authorized_user", "client_id": "id", "client_secret": secret, "refresh_token": secret, "token_uri": tokens.url("/token"),
        })
        .to_string()
    };
    let setup = Setup::new();
    let file = setup.path("credentials.json");
    std::fs::write(&file, user("old-hunter")).unwrap();
    let own = format!("credentialsFile: {}", file.display());
    let setup = setup.with_exporters(&exporter("out", &bucket, &faults.url(""), &own));
    let refused = || Rule::any().header("authorization", "Bearer old-token").always();
    faults.add(refused().answer(401, json!({ "error": { "message": "Invalid Credentials" } }).to_string()));
    let relay = Program::start(&setup).await;
    relay.post(&events(1..101)).await;
    let told = relay.in_state("out", "misconfigured").await["lastError"]["message"].to_string();
    assert!(told.contains("401: Invalid Credentials") && told.contains("check the credentials"), "{told}");
    std::fs::write(&file, user("new-hunter")).unwrap();
    relay.drained(&["out"]).await;
    assert_eq!(lines(&gcs.objects(&bucket).await), sorted(events(1..101)));
    assert!(!faults.matching(&Rule::any().header("authorization", "Bearer new-token").path("/upload/")).is_empty());
    assert!(!relay.log().contains("hunter") && !relay.log().contains("-token"), "{}", relay.log());
    relay.stop().await;
}
