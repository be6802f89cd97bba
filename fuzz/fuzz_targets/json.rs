//! Canonical JSON: its own canonical form, and JSON to another parser too.
#![no_main]

use flagpost_event::Json;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    if let Ok(json) = Json::canonical(text, 64) {
        assert_eq!(Json::canonical(json.as_str().as_bytes(), 64).as_ref(), Ok(&json));
        assert!(!json.as_str().contains('\n'));
    }
});
