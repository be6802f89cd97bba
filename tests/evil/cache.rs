//! Compiled code that somebody changed on disk: never run, said, compiled anew.

use std::fs;
use std::path::PathBuf;

use flagpost_tests::{Guest, Program, Setup, guest, until};

use super::contained::BESIDE;

fn setup() -> Setup {
    let wasm = |name: &str| {
        format!("  - {{ kind: wasm, name: {name}, path: {name}.wasm, flushInterval: 20, retry: {{ initial: 5ms, max: 50ms }} }}\n")
    };
    let setup = Setup::new().with_exporters(&format!("{}{}{BESIDE}", wasm("good"), wasm("traps")));
    setup.plugin("good.wasm", guest(Guest::Takes, true));
    setup.plugin("traps.wasm", guest(Guest::Traps, true));
    setup
}

/// The entries of both plugins; the good one's first.
fn entries(setup: &Setup) -> [PathBuf; 2] {
    use sha2::{Digest as _, Sha256};
    ["good.wasm", "traps.wasm"].map(|name| {
        let digest = hex::encode(Sha256::digest(fs::read(setup.path("plugins").join(name)).unwrap()));
        let mut files = fs::read_dir(setup.store().join("cache")).unwrap().map(|entry| entry.unwrap().path());
        files.find(|path| path.file_name().unwrap().to_string_lossy().starts_with(&digest)).expect("it is in the cache")
    })
}

/// Starts a relay with the entries as `spoil` leaves them: the good plugin is what its file says.
async fn is_compiled_anew(spoil: impl FnOnce([PathBuf; 2])) {
    const SAID: &str = "a compiled plugin is not loaded and is compiled anew";
    let setup = setup();
    let relay = Program::start(&setup).await;
    until("both are compiled", async || {
        let ready = async |name| relay.exporter(name).await["plugin"]["state"] == "ready";
        (ready("good").await && ready("traps").await).then_some(())
    })
    .await;
    relay.post(&flagpost_tests::events(1..11)).await;
    relay.drained(&["good", "out"]).await;
    assert!(!relay.log().contains(SAID));
    relay.stop().await;

    spoil(entries(&setup));
    let spoilt = fs::read(&entries(&setup)[0]).unwrap();
    let relay = Program::start(&setup).await;
    relay.post(&flagpost_tests::events(11..21)).await;
    relay.drained(&["good", "out"]).await;
    assert_eq!(relay.exporter("good").await["plugin"]["stats"]["traps"], 0);
    let log = relay.log();
    assert!(log.contains(SAID) && log.contains("its MAC is wrong"), "{log}");
    assert_ne!(fs::read(&entries(&setup)[0]).unwrap(), spoilt, "and the entry is another one");
    relay.stop().await;
}

#[tokio::test]
async fn a_corrupted_entry_is_compiled_anew() {
    let flip = |[good, _]: [PathBuf; 2]| {
        let mut bytes = fs::read(&good).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        fs::write(&good, bytes).unwrap();
    };
    is_compiled_anew(flip).await;
}

#[tokio::test]
async fn a_forged_entry_is_compiled_anew() {
    // Code that the relay did make, and sign, for another plugin.
    is_compiled_anew(|[good, traps]| assert!(fs::copy(traps, good).unwrap() > 0)).await;
}
