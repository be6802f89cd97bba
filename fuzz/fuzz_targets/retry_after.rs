//! A receiver's `Retry-After`: a bounded time or nothing.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| flagpost_exporter::fuzzing::retry_after(text));
