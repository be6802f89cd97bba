//! Codes that the Storage Write API returns and its emulator never does.

use flagpost_tests::servers::bigquery;
use flagpost_tests::{GrpcFaults, Program, Setup};

use super::{FEATURE, below, exporter, numbers};
use crate::codes::{Code, each_passes};

const CODES: &[Code] = &[
    (4, "DEADLINE_EXCEEDED", "retrying", ""),
    (8, "RESOURCE_EXHAUSTED", "retrying", ""),
    (10, "ABORTED", "retrying", ""),
    (13, "INTERNAL", "retrying", ""),
    (14, "UNAVAILABLE", "retrying", ""),
    (7, "PERMISSION_DENIED", "misconfigured", "bigquery.tables.updateData"),
    (16, "UNAUTHENTICATED", "misconfigured", "check the credentials"),
];

#[tokio::test(flavor = "multi_thread")]
async fn codes_that_pass_come_again_and_others_are_an_alarm_and_each_event_is_one_row() {
    let Some(server) = bigquery::shared().await else { return };
    let (dataset, faults) = (server.dataset().await, GrpcFaults::before(server.grpc()).await);
    server.make_table(&dataset, "events", FEATURE).await;
    let relay = Program::start(&Setup::new().with_exporters(&exporter("out", &dataset, server.rest(), &faults.url(), ""))).await;
    let sent = each_passes(&relay, &faults, "AppendRows", CODES).await;
    assert_eq!(numbers(&server, &dataset, "events").await, below(sent + 1), "each once");
    relay.stop().await;
}
