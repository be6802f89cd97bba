//! Upstream's body, `{"meta":{...},"events":[...]}`, put together from the stored lines, and its signature.

use std::collections::BTreeMap;

use bytes::Bytes;
use flagpost_event::{EventBatch, Json};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::Secret;

/// Makes the bodies of one exporter.
#[derive(Clone, Debug)]
pub(super) struct BodyMaker {
    /// Everything before the first event.
    head: String,
    secret: Option<Secret>,
}

/// A body and its `X-Hub-Signature-256`.
#[derive(Clone, Debug)]
pub(super) struct Body {
    pub(super) bytes: Bytes,
    pub(super) signature: Option<String>,
}

impl BodyMaker {
    /// `meta.hostname` is this machine's unless it is configured; keys are sorted.
    pub(super) fn new(meta: BTreeMap<String, String>, hostname: &str, secret: Option<Secret>) -> Self {
        let mut members = serde_json::Map::new();
        members.insert("hostname".to_owned(), hostname.into());
        // Upstream fills an empty one too.
        members
            .extend(meta.into_iter().filter(|(key, value)| key != "hostname" || !value.is_empty()).map(|(key, value)| (key, value.into())));
        let meta = Json::from(serde_json::Value::Object(members));
        BodyMaker { head: format!("{{\"meta\":{},\"events\":[", meta.as_str()), secret }
    }

    /// The batch's body.
    pub(super) fn of(&self, batch: &EventBatch) -> Body {
        let mut bytes = Vec::with_capacity(self.head.len() + batch.bytes() + 2);
        bytes.extend_from_slice(self.head.as_bytes());
        for (index, line) in batch.lines().enumerate() {
            if index > 0 {
                bytes.push(b',');
            }
            bytes.extend_from_slice(line);
        }
        bytes.extend_from_slice(b"]}");
        let signature = self.secret.as_ref().and_then(|secret| sign(secret, &bytes));
        Body { bytes: bytes.into(), signature }
    }
}

/// `sha256=` and the HMAC-SHA256 of the exact bytes in lower-case hex.
fn sign(secret: &Secret, bytes: &[u8]) -> Option<String> {
    // A key of any length is taken: this is never `None`.
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes()).ok()?;
    mac.update(bytes);
    Some(format!("sha256={}", hex::encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use flagpost_event::{BatchId, EventKind, StreamName};

    use super::*;

    fn batch(chunks: Vec<Bytes>) -> EventBatch {
        EventBatch::new(BatchId::new("b"), StreamName::new("default", EventKind::Feature), 1, chunks)
    }

    /// Upstream's `exporter/webhookexporter/testdata/valid_with_signature.json`, compact.
    const UPSTREAM: &str = r#"{"meta":{"hostname":"hostname"},"events":[{"kind":"feature","contextKind":"anonymousUser","userKey":"ABCD","creationDate":1617970547,"key":"random-key","variation":"Default","value":"YO","default":false,"version":"","source":"SERVER"},{"kind":"feature","contextKind":"anonymousUser","userKey":"EFGH","creationDate":1617970701,"key":"random-key","variation":"Default","value":"YO2","default":false,"version":"127","source":"SERVER"}]}"#;

    #[test]
    fn body_and_signature_are_upstreams() {
        let events = UPSTREAM.strip_prefix(r#"{"meta":{"hostname":"hostname"},"events":["#).unwrap().strip_suffix("]}").unwrap();
        let lines: Vec<_> = events.replace("},{", "}\n{").lines().map(|line| Bytes::from(format!("{line}\n"))).collect();
        let body = BodyMaker::new(BTreeMap::new(), "hostname", Some(Secret::new("secret"))).of(&batch(lines));
        assert_eq!(std::str::from_utf8(&body.bytes).unwrap(), UPSTREAM);
        assert_eq!(body.bytes.len(), 433);
        assert_eq!(body.signature.as_deref(), Some("sha256=f1f9766836d4e513035986c035ee9f091b895709be47a802b5840467007e1ec0"));
    }

    #[test]
    fn meta_is_sorted_and_names_the_host_unless_it_is_configured() {
        let texts = |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        for (meta, expected) in [
            (texts(&[("zone", "<a>"), ("app", "x")]), r#"{"meta":{"app":"x","hostname":"h","zone":"\u003ca\u003e"},"events":[]}"#),
            (texts(&[("hostname", "mine")]), r#"{"meta":{"hostname":"mine"},"events":[]}"#),
            (texts(&[("hostname", "")]), r#"{"meta":{"hostname":"h"},"events":[]}"#),
        ] {
            let body = BodyMaker::new(meta, "h", None).of(&batch(Vec::new()));
            assert_eq!(std::str::from_utf8(&body.bytes).unwrap(), expected);
            assert_eq!(body.signature, None);
        }
    }
}
