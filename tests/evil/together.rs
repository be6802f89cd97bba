//! All of them in one relay, beside one good exporter.

use std::time::Duration;

use flagpost_tests::{Flow, Program, assert_lines, events, lines_in};

use super::contained::{BESIDE, Fate, Hosts, assert_discreet, assert_fate, exporter, is_told, put, setup, warm};
use super::rows::ALL;

#[tokio::test]
async fn all_of_them_together_cost_no_client_an_answer_and_no_neighbour_an_event() {
    let hosts = Hosts::start().await;
    let exporters: String = ALL.iter().map(|(name, row)| exporter(name, row, &hosts)).collect();
    let setup = setup(&format!("{exporters}{BESIDE}"));
    for (name, row) in ALL {
        put(&setup, name, row);
    }
    warm(&setup);
    let relay = Program::start(&setup).await;
    let flow = Flow::start(&relay, 5, Duration::from_millis(20));
    for (name, row) in ALL {
        is_told(&relay, name, row).await;
        flow.goes_on().await;
    }
    assert_eq!(relay.get("/health").await.0, 200);
    let end = flow.end().await;
    relay.drained(&["out"]).await;
    assert_lines(&lines_in(&setup.path("out")), &events(1..end));
    let settle: Vec<&str> =
        ALL.iter().filter(|(_, row)| matches!(row.fate, Fate::Deliver { .. } | Fate::Vanish)).map(|(name, _)| *name).collect();
    let metrics = relay.drained(&settle).await;
    for (name, row) in ALL {
        assert_fate(&metrics, name, row.fate);
        assert_eq!(metrics.counts(name).accepted, end - 1);
    }
    assert_discreet(&relay).await;
    hosts.assert_untouched();
    relay.stop().await;
}
