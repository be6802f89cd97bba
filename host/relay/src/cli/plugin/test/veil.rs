//! What is secret, kept out of what is printed.
//!
//! A transcript shows requests as they would leave, and there secrets are in them. Each is shown by its name instead, wherever it stands and in
//! the forms that it takes on its way: as it is, in a URL, in JSON, as `Basic` credentials. So a golden file can be shared, and is the same
//! for other secrets.

use anyhow::{Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flagpost_plugin::{Hidden, PluginSpec, SecretUse};
use flagpost_settings::Secret;
use http::HeaderValue;
use url::form_urlencoded;

/// Shorter ones would be found everywhere.
const SHORTEST: usize = 4;

/// What is not printed.
#[derive(Default)]
pub(super) struct Veil(Hidden);

impl Veil {
    /// The secrets of a plugin, and what came from variables.
    pub(super) fn of(spec: &PluginSpec) -> Result<Veil> {
        let mut hidden = spec.hidden.clone();
        for (value, instead) in spec.hidden.words() {
            for form in forms(value.reveal()) {
                hidden.add(Secret::new(form), instead);
            }
        }
        for (name, secret) in &spec.secrets {
            let value = secret.value.reveal();
            let password = (secret.exposure == SecretUse::Basic).then(|| value.split_once(':').map(|(_, password)| password)).flatten();
            if value.len() < SHORTEST || password.is_some_and(|password| password.len() < SHORTEST) {
                bail!(
                    "the secret `{name}` has fewer than {SHORTEST} bytes, which cannot be kept out of what is printed: test with a longer one"
                );
            }
            for word in [Some(value), password].into_iter().flatten() {
                for form in forms(word) {
                    hidden.add(Secret::new(form), format!("[secret {name}]"));
                }
            }
        }
        Ok(Veil(hidden))
    }

    /// The text without the secrets.
    pub(super) fn hide(&self, text: &str) -> String {
        self.0.hide(text).into_owned()
    }

    /// A header's value; credentials of the scheme `Basic` that hold a secret are shown decoded, since that is where it stands.
    pub(super) fn header(&self, value: &HeaderValue) -> String {
        let text = String::from_utf8_lossy(value.as_bytes());
        let hidden = self.hide(&text);
        if hidden != text {
            return hidden;
        }
        let credentials = text.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
        let decoded = credentials.and_then(|(_, coded)| STANDARD.decode(coded.trim()).ok()).and_then(|bytes| String::from_utf8(bytes).ok());
        match decoded.map(|decoded| (self.hide(&decoded), decoded)) {
            Some((hidden, decoded)) if hidden != decoded => format!("Basic base64({hidden})"),
            // The host put something in that is not seen any more: nothing of it is shown.
            _ if value.is_sensitive() => "[secret]".to_owned(),
            _ => hidden,
        }
    }
}

/// What a word looks like in a URL, in JSON, and as credentials.
fn forms(word: &str) -> [String; 7] {
    let in_query: String = form_urlencoded::byte_serialize(word.as_bytes()).collect();
    let in_path = in_query.replace('+', "%20");
    // JavaScript's encodeURIComponent leaves these as they are.
    let kept = [("%21", "!"), ("%27", "'"), ("%28", "("), ("%29", ")"), ("%7E", "~")];
    let in_script = kept.iter().fold(in_path.clone(), |text, (coded, plain)| text.replace(coded, plain));
    let json = serde_json::Value::from(word).to_string();
    let json = json[1..json.len() - 1].to_owned();
    // Python's json.dumps writes nothing beyond ASCII.
    let mut in_ascii = String::new();
    for unit in json.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii() => in_ascii.push(char::from(byte)),
            _ => in_ascii.push_str(&format!("\\u{unit:04x}")),
        }
    }
    [word.to_owned(), in_query, in_path, in_script, json, in_ascii, STANDARD.encode(word)]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use flagpost_plugin::PluginSecret;

    use super::*;

    fn spec(secrets: &[(&str, &str, SecretUse)]) -> PluginSpec {
        let mut spec = PluginSpec::new("acme", "acme.wasm");
        for (name, value, exposure) in secrets {
            let secret = PluginSecret { value: Secret::new(*value), hosts: Vec::new(), exposure: *exposure };
            spec.secrets.insert((*name).to_owned(), secret);
        }
        spec
    }

    #[test]
    fn a_secret_is_shown_by_its_name_in_every_form() {
        let mut spec = spec(&[
            ("KEY", "k\"1 +/ö", SecretUse::Header),
            ("LOGIN", "anna:hunter22", SecretUse::Basic),
            ("SCRIPT", "pa!ss+w d", SecretUse::Reveal),
        ]);
        spec.hidden.add(Secret::new("a+b/c="), "${TOKEN}");
        let veil = Veil::of(&spec).unwrap();
        let coded = STANDARD.encode("anna:hunter22");
        for (text, shown) in [
            ("a k\"1 +/ö b", "a [secret KEY] b"),
            (r#"{"key":"k\"1 +/ö"}"#, r#"{"key":"[secret KEY]"}"#),
            ("?key=k%221+%2B%2F%C3%B6&x", "?key=[secret KEY]&x"),
            ("/k%221%20%2B%2F%C3%B6/", "/[secret KEY]/"),
            ("?key=pa!ss%2Bw%20d", "?key=[secret SCRIPT]"),
            (r#"{"key":"k\"1 +/\u00f6"}"#, r#"{"key":"[secret KEY]"}"#),
            ("?token=a%2Bb%2Fc%3D", "?token=${TOKEN}"),
            ("password hunter22", "password [secret LOGIN]"),
            (&format!("Basic {coded}"), "Basic [secret LOGIN]"),
        ] {
            assert_eq!(veil.hide(text), shown);
        }
    }

    #[test]
    fn credentials_that_a_guest_composed_are_shown_without_the_secret_in_them() {
        let veil = Veil::of(&spec(&[("KEY", "k3y-of-acme", SecretUse::Header)])).unwrap();
        let header = |text: &str| HeaderValue::from_str(text).unwrap();
        let composed = format!("Basic {}", STANDARD.encode("anna:k3y-of-acme"));
        assert_eq!(veil.header(&header(&composed)), "Basic base64(anna:[secret KEY])");
        let plain = format!("Basic {}", STANDARD.encode("anna:other"));
        assert_eq!(veil.header(&header(&plain)), plain);
        let mut unknown = header("Bearer something");
        unknown.set_sensitive(true);
        assert_eq!(veil.header(&unknown), "[secret]");
    }

    #[test]
    fn a_secret_that_cannot_be_hidden_is_refused_without_being_named() {
        for (value, exposure) in [("k", SecretUse::Reveal), ("anna:x", SecretUse::Basic)] {
            let why = Veil::of(&spec(&[("KEY", value, exposure)])).err().unwrap().to_string();
            assert!(why.contains("`KEY`") && why.contains("longer"), "{why}");
            assert!(!why.contains("anna"), "{why}");
        }
    }
}
