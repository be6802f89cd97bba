//! Plugins that mean harm, each on a real relay with a `file` exporter beside it and clients that send all the time.
//!
//! Of each the same is asked ([`contained`]): the operator is told what it does, in words and by a counter; every request is answered with 200; the
//! exporter beside it writes every event; its own events wait, or are where the contract puts them; it has nothing that it was not granted; and
//! when a good file takes its place, everything that waited arrives. [`together`] runs all of them in one relay.
//!
//! What needs a resolver that answers anew each time (DNS rebinding) stands in `host/plugin/tests/outbound.rs`: the program asks the system's.

mod bombs;
mod cache;
mod contained;
mod rows;
mod together;

/// Every counter that the documentation names beside a limit.
fn documented() -> Vec<String> {
    let text = include_str!("../../docs/plugins.md");
    let section = text.split("\n## ").find(|section| section.starts_with("Limits")).expect("there is a section of that name");
    let rows = section.lines().filter(|line| line.starts_with('|'));
    let words = rows.flat_map(|row| row.split('`')).filter(|word| word.ends_with("_total"));
    words.map(|word| word.replace('…', "flagpost_plugin")).collect()
}

#[test]
fn each_limit_that_is_documented_with_its_counter_has_a_row() {
    let documented = documented();
    assert!(documented.len() > 10, "{documented:?}");
    for counter in documented.iter().filter(|counter| *counter != "flagpost_plugin_instances_total") {
        assert!(rows::ALL.iter().any(|(_, row)| row.counter == counter), "no row reaches {counter}");
    }
}
