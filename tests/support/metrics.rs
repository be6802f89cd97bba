//! `/metrics` as numbers.

use std::collections::BTreeMap;

/// One scrape.
#[derive(Clone, Debug)]
pub struct Metrics {
    samples: Vec<Sample>,
}

#[derive(Clone, Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// An exporter's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events accepted for it.
    pub accepted: u64,
    /// Events delivered.
    pub delivered: u64,
    /// Events that wait.
    pub waiting: u64,
    /// Events in the dead letters.
    pub dead: u64,
    /// Events given up.
    pub dropped: u64,
}

impl Metrics {
    /// Reads Prometheus' text format.
    pub fn parse(text: &str) -> Metrics {
        let samples = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(sample);
        Metrics { samples: samples.collect() }
    }

    /// The sum of all samples of that name whose labels have these values. Zero when there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits = |sample: &&Sample| {
            sample.name == name && labels.iter().all(|(key, value)| sample.labels.get(*key).is_some_and(|found| found == value))
        };
        self.samples.iter().filter(fits).map(|sample| sample.value).sum()
    }

    /// Whether there is a sample of that name.
    pub fn has(&self, name: &str) -> bool {
        self.samples.iter().any(|sample| sample.name == name)
    }

    /// The names of all exporters.
    pub fn exporters(&self) -> Vec<String> {
        let of = self.samples.iter().filter(|sample| sample.name == "flagpost_exporter_waiting_events");
        let mut names: Vec<_> = of.filter_map(|sample| sample.labels.get("exporter").cloned()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// An exporter's numbers over all its streams.
    pub fn counts(&self, exporter: &str) -> Counts {
        let sum = |name: &str| self.sum(&format!("flagpost_exporter_{name}"), &[("exporter", exporter)]) as u64;
        Counts {
            accepted: sum("accepted_total"),
            delivered: sum("delivered_total"),
            waiting: sum("waiting_events"),
            dead: sum("dead_letters"),
            dropped: sum("dropped_total"),
        }
    }

    /// `accepted = delivered + waiting + dead + dropped`, for every exporter.
    pub fn assert_conserved(&self) {
        let exporters = self.exporters();
        assert!(!exporters.is_empty(), "no exporter is in the metrics");
        for exporter in exporters {
            let counts = self.counts(&exporter);
            let Counts { accepted, delivered, waiting, dead, dropped } = counts;
            assert_eq!(accepted, delivered + waiting + dead + dropped, "{exporter}: {counts:?}");
        }
    }
}

impl Metrics {
    /// An exporter that has not accepted, since `first` was scraped, what the collector took of its events since then. One that was given up
    /// since is no exporter any more.
    pub(crate) fn disagreement(&self, first: &Metrics) -> Option<String> {
        let accepted = |sample: &&Sample| sample.name == "flagpost_exporter_accepted_total";
        self.samples.iter().filter(accepted).find_map(|sample| {
            let labels: Vec<(&str, &str)> = sample.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            let before = first.samples.iter().find(|old| old.name == sample.name && old.labels == sample.labels)?;
            let of = [("flag_set", sample.labels.get("flag_set")?.as_str()), ("event_type", sample.labels.get("event_type")?)];
            // Clients that were there before the program may have sent something before the first scrape.
            let taken = [self, first].map(|scrape| scrape.sum("flagpost_collector_events_total", &of));
            let taken = taken[0] - taken[1];
            let removed = [labels.as_slice(), &[("reason", "removed")]].concat();
            if self.sum("flagpost_exporter_dropped_total", &removed) > 0.0 {
                return None;
            }
            let since = sample.value - before.value;
            (since != taken).then(|| format!("{:?} accepted {since} events, the collector took {taken}", sample.labels))
        })
    }
}

/// `name{key="value",...} 1.5`
fn sample(line: &str) -> Sample {
    let (series, rest) = match line.find('}') {
        Some(end) => line.split_at(end + 1),
        None => line.split_at(line.find(' ').unwrap_or_else(|| panic!("no sample: {line}"))),
    };
    let value = rest.split_whitespace().next().and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no value: {line}"));
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let labels = labels.trim_end_matches('}').split("\",").filter(|label| !label.is_empty()).map(|label| {
        let (key, value) = label.split_once("=\"").unwrap_or_else(|| panic!("no label: {line}"));
        (key.to_owned(), value.trim_end_matches('"').to_owned())
    });
    Sample { name: name.to_owned(), labels: labels.collect(), value }
}
