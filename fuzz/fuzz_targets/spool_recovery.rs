//! Recovery of the event log: any bytes open or are refused, every read goes forward, and new events are kept.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../host/spool/tests/spool/hostile.rs"]
mod hostile;

thread_local! {
    static RUNTIME: tokio::runtime::Runtime =
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime without input and output is always made");
}

fuzz_target!(|input: &[u8]| {
    RUNTIME.with(|runtime| runtime.block_on(hostile::recover(input)));
});
