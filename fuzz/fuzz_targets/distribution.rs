//! References to images, their manifests, and Docker's configuration.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| flagpost_plugin::fuzzing::distribution(bytes));
