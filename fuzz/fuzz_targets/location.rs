//! A receiver's `Location`: a redirect stays with its server.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| flagpost_exporter::fuzzing::location(text));
