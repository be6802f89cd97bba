//! The power is cut at any call; what was acknowledged is there when it comes back.

use flagpost_spool::EventLog;
use flagpost_spool::testing::SimDisk;
use rand::RngExt;

use crate::world::{User, block_on, open};

/// Three lives of one store, each ended by a power cut at a random call. The error says what the oracle found.
async fn round(seed: u64, disk: SimDisk) -> Result<(), String> {
    let mut user = User::new(seed);
    let mut disk = disk;
    let segment_bytes = [6 << 10, 20 << 10, 100 << 10][user.random.random_range(0..3)];
    for life in 0..3 {
        let fail = |error| format!("seed {seed}, life {life}: {error}");
        let calls = user.random.random_range(1..120);
        disk.cut_power_at(disk.calls() + calls);
        if let Ok((log, _)) = open(&disk, segment_bytes) {
            for _ in 0..30 {
                if user.append(&log).await > 0 {
                    break;
                }
                if user.random.random_bool(0.2) {
                    user.trim(&log).await;
                }
            }
            if user.random.random_bool(0.1) {
                log.close().await;
            }
        }
        disk = disk.crash();
        let (log, report) = open(&disk, segment_bytes).map_err(|error| fail(format!("{error:?}")))?;
        if !report.damaged.is_empty() {
            return Err(fail(format!("a crash is no damage: {report:?}")));
        }
        user.oracle.check(&log, &[]).await.map_err(fail)?;
        // And it still takes events after what it already holds.
        if user.append(&log).await > 0 {
            return Err(fail("an append failed on a good disk".into()));
        }
        user.oracle.check(&log, &[]).await.map_err(fail)?;
    }
    Ok(())
}

/// So many rounds per test; `FLAGPOST_CRASH_ROUNDS` asks for more.
const ROUNDS: u64 = 300;

fn rounds(first: u64) {
    let more = std::env::var("FLAGPOST_CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    for seed in first..first + more.unwrap_or(ROUNDS) {
        if let Err(error) = block_on(round(seed, SimDisk::new(seed))) {
            panic!("{error}");
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_in_300_rounds_of_power_cuts() {
    rounds(0);
}

#[test]
fn nothing_acknowledged_is_lost_in_300_other_rounds_of_power_cuts() {
    rounds(1_000_000);
}

#[test]
fn the_oracle_sees_the_loss_when_syncs_do_nothing() {
    let lost = (0..40).filter(|seed| block_on(round(*seed, SimDisk::without_sync(*seed))).is_err()).count();
    assert!(lost >= 20, "only {lost} of 40 rounds without a sync lost something: the test above proves nothing");
}

/// A process is killed between a write and its sync; the next one reads what was written from the page cache and shows it; then the power
/// fails. What was shown must still be there, under its numbers.
async fn shown_before_a_power_cut(seed: u64) -> (bool, Result<(), String>) {
    let disk = SimDisk::new(seed);
    let mut user = User::new(seed);
    let segment_bytes = [6 << 10, 100 << 10][seed as usize % 2];
    let (log, _) = open(&disk, segment_bytes).unwrap();
    for _ in 0..user.random.random_range(1..6) {
        user.append(&log).await;
    }
    // Somewhere in the next group: its write, or its sync.
    disk.cut_power_at(disk.calls() + user.random.random_range(0..3));
    user.append(&log).await;
    // Only the process is gone: the machine keeps what was written.
    let disk = disk.killed();
    drop(log);
    let (log, _) = open(&disk, segment_bytes).unwrap();
    let promised = user.oracle.promised();
    user.oracle.check(&log, &[]).await.unwrap();
    let shown_more = user.oracle.placed() > promised;
    let disk = disk.crash();
    drop(log);
    let (log, report) = open(&disk, segment_bytes).unwrap();
    assert!(report.damaged.is_empty(), "seed {seed}: {report:?}");
    (shown_more, user.oracle.check(&log, &[]).await)
}

#[test]
fn what_a_restart_showed_from_the_page_cache_survives_a_power_cut() {
    let mut shown_more = 0;
    for seed in 0..200 {
        let (more, outcome) = block_on(shown_before_a_power_cut(seed));
        shown_more += usize::from(more);
        outcome.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
    assert!(shown_more > 50, "only {shown_more} rounds showed events that nobody was promised: nothing was tested");
}
