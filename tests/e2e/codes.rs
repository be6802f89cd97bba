//! Codes that gRPC services return and their emulators never do.

use flagpost_tests::{GrpcFaults, Program, events};

/// A code with its name, what it is to the relay, and what an operator reads.
pub(crate) type Code = (u32, &'static str, &'static str, &'static str);

/// A hundred events for each code: `method` refuses them with it, `out` says so and keeps them, and they are delivered once the service is well. Gives how many
/// were sent.
pub(crate) async fn each_passes(relay: &Program, faults: &GrpcFaults, method: &str, codes: &[Code]) -> u64 {
    let mut sent = 0;
    for (code, name, state, advice) in codes {
        faults.refuse(method, *code, "said so by a test");
        relay.post(&events(sent + 1..sent + 101)).await;
        sent += 100;
        let said = relay.told("out", state, name).await;
        assert!(said.contains("said so by a test") && said.contains(advice), "{name}: {said}");
        let counts = relay.metrics().await.counts("out");
        assert_eq!((counts.delivered, counts.waiting, counts.dead), (sent - 100, 100, 0), "{name}");
        assert!(faults.heal() > 0, "{name}");
        relay.complete("out", sent).await;
    }
    sent
}
