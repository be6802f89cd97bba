//! What fuzz targets run (`fuzz/`): parsers of foreign bytes with the rules that hold for any input. No part of the interface.

use crate::webhook::fuzzed;

/// A receiver's `Retry-After`.
pub fn retry_after(header: &str) {
    fuzzed::retry_after(header);
}

/// A receiver's `Location`.
pub fn location(header: &str) {
    fuzzed::location(header);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_retry_after_is_a_bounded_time_or_nothing(header in r"\PC{0,40}|[0-9]{0,30}|[A-Z][a-z]{2}, [0-9]{1,2} [A-Z][a-z]{2} [0-9]{1,5} [0-9:]{0,9} GMT") {
            super::retry_after(&header);
        }

        #[test]
        fn any_location_stays_with_its_server(header in r"\PC{0,40}|(https?:)?//([a-z]{1,3}@)?(h|other|\[::1\])(:[0-9]{1,5})?[/?#a-z.]{0,8}") {
            super::location(&header);
        }
    }

    #[test]
    fn known_traps() {
        for header in ["", "-1", "+5", "18446744073709551616", "1e9", "Sun, 06 Nov 99999 08:49:37 GMT", "Thu, 01 Jan 1970 00:00:00 GMT"] {
            super::retry_after(header);
        }
        for header in [
            "",
            "//",
            "///other",
            "http:\\\\other\\x",
            "javascript:1",
            "http://h@other/",
            "http://h:80@other",
            "https://h:443",
            "\thttp://other",
        ] {
            super::location(header);
        }
    }
}
