//! The interface `metrics`: a plugin's own numbers, bounded, for the relay's `/metrics`.
//!
//! Labels are whatever a plugin makes of its events, so without bounds one plugin could make a scrape as large as it likes.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::guest::printable;
use crate::redact::Hidden;
use crate::text::cut;

/// Names of one plugin.
const MAX_NAMES: usize = 32;

/// Labels of one number.
const MAX_LABELS: usize = 4;

/// Combinations of label values, over all names.
const MAX_SERIES: usize = 256;

/// Bytes of a name, of a label's name, and of a label's value.
const MAX_TEXT: usize = 64;

/// Labels that the relay adds.
const TAKEN: [&str; 5] = ["flag_set", "exporter", "event_type", "le", "quantile"];

/// One number of a plugin's own.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginMetric {
    /// Its name as the plugin gave it: shown as `flagpost_plugin_custom_<name>`.
    pub name: String,
    /// Whether it only rises.
    pub counter: bool,
    /// Label names and values, in the order of the names.
    pub labels: Vec<(String, String)>,
    /// The value.
    pub value: f64,
}

/// What is done to a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    CounterAdd,
    GaugeSet,
    GaugeAdd,
}

type Labels = Vec<(String, String)>;

/// Whether a name is a counter's, and its values.
type Family = (bool, BTreeMap<Labels, f64>);

/// The numbers of one plugin.
#[derive(Debug, Default)]
pub(crate) struct Metrics(Mutex<BTreeMap<String, Family>>);

impl Metrics {
    /// Changes a number. `false`: it goes beyond what is bounded, or is no number that can be kept; nothing was changed.
    pub(crate) fn change(&self, change: Change, name: String, value: f64, labels: Vec<(String, String)>, hidden: &Hidden) -> bool {
        let counter = change == Change::CounterAdd;
        if !is_name(&name) || labels.len() > MAX_LABELS || !value.is_finite() || (counter && value < 0.0) {
            return false;
        }
        let mut labels: Labels =
            labels.into_iter().map(|(name, value)| (name, cut(&printable(hidden.hide(&value).as_bytes()), MAX_TEXT))).collect();
        labels.sort();
        let twice = labels.windows(2).any(|two| matches!(two, [(one, _), (other, _)] if one == other));
        if twice || labels.iter().any(|(name, _)| !is_name(name) || TAKEN.contains(&name.as_str())) {
            return false;
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let series: usize = all.values().map(|(_, series)| series.len()).sum();
        match all.get(&name) {
            None if all.len() >= MAX_NAMES || series >= MAX_SERIES => return false,
            Some((was_counter, known)) if *was_counter != counter || (!known.contains_key(&labels) && series >= MAX_SERIES) => {
                return false;
            }
            _ => {}
        }
        let (_, known) = all.entry(name).or_insert_with(|| (counter, BTreeMap::new()));
        let held = known.entry(labels).or_default();
        match change {
            Change::GaugeSet => *held = value,
            Change::CounterAdd | Change::GaugeAdd => *held += value,
        }
        true
    }

    pub(crate) fn read(&self) -> Vec<PluginMetric> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let one = |name: &String, counter: bool, labels: &Labels, value: f64| PluginMetric {
            name: name.clone(),
            counter,
            labels: labels.clone(),
            value,
        };
        all.iter()
            .flat_map(|(name, (counter, series))| series.iter().map(move |(labels, value)| one(name, *counter, labels, *value)))
            .collect()
    }
}

fn is_name(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    name.len() <= MAX_TEXT && name.bytes().all(good) && name.bytes().next().is_some_and(|first| first.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn change(metrics: &Metrics, change: Change, name: &str, value: f64, pairs: &[(&str, &str)]) -> bool {
        metrics.change(change, name.to_owned(), value, labels(pairs), &Hidden::default())
    }

    #[test]
    fn counters_rise_gauges_move_and_labels_have_an_order() {
        use Change::{CounterAdd, GaugeAdd, GaugeSet};
        let metrics = Metrics::default();
        assert!(change(&metrics, CounterAdd, "rows", 2.0, &[("to", "eu"), ("by", "a")]));
        assert!(change(&metrics, CounterAdd, "rows", 3.0, &[("by", "a"), ("to", "eu")]));
        assert!(change(&metrics, GaugeSet, "lag", 9.0, &[]));
        assert!(change(&metrics, GaugeAdd, "lag", -4.5, &[]));
        let found = metrics.read();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].name.as_str(), found[0].counter, found[0].value), ("lag", false, 4.5));
        let expected = PluginMetric { name: "rows".into(), counter: true, labels: labels(&[("by", "a"), ("to", "eu")]), value: 5.0 };
        assert_eq!(found[1], expected);
    }

    #[test]
    fn what_goes_beyond_the_bounds_is_dropped() {
        use Change::{CounterAdd, GaugeSet};
        let metrics = Metrics::default();
        for bad in ["", "Rows", "1a", "a-b", &"a".repeat(65)] {
            assert!(!change(&metrics, CounterAdd, bad, 1.0, &[]), "{bad}");
            assert!(!change(&metrics, CounterAdd, "rows", 1.0, &[(bad, "x")]), "{bad}");
        }
        assert!(!change(&metrics, CounterAdd, "rows", 1.0, &[("exporter", "other")]), "a label of the relay's");
        assert!(!change(&metrics, CounterAdd, "rows", 1.0, &[("a", "x"), ("a", "y")]));
        assert!(!change(&metrics, CounterAdd, "rows", 1.0, &[("a", ""), ("b", ""), ("c", ""), ("d", ""), ("e", "")]));
        for bad in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(!change(&metrics, CounterAdd, "rows", bad, &[]), "{bad}");
        }
        assert!(change(&metrics, CounterAdd, "rows", 1.0, &[]));
        assert!(!change(&metrics, GaugeSet, "rows", 1.0, &[]), "it is a counter");
        for n in 1..MAX_SERIES {
            assert!(change(&metrics, CounterAdd, "rows", 1.0, &[("n", &n.to_string())]));
        }
        assert!(!change(&metrics, CounterAdd, "rows", 1.0, &[("n", "one more")]));
        assert!(change(&metrics, CounterAdd, "rows", 1.0, &[("n", "1")]), "what is known goes on");
        let many = Metrics::default();
        let taken = (0..40).filter(|n| change(&many, GaugeSet, &format!("g{n}"), 1.0, &[])).count();
        assert_eq!(taken, MAX_NAMES);
        let mut hidden = Hidden::default();
        hidden.add(flagpost_exporter::Secret::new("hunter22"), "[secret]");
        let values = vec![("v".to_owned(), format!("{}\nhunter22", "x".repeat(100)))];
        assert!(many.change(GaugeSet, "g1".to_owned(), 1.0, values, &hidden));
        let shown = many.read().into_iter().find(|metric| !metric.labels.is_empty()).expect("it was taken");
        assert!(shown.labels[0].1.len() < 100 && !shown.labels[0].1.contains(['\n']), "{shown:?}");
    }
}
