//! Every call to the disk fails once, in turn: the log serves or says so, heals by itself, and loses nothing acknowledged.

use std::io::ErrorKind;

use flagpost_spool::testing::{Fault, SimDisk};
use flagpost_spool::{DiskLog, EventLog, OpenReport};

use crate::world::{User, block_on, open};

const SEGMENT_BYTES: u64 = 4 << 10;

/// Opens; a second try must succeed once the fault is over.
fn open_twice(disk: &SimDisk, fault: Option<Fault>) -> (DiskLog, OpenReport) {
    let mut tries = 0;
    loop {
        tries += 1;
        match open(disk, SEGMENT_BYTES) {
            Ok(opened) => return opened,
            Err(error) => assert!(fault.is_some_and(|fault| disk.calls() >= fault.at) && tries < 20, "{fault:?}: {error:?}"),
        }
    }
}

/// An error that passes is no damage: nothing may be missing, though reads may fail.
async fn check(user: &mut User, log: &DiskLog, report: &OpenReport, fault: Option<Fault>) {
    assert!(report.damaged.is_empty(), "{fault:?}: {report:?}");
    match user.oracle.check(log, &[]).await {
        Ok(()) => {}
        Err(error) => assert!(error.contains("ReadError") && fault.is_some(), "{fault:?}: {error}"),
    }
}

/// The whole life of a store; returns how many calls it took and how many requests failed.
async fn life(fault: Option<Fault>) -> (u64, usize) {
    let mut user = User::new(5);
    let disk = SimDisk::new(5);
    fault.into_iter().for_each(|fault| disk.fail(fault));
    let mut failed = 0;
    for _ in 0..2 {
        let (log, report) = open_twice(&disk, fault);
        for step in 0..7 {
            let mut tries = 0;
            loop {
                let of_step = user.append(&log).await;
                failed += of_step;
                tries += 1;
                if of_step == 0 {
                    break;
                }
                assert!(fault.is_some() && tries < 20, "{fault:?}: it does not heal");
            }
            check(&mut user, &log, &report, fault).await;
            if step == 3 {
                user.trim(&log).await;
            }
        }
        log.close().await;
    }
    let calls = disk.calls();
    let disk = disk.crash();
    let (log, report) = open_twice(&disk, None);
    assert!(report.damaged.is_empty(), "{fault:?}: {report:?}");
    check(&mut user, &log, &report, None).await;
    assert_eq!(user.append(&log).await, 0);
    check(&mut user, &log, &report, None).await;
    (calls, failed)
}

fn every_call_fails_with(error: ErrorKind, calls: u64) {
    let (all, _) = block_on(life(None));
    let mut failed = 0;
    for at in 0..all {
        failed += block_on(life(Some(Fault { at, calls, error }))).1;
    }
    assert!(failed > 0, "{error:?}: no request ever failed, so nothing was tested");
}

#[test]
fn one_input_output_error_at_any_call_loses_nothing_acknowledged() {
    every_call_fails_with(ErrorKind::Other, 1);
}

#[test]
fn a_burst_of_input_output_errors_at_any_call_loses_nothing_acknowledged() {
    every_call_fails_with(ErrorKind::Other, 7);
}

#[test]
fn a_full_disk_at_any_call_loses_nothing_acknowledged_and_heals_by_itself() {
    every_call_fails_with(ErrorKind::StorageFull, 5);
}

#[test]
fn a_disk_that_stays_full_refuses_until_there_is_space() {
    block_on(async {
        let mut user = User::new(8);
        let disk = SimDisk::new(8);
        disk.set_capacity(3 * SEGMENT_BYTES);
        let (log, report) = open_twice(&disk, None);
        let mut refused = 0;
        for _ in 0..40 {
            refused += user.append(&log).await;
        }
        assert!(refused > 0);
        check(&mut user, &log, &report, None).await;
        disk.set_capacity(1 << 20);
        assert_eq!(user.append(&log).await, 0, "space is back");
        check(&mut user, &log, &report, None).await;
    });
}
