//! kill -9 of the relay while it delivers: at least once plain, exactly once in transactions.

use flagpost_tests::servers::kafka::{self, Listener};
use flagpost_tests::{Program, Setup, events, until};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use super::refusals::large;
use super::{QUICK, distinct, exporter, sorted, values};

const EXACT: &str = "transactional: true";

/// The same, with a limit that [`large`] is beyond.
const LIMITED: &str = "transactional: true\n      config: { producer: { maxMessageBytes: 20000 } }";

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_killed_before_or_after_the_broker_commits_sends_nothing_twice() {
    // The fault proxy has one listener per broker.
    let Some(broker) = kafka::own().await else { return };
    let Some(proxy) = broker.proxy().await else { return };
    let (plain, exact) = (broker.topic(2, &[]).await, broker.topic(2, &[]).await);
    let address = broker.address(Listener::Proxied);
    let exporters = exporter("out", &plain, &address, QUICK) + &exporter("exact", &exact, &address, LIMITED);
    let setup = Setup::new().with_exporters(&exporters);
    let committed = async || broker.read(&exact, 0).await.len();
    let sent = async || broker.read_as(&exact, "read_uncommitted", 0).await.len();
    let relay = Program::start(&setup).await;
    relay.post(&events(1..101)).await;
    relay.drained(&["out", "exact"]).await;

    // What the broker answers takes its time from now on: so long is it between what it did and what the relay knows.
    let slow = json!({ "latency": 1_500 });
    proxy.add("latency", "downstream", slow.clone()).await;
    relay.post(&events(101..201)).await;
    until("the broker has the messages", async || (sent().await > 100).then_some(())).await;
    relay.kill();
    assert_eq!(committed().await, 100, "killed before the commit");
    proxy.heal().await;
    let relay = Program::start(&setup).await;
    relay.drained(&["out", "exact"]).await;
    assert_eq!(values(&broker.read(&exact, 200).await), sorted(events(1..201)), "each once");
    assert!(sent().await > 200, "what the killed relay had sent is there for those who read uncommitted messages");

    // On a busy machine the kill may come too late; then what it left is as good as what a clean end leaves, and another round is made.
    let mut relay = relay;
    let mut next = 201;
    // In each round one event is left out of the transaction: it is dead after the kill, too, and not taken for delivered.
    let mut left_out: Vec<String> = Vec::new();
    while !relay.log().contains("was committed before the relay ended; it is not sent again") {
        assert!(next < 1_201, "no kill of ten came after the commit and before its note");
        proxy.add("latency", "downstream", slow.clone()).await;
        left_out.push(large(1_000_000 + next, 30_000));
        relay.post(&[events(next..next + 100), left_out[left_out.len() - 1..].to_vec()].concat()).await;
        next += 100;
        let count = usize::try_from(next - 1).unwrap();
        until("the broker has committed", async || (committed().await == count).then_some(())).await;
        relay.kill();
        proxy.heal().await;
        relay = Program::start(&setup).await;
        let metrics = relay.drained(&["out", "exact"]).await;
        assert_eq!((metrics.counts("exact").dead, metrics.counts("exact").dropped), (left_out.len() as u64, 0));
        assert_eq!(values(&broker.read(&exact, count).await), sorted(events(1..next)), "each once");
        let all = sorted([events(1..next), left_out.clone()].concat());
        assert_eq!(distinct(&broker.read(&plain, all.len()).await).0, all, "at least once");
    }
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_at_any_time_are_survived() {
    let Some(broker) = kafka::shared().await else { return };
    let (plain, exact) = (broker.topic(3, &[]).await, broker.topic(3, &[]).await);
    let address = broker.address(Listener::Plain);
    let setup = Setup::new().with_exporters(&(exporter("out", &plain, &address, "") + &exporter("exact", &exact, &address, EXACT)));
    let mut random = StdRng::seed_from_u64(7);
    let mut next = 1;
    for _ in 0..8 {
        let relay = Program::start(&setup).await;
        let until_killed = 1 + random.random_range(0..12);
        for _ in 0..until_killed {
            relay.post(&events(next..next + 100)).await;
            next += 100;
        }
        // At any time of whatever it does, not after it.
        tokio::time::sleep(std::time::Duration::from_millis(random.random_range(0..60))).await;
        relay.kill();
    }
    let relay = Program::start(&setup).await;
    let metrics = relay.drained(&["out", "exact"]).await;
    for name in ["out", "exact"] {
        assert_eq!((metrics.counts(name).dead, metrics.counts(name).dropped), (0, 0), "{name}");
    }
    let (expected, count) = (sorted(events(1..next)), usize::try_from(next - 1).unwrap());
    assert_eq!(values(&broker.read(&exact, count).await), expected, "each once");
    assert_eq!(distinct(&broker.read(&plain, count).await).0, expected, "at least once");
    relay.stop().await;
}
