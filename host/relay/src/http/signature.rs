//! `X-Hub-Signature-256`: upstream's `webhook` exporter signs its body (its `internal/signer`), and so it is known to be unchanged and
//! from someone who knows `collector.webhookSecret`.

use flagpost_exporter::Secret;
use hmac::{Hmac, KeyInit, Mac};
use http::header::{HeaderMap, HeaderName};
use sha2::Sha256;

const HEADER: HeaderName = HeaderName::from_static("x-hub-signature-256");
/// What stands before the hexadecimal digits.
const SCHEME: &[u8] = b"sha256=";

/// Why a body is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SignatureError {
    #[error("missing X-Hub-Signature-256: the sender needs the secret of `collector.webhookSecret`")]
    Missing,
    #[error("invalid X-Hub-Signature-256: expected `sha256=` and 64 hexadecimal digits")]
    Malformed,
    #[error("wrong X-Hub-Signature-256: the body was changed, or the sender has another secret than `collector.webhookSecret`")]
    Wrong,
}

/// A claim that is still to be checked against the body.
pub(crate) struct Signed {
    secret: Secret,
    claimed: [u8; 32],
}

impl Signed {
    /// The claim of a request.
    pub(crate) fn of(secret: Secret, headers: &HeaderMap) -> Result<Signed, SignatureError> {
        let value = headers.get(HEADER).ok_or(SignatureError::Missing)?;
        let digits = value.as_bytes().strip_prefix(SCHEME).ok_or(SignatureError::Malformed)?;
        let mut claimed = [0; 32];
        hex::decode_to_slice(digits, &mut claimed).map_err(|_| SignatureError::Malformed)?;
        Ok(Signed { secret, claimed })
    }

    /// Compares it with the body's own signature, in constant time.
    pub(crate) fn check(&self, body: &[u8]) -> Result<(), SignatureError> {
        // HMAC takes keys of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.reveal().as_bytes()).map_err(|_| SignatureError::Wrong)?;
        mac.update(body);
        mac.verify_slice(&self.claimed).map_err(|_| SignatureError::Wrong)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Upstream's `exporter/webhookexporter/testdata/valid_with_signature.json` as it is on the wire, and its signature for `secret`.
    const BODY: &str = include_str!("../../tests/webhook-body.json");
    const SIGNATURE: &str = "sha256=f1f9766836d4e513035986c035ee9f091b895709be47a802b5840467007e1ec0";

    fn check(secret: &str, signature: Option<&str>, body: &str) -> Result<(), SignatureError> {
        let headers = signature.map(|value| (HEADER, value.parse().unwrap())).into_iter().collect();
        Signed::of(Secret::new(secret), &headers)?.check(body.as_bytes())
    }

    #[test]
    fn upstreams_own_signature_is_good_and_any_other_is_not() {
        use SignatureError::*;
        assert_eq!(BODY.len(), 433);
        let upper = SIGNATURE.to_uppercase().replace("SHA256", "sha256");
        let off_by_one = SIGNATURE.replace("1ec0", "1ec1");
        let cases = [
            ("secret", Some(SIGNATURE), BODY, Ok(())),
            ("secret", Some(upper.as_str()), BODY, Ok(())),
            ("Secret", Some(SIGNATURE), BODY, Err(Wrong)),
            ("secret", Some(SIGNATURE), &BODY[..BODY.len() - 1], Err(Wrong)),
            ("secret", Some(off_by_one.as_str()), BODY, Err(Wrong)),
            ("secret", Some(&SIGNATURE[7..]), BODY, Err(Malformed)),
            ("secret", Some("sha256="), BODY, Err(Malformed)),
            ("secret", Some("sha1=f1f97668"), BODY, Err(Malformed)),
            ("secret", None, BODY, Err(Missing)),
        ];
        for (secret, signature, body, expected) in cases {
            assert_eq!(check(secret, signature, body), expected, "{signature:?}");
        }
    }
}
