//! What fuzz targets run (`fuzz/`): parsers of foreign bytes with the rules that hold for any input. No part of the interface.

use crate::policy::HostRule;

/// An entry of `allowedHosts`: read or refused, the same with white space around it, and never for everything.
pub fn host_rule(text: &str) {
    let rule = text.parse::<HostRule>();
    assert_eq!(format!(" {text}\t").parse::<HostRule>().ok(), rule.as_ref().ok().cloned());
    if let Err(why) = &rule {
        assert!(why.to_string().contains("expected `"));
    }
    let origin = text.trim().rsplit("://").next().unwrap_or_default();
    assert!(!(rule.is_ok() && origin.starts_with('*') && origin.matches('.').count() < 2), "`{text}` covers a whole top-level domain");
}

/// What a registry, Docker's configuration and ours may hold about images.
pub fn distribution(bytes: &[u8]) {
    crate::distribution::read_foreign(bytes);
}

/// A plugin's file, before a compiler sees it.
pub fn sniff(file: &[u8]) {
    match crate::world::sniff(file) {
        Ok(()) => assert!(file.starts_with(b"\0asm") && file.len() >= 8),
        Err(why) => assert!(!why.is_empty() && why.len() < 1000),
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    #[test]
    fn rules_and_broken_ones_are_read_or_refused() {
        let seeds = [
            "https://in.acme.dev",
            "POST,GET https://*.acme.dev:8443/",
            "http://[::ffff:10.0.0.1]:80",
            "*",
            "https://*",
            "https://*.dev",
            "https://*.co.uk.",
            "https://*.xn--p1ai",
            "get http://x",
            "http://u:p@h",
            "http://h/p?q#f",
            "HTTP://h",
            " \u{a0}http://0x7f.1 ",
            "",
        ];
        let parts =
            ["*", ".", "/", ":", "@", "http://", "https://", "POST ", ",", "[::1]", "a", "dev", "1", "%", " ", "\u{2028}", "é", "?", "#"];
        let mut random = StdRng::seed_from_u64(7);
        for seed in seeds {
            super::host_rule(seed);
            for _ in 0..200 {
                let mut text: Vec<char> = seed.chars().collect();
                for _ in 0..random.random_range(1..4) {
                    let at = random.random_range(0..=text.len());
                    text.splice(at..at, parts[random.random_range(0..parts.len())].chars());
                }
                super::host_rule(&text.into_iter().collect::<String>());
            }
        }
    }

    #[test]
    fn files_of_all_beginnings_are_told_apart() {
        let mut random = StdRng::seed_from_u64(7);
        let seeds: [&[u8]; 6] = [b"", b"\0asm", b"\0asm\x01\0\0\0", b"\0asm\x0d\0\x01\0", b"(component)", b"\x1f\x8b\x08\0\0\0\0\0\0\0"];
        for seed in seeds {
            super::sniff(seed);
            for _ in 0..200 {
                let mut file = seed.to_vec();
                file.extend((0..random.random_range(0..12)).map(|_| random.random::<u8>()));
                if let Some(byte) = file.first_mut().filter(|_| random.random_bool(0.2)) {
                    *byte = random.random();
                }
                super::sniff(&file);
            }
        }
    }
}
