//! Upstream's numbers about HTTP (its `echoprometheus` middleware): requests, durations and sizes by status, method, host and route.
//!
//! A request finds the numbers of its labels in its connection's own short list, so at one event per request nothing is hashed, formatted
//! or allocated for them. Every label has a bound: patterns and methods are closed lists, and of hosts, which clients choose, only the first
//! few are told apart (upstream keeps all of them for ever).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// Upper bounds of durations in seconds: Prometheus' own defaults, as upstream has them.
pub(crate) const SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * KIB;
/// Upper bounds of sizes in bytes: upstream's.
pub(crate) const BYTES: [f64; 10] =
    [KIB, 2.0 * KIB, 5.0 * KIB, 10.0 * KIB, 100.0 * KIB, 500.0 * KIB, MIB, 2.5 * MIB, 5.0 * MIB, 10.0 * MIB];
/// Hosts beyond this many are one.
const MAX_HOSTS: usize = 50;
/// The longest name of a host (DNS), and its port.
const MAX_HOST_LENGTH: usize = 253 + 6;
/// What stands for all other hosts.
const OTHER: &str = "other";
/// A connection remembers this many combinations of labels: clients repeat themselves.
const REMEMBERED: usize = 8;

/// The labels of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Labels {
    pub(crate) code: u16,
    pub(crate) method: &'static str,
    pub(crate) host: Arc<str>,
    pub(crate) url: &'static str,
}

/// What is counted for one combination of labels.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers {
    pub(crate) count: u64,
    pub(crate) seconds: Spread<{ SECONDS.len() }>,
    pub(crate) response_bytes: Spread<{ BYTES.len() }>,
    pub(crate) request_bytes: Spread<{ BYTES.len() }>,
}

/// A histogram's numbers; its count is the requests'.
#[derive(Clone, Debug)]
pub(crate) struct Spread<const N: usize> {
    pub(crate) sum: f64,
    pub(crate) buckets: [u64; N],
}

impl<const N: usize> Default for Spread<N> {
    fn default() -> Self {
        Spread { sum: 0.0, buckets: [0; N] }
    }
}

impl<const N: usize> Spread<N> {
    fn observe(&mut self, value: f64, bounds: &[f64; N]) {
        self.sum += value;
        if let Some(at) = bounds.iter().position(|bound| value <= *bound) {
            self.buckets[at] += 1;
        }
    }

    /// Each bucket's bound and its own count; the last one takes what is over all bounds.
    pub(crate) fn buckets(&self, count: u64, bounds: &[f64; N]) -> Vec<(f64, u64)> {
        let over = count - self.buckets.iter().sum::<u64>();
        bounds.iter().copied().zip(self.buckets).chain([(f64::INFINITY, over)]).collect()
    }
}

/// The numbers of one combination of labels.
pub(crate) type Cell = Mutex<Numbers>;

/// All numbers about requests.
#[derive(Default)]
pub(crate) struct Traffic {
    cells: RwLock<HashMap<Labels, Arc<Cell>>>,
    hosts: Mutex<Vec<Arc<str>>>,
}

/// What one connection remembers.
#[derive(Default)]
pub(crate) struct Memory(Mutex<Vec<Remembered>>);

struct Remembered {
    code: u16,
    method: &'static str,
    url: &'static str,
    host: Box<[u8]>,
    cell: Arc<Cell>,
}

/// A finished request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) code: u16,
    pub(crate) method: &'static str,
    pub(crate) url: &'static str,
    /// As the client wrote it.
    pub(crate) host: &'a [u8],
    pub(crate) seconds: f64,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
}

impl fmt::Debug for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traffic").finish_non_exhaustive()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

impl Traffic {
    /// Counts a request of the connection that has this memory.
    pub(crate) fn count(&self, memory: &Memory, request: &Request<'_>) {
        let mut remembered = lock(&memory.0);
        let known = remembered
            .iter()
            .find(|one| one.code == request.code && one.url == request.url && one.method == request.method && *one.host == *request.host);
        let cell = match known {
            Some(known) => &known.cell,
            None => {
                if remembered.len() == REMEMBERED {
                    remembered.remove(0);
                }
                let Request { code, method, url, host, .. } = *request;
                remembered.push(Remembered { code, method, url, host: host.into(), cell: self.cell(request) });
                &remembered[remembered.len() - 1].cell
            }
        };
        let mut numbers = lock(cell);
        numbers.count += 1;
        numbers.seconds.observe(request.seconds, &SECONDS);
        numbers.response_bytes.observe(request.response_bytes as f64, &BYTES);
        numbers.request_bytes.observe(request.request_bytes as f64, &BYTES);
    }

    /// Every combination of labels that was met, with its numbers of one instant, in a stable order.
    pub(crate) fn all(&self) -> Vec<(Labels, Numbers)> {
        let cells = self.cells.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<(Labels, Numbers)> = cells.iter().map(|(labels, cell)| (labels.clone(), lock(cell).clone())).collect();
        drop(cells);
        all.sort_by(|(a, _), (b, _)| (a.url, a.method, a.code, &a.host).cmp(&(b.url, b.method, b.code, &b.host)));
        all
    }

    fn cell(&self, request: &Request<'_>) -> Arc<Cell> {
        let Request { code, method, url, host, .. } = *request;
        let labels = Labels { code, method, host: self.host(host), url };
        if let Some(cell) = self.cells.read().unwrap_or_else(PoisonError::into_inner).get(&labels) {
            return cell.clone();
        }
        self.cells.write().unwrap_or_else(PoisonError::into_inner).entry(labels).or_default().clone()
    }

    fn host(&self, host: &[u8]) -> Arc<str> {
        let sound = |host: &&str| {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b':' | b'-' | b'_' | b'[' | b']');
            host.len() <= MAX_HOST_LENGTH && host.bytes().all(known)
        };
        let Some(host) = std::str::from_utf8(host).ok().filter(sound) else { return OTHER.into() };
        let mut hosts = lock(&self.hosts);
        match hosts.iter().find(|known| known.as_ref() == host) {
            Some(known) => known.clone(),
            None if hosts.len() == MAX_HOSTS => OTHER.into(),
            None => {
                hosts.push(host.into());
                hosts[hosts.len() - 1].clone()
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(host: &[u8], code: u16) -> Request<'_> {
        Request { code, method: "POST", url: "/v1/data/collector", host, seconds: 0.02, request_bytes: 1024, response_bytes: 20_000_000 }
    }

    #[test]
    fn requests_are_counted_by_their_labels() {
        let (traffic, one, two) = (Traffic::default(), Memory::default(), Memory::default());
        for memory in [&one, &one, &two] {
            traffic.count(memory, &request(b"relay:1031", 200));
        }
        traffic.count(&one, &request(b"relay:1031", 429));
        let all = traffic.all();
        let counts: Vec<(u16, u64)> = all.iter().map(|(labels, numbers)| (labels.code, numbers.count)).collect();
        assert_eq!(counts, [(200, 3), (429, 1)]);
        let numbers = &all[0].1;
        assert_eq!(numbers.seconds.buckets(3, &SECONDS)[2], (0.025, 3));
        assert_eq!(numbers.request_bytes.buckets(3, &BYTES)[0], (1024.0, 3), "a bound belongs to its bucket");
        assert_eq!(numbers.response_bytes.buckets(3, &BYTES)[10], (f64::INFINITY, 3), "what is over all bounds is in the last");
        assert!((numbers.response_bytes.sum - 60_000_000.0).abs() < 0.5);
    }

    #[test]
    fn clients_cannot_make_labels_without_end() {
        let (traffic, memory) = (Traffic::default(), Memory::default());
        for n in 0..1000 {
            traffic.count(&memory, &request(format!("host-{n}").as_bytes(), 200));
        }
        for host in [&b"a\"b"[..], b"\xff", b"a{b}", "x".repeat(300).as_bytes()] {
            traffic.count(&memory, &request(host, 200));
        }
        let all = traffic.all();
        assert_eq!(all.len(), MAX_HOSTS + 1);
        let other = all.iter().find(|(labels, _)| &*labels.host == OTHER).map(|(_, numbers)| numbers.count);
        assert_eq!(other, Some(1000 - MAX_HOSTS as u64 + 4));
    }
}
