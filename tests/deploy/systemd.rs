//! deploy/systemd: the units, as far as systemd's own tools tell without systemd running.

use std::fs;
use std::process::Command;

use flagpost_tests::{Setup, program_path};

use crate::tools::{read, run, tool};

const UNITS: [&str; 2] = ["flagpost.service", "flagpost-drain.service"];

fn unit(name: &str) -> String {
    read(&format!("deploy/systemd/{name}"))
}

/// The values of a key, in order.
fn values<'u>(unit: &'u str, key: &str) -> Vec<&'u str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

/// Installs systemd's tools if they are missing.
fn analyze() -> Command {
    tool("");
    Command::new("systemd-analyze")
}

#[test]
fn systemd_takes_the_units() {
    let directory = tempfile::tempdir().unwrap();
    let files = UNITS.map(|name| {
        let file = directory.path().join(name);
        // Verified with a program that is there.
        fs::write(&file, unit(name).replace("/usr/local/bin/flagpost", program_path().to_str().unwrap())).unwrap();
        file
    });
    let verified = run(analyze().args(["verify", "--man=no"]).args(&files));
    assert!(verified.status.success() && verified.text.is_empty(), "{}", verified.text);

    fs::write(&files[0], fs::read_to_string(&files[0]).unwrap().replace("WatchdogSec=", "WatchdogSecs=")).unwrap();
    let verified = run(analyze().args(["verify", "--man=no"]).args(&files));
    assert!(verified.text.contains("WatchdogSecs"), "the check finds mistakes: {}", verified.text);
}

#[test]
fn the_units_are_hardened() {
    let directory = tempfile::tempdir().unwrap();
    for name in UNITS {
        let file = directory.path().join(name);
        fs::write(&file, unit(name)).unwrap();
        // 1.4 of 10 at systemd 252; what is left is the network, which it is for, and code that is made at run time: plugins.
        let reviewed = run(analyze().args(["security", "--offline=true", "--threshold=20"]).arg(&file));
        assert!(reviewed.status.success(), "{}", reviewed.text);
    }
    let hardening = |unit: &str| -> Vec<String> {
        let keys = [
            "Protect",
            "Private",
            "Restrict",
            "System",
            "Capability",
            "NoNew",
            "User",
            "DynamicUser",
            "State",
            "UMask",
            "WorkingDir",
            "Lock",
        ];
        unit.lines().filter(|line| keys.iter().any(|key| line.starts_with(key))).map(str::to_owned).collect()
    };
    assert_eq!(hardening(&unit(UNITS[0])), hardening(&unit(UNITS[1])), "the drain is the relay's user, at its place, with no more rights");
}

#[test]
fn the_units_times_are_longer_than_the_programs() {
    let relay = unit("flagpost.service");
    let seconds = |key: &str| values(&relay, key)[0].parse::<u64>().unwrap();
    // `shutdownTimeout` and `buffer.lockTimeout` by default.
    assert!(seconds("TimeoutStopSec") > 10 && seconds("TimeoutStartSec") > 30);
    assert_eq!((values(&relay, "Type"), values(&relay, "NotifyAccess")), (vec!["notify"], vec!["main"]));
    let drain = unit("flagpost-drain.service");
    assert_eq!(values(&drain, "Conflicts"), ["flagpost.service"], "the relay lets go of the store first");
    assert!(values(&drain, "After")[0].contains("flagpost.service"));
    assert!(values(&drain, "ExecStart")[0].contains("--timeout 10m") && values(&drain, "TimeoutStartSec") == ["12min"]);
}

#[test]
fn the_units_command_lines_are_the_programs() {
    let setup = Setup::new().with_exporters("  - { kind: file, name: out, outputDir: out }");
    let config = setup.config();
    for name in UNITS {
        let text = unit(name);
        for line in [values(&text, "ExecStartPre"), values(&text, "ExecStart")].concat() {
            let arguments: Vec<&str> =
                line.split(' ').skip(1).map(|word| if word.starts_with("/etc/") { config.to_str().unwrap() } else { word }).collect();
            if arguments.first() == Some(&"--config") {
                // The relay itself: started by the tests of the notify protocol.
                continue;
            }
            let finished = run(Command::new(program_path()).current_dir(setup.directory()).args(&arguments));
            assert_ne!(finished.status.code(), Some(2), "{line}: {}", finished.text);
        }
    }
}
