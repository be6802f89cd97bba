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
