//! The configuration's reader: any text is a configuration or a list of problems.
#![no_main]

use std::path::Path;

use flagpost::config::{Severity, Sources, from_text};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let sources = Sources { env: &|name| (name == "A").then(|| "value".to_owned()), ..Sources::system() };
    if let Err(problems) = from_text(text, Path::new("."), &sources) {
        assert!(problems.iter().any(|problem| problem.severity == Severity::Error));
    }
});
