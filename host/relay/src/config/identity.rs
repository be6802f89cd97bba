//! What an unnamed exporter is called: its kind and a hash of where its data goes.
//!
//! Order in the file, secrets, sizes and intervals are no part of it: changing them must not lose an exporter its place in the log.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// `<kind>-<8 hex digits>` of SHA-256 over the location: each key that is present, in the order of its name, with its value.
///
/// Each part is preceded by its length, so that no two locations are the same bytes. The form is fixed: cursors hang on it.
pub(crate) fn unnamed(kind: &str, location: &[(&str, &Value)]) -> String {
    let mut location = location.to_vec();
    location.sort_by_key(|(key, _)| *key);
    let mut hash = Sha256::new();
    for (key, value) in location {
        // Text as itself, anything else as compact JSON: `bucket: 12` and `bucket: "12"` are the same place.
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        for part in [key, value.as_str()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
    }
    format!("{kind}-{}", hex::encode(&hash.finalize()[..4]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_name_says_where_data_goes_and_nothing_else() {
        let (a, b, twelve, text) = (json!("a"), json!("b"), json!(12), json!("12"));
        let base = unnamed("s3", &[("bucket", &a), ("path", &b)]);
        assert_eq!(base, unnamed("s3", &[("path", &b), ("bucket", &a)]), "order is no part of it");
        assert_ne!(base, unnamed("s3", &[("bucket", &b), ("path", &a)]));
        assert_ne!(base, unnamed("s3", &[("bucket", &a)]));
        assert_ne!(unnamed("x", &[("ab", &a)]), unnamed("x", &[("a", &b)]));
        assert_eq!(unnamed("x", &[("a", &twelve)]), unnamed("x", &[("a", &text)]));
    }

    #[test]
    fn the_form_is_fixed_since_cursors_hang_on_it() {
        assert_eq!(unnamed("log", &[]), "log-e3b0c442");
        assert_eq!(unnamed("file", &[("outputDir", &json!("out"))]), "file-07aee987");
    }
}
