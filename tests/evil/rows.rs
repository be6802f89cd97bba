//! The misdeeds: one row each, one test each.

use flagpost_tests::Guest;

use super::contained::{Fate, Row, contained};

/// Each row is a test of its own, and one of [`ALL`].
macro_rules! rows {
    ($($name:ident = $row:expr;)+) => {
        $(#[tokio::test]
        async fn $name() {
            contained(&$row).await;
        })+

        /// All of them.
        pub(super) const ALL: &[(&str, Row)] = &[$((stringify!($name), $row)),+];
    };
}

const SECRETS: &str = "secrets: { KEY: { file: key, hosts: [ \"GRANTED\" ] }, SHOWN: { file: shown, as: reveal } }";
const QUICK: &str = "timeout: 400ms";
const LITTLE: &str = "cpu: 50ms, timeout: 60s";

rows! {
    an_endless_loop_ends_at_its_cpu_time =
        Row { limits: LITTLE, ..Row::new("loop", "limits.cpu", "flagpost_plugin_cpu_exceeded_total") };
    a_loop_that_yields_ends_at_its_cpu_time =
        Row { limits: LITTLE, ..Row::new("yield", "limits.cpu", "flagpost_plugin_cpu_exceeded_total") };
    a_memory_bomb_is_refused =
        Row { limits: "memory: 16MiB", ..Row::new("memory", "limits.memory is 16 MiB", "flagpost_plugin_memory_refused_total") };
    a_table_bomb_is_refused = Row {
        by_hand: Some(Guest::TableBombs),
        ..Row::new("", "wanted a table of 1000001 elements", "flagpost_plugin_tables_refused_total")
    };
    a_stack_overflow_is_a_trap = Row {
        by_hand: Some(Guest::Recurses),
        ..Row::new("", "call stack exhausted", "flagpost_plugin_traps_total")
    };
    handles_without_end_are_refused =
        Row::new("handles", "held more than 1024 handles of the host at once", "flagpost_plugin_resources_refused_total");
    a_giant_argument_is_refused = Row::new("host-memory", "handed the host more than 32 MiB", "flagpost_plugin_hostcall_exceeded_total");
    an_event_that_traps_is_the_only_dead_one =
        Row { fate: Fate::Deliver { dead: 1 }, ..Row::new("trap-on", "trapped", "flagpost_plugin_traps_total") };
    a_trap_in_every_third_call_kills_no_event =
        Row { fate: Fate::Deliver { dead: 0 }, ..Row::new("nth", "trapped", "flagpost_plugin_traps_total") };
    an_exit_ends_the_call_and_not_the_relay = Row::new("exit", "an exporter returns, it does not exit", "flagpost_plugin_traps_total");
    a_log_without_end_is_cut =
        Row { limits: LITTLE, ..Row::new("log", "limits.cpu", "flagpost_plugin_log_dropped_bytes_total") };
    output_without_end_is_cut =
        Row { limits: LITTLE, ..Row::new("print", "limits.cpu", "flagpost_plugin_log_dropped_bytes_total") };
    a_giant_reason_is_cut = Row::new("giant", "xxxxxxxx", "flagpost_plugin_texts_cut_total");
    a_reason_forges_no_line_of_the_log = Row::new("forge", "all is well", "flagpost_plugin_calls_total");
    an_index_out_of_range_is_not_believed =
        Row::new("wrong-index", "its partial result names event 4294967295", "flagpost_plugin_bad_results_total");
    an_event_that_is_named_twice_is_not_believed =
        Row::new("twice", "its partial result names event 0 twice", "flagpost_plugin_duplicates_total");
    a_partial_result_that_names_nobody_is_not_believed =
        Row::new("neither", "its partial result names no event", "flagpost_plugin_bad_results_total");
    who_condemns_everything_condemns_nothing = Row::new("condemn", "I do not like them", "flagpost_plugin_calls_total");
    who_accuses_all_but_one_is_hardly_believed =
        Row { fate: Fate::Accused { at_most: 10 }, ..Row::new("slander", "misconfigured", "flagpost_plugin_calls_total") };
    numbers_of_its_own_are_bounded = Row::new("metrics", "counted", "flagpost_plugin_metrics_dropped_total");
    a_host_that_is_not_granted_is_out_of_reach =
        Row::new("ungranted", "is not granted; to grant it, add to this exporter: allowedHosts", "flagpost_plugin_http_denied_total");
    a_redirect_to_a_metadata_service_is_refused = Row {
        keys: "http: { redirects: 3 }",
        ..Row::new("redirect", "169.254.169.254 is a cloud's metadata service", "flagpost_plugin_http_denied_total")
    };
    a_redirect_by_wasi_to_a_metadata_service_is_refused = Row {
        keys: "http: { redirects: 3 }",
        ..Row::new("wasi-redirect", "169.254.169.254 is a cloud's metadata service", "flagpost_plugin_http_denied_total")
    };
    a_metadata_service_is_out_of_reach =
        Row::new("metadata", "169.254.169.254 is a cloud's metadata service", "flagpost_plugin_http_denied_total");
    a_granted_name_does_not_lead_into_the_private_network =
        Row::new("name", "address, which names may not lead to", "flagpost_plugin_http_denied_total");
    a_giant_response_is_cut = Row::new("big", "4194304 bytes came", "flagpost_plugin_http_truncated_total");
    a_socket_that_is_not_granted_is_refused = Row::new("socket", "no socket", "flagpost_plugin_sockets_denied_total");
    files_and_environment_are_not_there = Row::new("files", "nothing: 0 variables and 0 files were seen", "flagpost_plugin_calls_total");
    a_secret_that_is_echoed_is_shown_nowhere =
        Row { keys: SECRETS, ..Row::new("echo", "it said", "flagpost_plugin_secrets_blanked_total") };
    a_secret_goes_to_its_own_hosts_only =
        Row { keys: SECRETS, ..Row::new("smuggle", "is not for POST", "flagpost_plugin_secrets_refused_total") };
    state_ends_at_its_quota = Row {
        keys: "state: { maxBytes: 16KiB, maxKeys: 100 }",
        ..Row::new("state", "state.maxBytes", "flagpost_plugin_state_refused_total")
    };
    a_guest_that_blocks_in_http_is_ended = Row { limits: QUICK, ..Row::new("hang", "limits.timeout", "flagpost_plugin_timeouts_total") };
    a_guest_that_returns_late_is_ended = Row { limits: QUICK, ..Row::new("late", "limits.timeout", "flagpost_plugin_timeouts_total") };
    a_guest_that_acknowledges_and_keeps_is_believed_and_bounded =
        Row { fate: Fate::Vanish, ..Row::new("buffer", "running", "flagpost_plugin_calls_total") };
}
