//! What an unnamed exporter is called: its kind and a hash of where its data goes.
//!
//! Order in the file, secrets, sizes and intervals are no part of it: changing them must not lose an exporter its place in the log.

use serde_json::Value;
use sha2::{Digest, Sha256};
use url::Url;

use flagpost_settings::{Data, Node, Place, Scalar};

/// A location key's value as it counts: what is written in the file (`${NAME}`, not what the variable holds), and of a URL neither user
/// nor password nor query: a secret that changes leaves the exporter its place, and no name or metric label is a hash over one.
pub(crate) fn written(node: &Node) -> Value {
    match &node.data {
        // A value from a variable that is the key itself stands nowhere else, and the variable's name holds an index.
        Data::Scalar(Scalar { text, .. }) if matches!(node.place, Place::Variable(_)) => Value::String(without_secrets(text)),
        Data::Scalar(Scalar { written: Some(written), .. }) => Value::String(without_secrets(written)),
        _ => match node.to_json() {
            Value::String(text) => Value::String(without_secrets(&text)),
            other => other,
        },
    }
}

fn without_secrets(text: &str) -> String {
    let Ok(url) = Url::parse(text) else { return text.to_owned() };
    let secret = !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some();
    if !url.has_host() || !secret {
        return text.to_owned();
    }
    let path = &url[url::Position::BeforePath..url::Position::AfterPath];
    format!("{}://{}{path}", url.scheme(), &url[url::Position::BeforeHost..url::Position::AfterPort])
}

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
    fn secrets_are_no_part_of_it() {
        let node = |text: &str, written: Option<&str>| Node {
            place: 1.into(),
            data: Data::Scalar(Scalar {
                text: text.to_owned(),
                written: written.map(str::to_owned),
                meaning: flagpost_settings::Meaning::Text,
            }),
        };
        let cases = [
            ("https://h/x", None, "https://h/x"),
            ("https://H:443/x", None, "https://H:443/x"),
            ("https://u:p@h:8443/x?k=secret#f", None, "https://h:8443/x"),
            ("https://h/secret", Some("https://h/${TOKEN}"), "https://h/${TOKEN}"),
            ("https://h/x?k=secret", Some("https://h/x?k=${TOKEN}"), "https://h/x"),
            ("secret", Some("${URL}"), "${URL}"),
            ("C:\\x?y", None, "C:\\x?y"),
        ];
        for (text, as_written, expected) in cases {
            assert_eq!(written(&node(text, as_written)), json!(expected), "{text}");
        }
    }

    #[test]
    fn the_form_is_fixed_since_cursors_hang_on_it() {
        assert_eq!(unnamed("log", &[]), "log-e3b0c442");
        assert_eq!(unnamed("file", &[("outputDir", &json!("out"))]), "file-07aee987");
    }
}
