//! Entries of `allowedHosts`: read or refused, never for everything.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| flagpost_plugin::fuzzing::host_rule(text));
