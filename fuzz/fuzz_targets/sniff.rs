//! Plugins' files before a compiler sees them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| flagpost_plugin::fuzzing::sniff(bytes));
