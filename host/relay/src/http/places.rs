//! How many connections fit into the files that the process may have open.
//!
//! A connection is a file, one that is passed on is two. Without this the last client would take the file that the event log needs next.

/// Files for everything but connections: the event log, exporters, plugins and their connections, standard streams.
const RESERVE: u64 = 256;

/// The configured connections, and those of them that may be passed on, cut to what `files` allow; `None`: no limit of files.
pub(super) fn fitting(files: Option<u64>, connections: usize, passed: usize) -> (usize, usize) {
    let Some(files) = files else { return (connections, passed) };
    // A system that gives very few files gives half of them.
    let room = files.saturating_sub(RESERVE).max(files / 2);
    let wanted = (connections as u64).saturating_add(passed as u64);
    if wanted <= room {
        return (connections, passed);
    }
    let part = |of: usize| usize::try_from(u128::from(room) * of as u128 / u128::from(wanted)).unwrap_or(of).max(1);
    match passed {
        0 => (part(connections), 0),
        _ => (part(connections), part(passed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_the_rest() {
        let cases = [
            (None, 10_000, 4096, (10_000, 4096)),
            (Some(1 << 20), 10_000, 4096, (10_000, 4096)),
            (Some(14_352), 10_000, 4096, (10_000, 4096)),
            (Some(1024), 10_000, 0, (768, 0)),
            (Some(1024), 100, 0, (100, 0)),
            (Some(1024), 10_000, 5_000, (512, 256)),
            (Some(100), 10_000, 0, (50, 0)),
            (Some(0), 10, 10, (1, 1)),
        ];
        for (files, connections, passed, expected) in cases {
            assert_eq!(fitting(files, connections, passed), expected, "{files:?}");
        }
    }
}
