//! Compressed bodies: within their limit, or refused.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| flagpost::fuzzing::inflate(bytes));
