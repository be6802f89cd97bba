//! Facts about this process, read from `/proc`.

use std::sync::OnceLock;

use flagpost_event::{Clock, SystemClock};

/// What the system says. `None` where it says nothing.
pub(crate) struct Facts {
    pub(crate) resident_bytes: Option<u64>,
    pub(crate) cpu_seconds: Option<f64>,
    pub(crate) virtual_bytes: Option<u64>,
    pub(crate) open_fds: Option<usize>,
    pub(crate) max_fds: Option<u64>,
    /// Unix seconds of the first look.
    pub(crate) started: f64,
}

/// Linux counts CPU time for `/proc` in hundredths of a second on every architecture (USER_HZ).
const USER_HZ: f64 = 100.0;

/// Reads them now.
pub(crate) fn facts() -> Facts {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    Facts {
        resident_bytes: kib_of("/proc/self/status", "VmRSS:"),
        cpu_seconds: cpu(),
        virtual_bytes: kib_of("/proc/self/status", "VmSize:"),
        open_fds: fds(),
        max_fds: limit.current,
        started: mark_start(),
    }
}

/// When the process started; the first call decides.
pub(crate) fn mark_start() -> f64 {
    static START: OnceLock<f64> = OnceLock::new();
    *START.get_or_init(|| SystemClock.unix_millis() as f64 / 1000.0)
}

/// Bytes of memory that this process may use: the machine's, or its control group's if that is less.
pub(crate) fn memory_limit() -> u64 {
    let machine = kib_of("/proc/meminfo", "MemTotal:").unwrap_or(u64::MAX);
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok()).unwrap_or(u64::MAX);
    machine.min(group)
}

/// The value of a line `Name:  123 kB`, in bytes.
fn kib_of(file: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

fn cpu() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in parentheses and may hold anything; the 14th and 15th are user and system time.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some(ticks / USER_HZ)
}

fn fds() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn linux_tells_all_of_them() {
        let facts = facts();
        assert!(facts.resident_bytes.is_some_and(|bytes| bytes > 1 << 20));
        assert!(facts.cpu_seconds.is_some() && facts.open_fds.is_some_and(|fds| fds > 2));
        assert!(memory_limit() > 1 << 20);
    }
}
