//! Who may not, what is not there, and names that somebody else has.

use flagpost_tests::servers::azurite;
use flagpost_tests::{Program, Setup, events};

use super::{exporter, with};
use crate::objects::{complete, now, sorted};

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_an_alarm_and_condemns_no_event() {
    let Some(server) = azurite::shared().await else { return };
    let container = server.container().await;
    let mut setup = Setup::new().with_exporters(&with(
        "out",
        &container,
        &format!(", accountKey: 'aHVudGVyMmh1bnRlcjI=', endpoint: '{}'", server.endpoint()),
    ));
    let relay = Program::start(&setup).await;
    relay.post(&events(1..101)).await;
    let task = relay.in_state("out", "misconfigured").await;
    let said = task["lastError"]["message"].as_str().unwrap();
    assert!(said.contains(&container.name) && said.contains("HTTP 403") && said.contains("`accountKey`"), "{said}");
    let counts = relay.metrics().await.counts("out");
    assert_eq!((counts.waiting, counts.dead), (100, 0));
    assert!(!relay.log().contains("aHVudGVyMmh1bnRlcjI"));
    relay.stop().await;
    setup.set_exporters(&exporter("out", &container, &server.endpoint(), ""));
    let relay = Program::start(&setup).await;
    complete(&relay, "out", 100).await;
    assert_eq!(container.lines().await, sorted(events(1..101)));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_made_later_gets_everything() {
    let Some(server) = azurite::shared().await else { return };
    let container = server.unmade();
    let relay = Program::start(&Setup::new().with_exporters(&exporter("out", &container, &server.endpoint(), ""))).await;
    relay.post(&events(1..501)).await;
    let task = relay.in_state("out", "misconfigured").await;
    let said = task["lastError"]["message"].as_str().unwrap();
    assert!(said.contains(&container.name) && said.contains("create the container, or correct `container`"), "{said}");
    assert_eq!(relay.metrics().await.counts("out").waiting, 500);
    container.create().await;
    relay.post(&events(501..601)).await;
    complete(&relay, "out", 600).await;
    assert_eq!(container.lines().await, sorted(events(1..601)));
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_of_others_keep_their_names() {
    let Some(server) = azurite::shared().await else { return };
    let container = server.container().await;
    let relay = Program::start(&Setup::new().with_exporters(&exporter(
        "out",
        &container,
        &server.endpoint(),
        ", path: p, filename: '{{ .Timestamp}}'",
    )))
    .await;
    let taken: Vec<String> = (0..20).map(|second| format!("p/{}", now() + second)).collect();
    for name in &taken {
        container.put(name, "theirs").await;
    }
    relay.post(&events(1..101)).await;
    complete(&relay, "out", 100).await;
    let (mut lines, mut theirs) = (Vec::new(), 0);
    for blob in container.blobs().await {
        let text = String::from_utf8(container.get(&blob.name).await).unwrap();
        if taken.contains(&blob.name) {
            assert_eq!(text, "theirs");
            theirs += 1;
        } else {
            lines.extend(text.lines().map(str::to_owned));
        }
    }
    assert_eq!((theirs, sorted(lines)), (20, sorted(events(1..101))));
    relay.stop().await;
}
