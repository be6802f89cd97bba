//! What a plugin says about itself, and whether what is configured fits it.
//!
//! It is asked with nothing granted: no host, no environment, no configuration, and none of the counters and grants that its calls use. So
//! a description depends on the file alone, and a plugin that is only looked at (`inspect`, `validate`) can do nothing. Time and memory are
//! limited as in any call.

use std::sync::Arc;

use flagpost_event::EventKind;

use crate::PluginSpec;
use crate::contract::{Description, Linked, Remark};
use crate::guest::{CallFailure, Instance, MAX_REASON, Shared, printable};
use crate::places::{PluginDiagnostic, dotted};
use crate::schema;
use crate::text::{bytes, cut};

/// Bytes of a configuration's schema.
const MAX_SCHEMA: usize = 256 << 10;

/// Complaints that are shown: who has more mistakes sees the others when these are gone.
const MAX_DIAGNOSTICS: usize = 50;

/// Asks for the description, in an instance of its own.
pub(crate) async fn ask(linked: &dyn Linked, shared: &Shared) -> Result<Description, CallFailure> {
    if !linked.describes() {
        return Ok(Description::default());
    }
    Instance::start(linked, &Arc::new(shared.bare())).await?.describe().await
}

/// Whether the plugin takes every kind of events that it would get. The error says what to write.
pub(crate) fn check_kinds(description: &Description, spec: &PluginSpec) -> Result<(), String> {
    let takes = |kind: &EventKind| description.kinds.is_empty() || description.kinds.contains(kind);
    let Some(refused) = spec.events.iter().find(|kind| !takes(kind)) else { return Ok(()) };
    let names = |kinds: &[EventKind]| kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(" and ");
    Err(format!(
        "the plugin takes {} events only, and this exporter's `eventType` gives it {refused} events; set eventType: {}",
        names(&description.kinds),
        if description.kinds.len() == 1 { description.kinds[0].as_str() } else { "all" },
    ))
}

/// Holds the configuration against the plugin's schema. `Err`: the schema itself is no use.
pub(crate) async fn check_config(description: &Description, shared: &Arc<Shared>) -> Result<Vec<PluginDiagnostic>, String> {
    let Some(text) = description.config_schema.clone() else { return Ok(Vec::new()) };
    if text.len() > MAX_SCHEMA {
        let (is, most) = (bytes(text.len() as u64), bytes(MAX_SCHEMA as u64));
        return Err(format!("its config-schema has {is}, at most {most} are read"));
    }
    let worker = Arc::clone(shared);
    let found = tokio::task::spawn_blocking(move || schema::check(&text, &worker.spec.config)).await;
    let found = found.map_err(|why| format!("its config-schema cannot be used: {why}"))??;
    Ok(diagnostics(found, shared))
}

/// Complaints with the places of what they are about, bounded, and without what is not shown.
pub(crate) fn diagnostics(remarks: Vec<Remark>, shared: &Shared) -> Vec<PluginDiagnostic> {
    let more = remarks.len().saturating_sub(MAX_DIAGNOSTICS);
    let shown = |text: &str, most: usize| cut(&printable(shared.hidden.hide(text).as_bytes()), most);
    let mut out: Vec<_> = remarks
        .into_iter()
        .take(MAX_DIAGNOSTICS)
        .map(|remark| {
            let path = dotted(&shown(&remark.path, 200));
            PluginDiagnostic::at(&path, shown(&remark.message, MAX_REASON), &shared.spec.places)
        })
        .collect();
    if more > 0 {
        out.push(PluginDiagnostic::at("", format!("{more} more"), &shared.spec.places));
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_kind_that_a_plugin_does_not_take_is_refused_with_what_to_write() {
        use EventKind::{Feature, Tracking};
        let table: [(&[EventKind], &[EventKind], Option<&str>); 6] = [
            (&[], &[Feature, Tracking], None),
            (&[Feature, Tracking], &[Feature, Tracking], None),
            (&[Feature], &[Feature], None),
            (
                &[Feature],
                &[Tracking],
                Some("takes feature events only, and this exporter's `eventType` gives it tracking events; set eventType: feature"),
            ),
            (&[Tracking], &[Feature, Tracking], Some("set eventType: tracking")),
            (&[Tracking], &[Feature], Some("gives it feature events")),
        ];
        for (takes, gets, expected) in table {
            let spec = PluginSpec { events: gets.to_vec(), ..PluginSpec::new("acme", "acme.wasm") };
            let description = Description { kinds: takes.to_vec(), ..Description::default() };
            match (check_kinds(&description, &spec), expected) {
                (Ok(()), None) => {}
                (Err(why), Some(expected)) => assert!(why.contains(expected), "{why}"),
                (other, expected) => panic!("{takes:?} {gets:?}: {other:?}, expected {expected:?}"),
            }
        }
    }
}
