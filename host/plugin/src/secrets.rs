//! Secrets that a guest uses without having them.
//!
//! With `as: header` the guest holds a placeholder, random and worthless. It puts it into a header's value; when the request leaves, and goes
//! to a host that the secret is for, the host puts the secret in its place, inside of `Basic` credentials, too. With `as: basic` the host
//! sets the credentials itself. A placeholder on its way to any other host is refused, so that an author learns of a wrong address here and
//! not from the destination's log. What a destination sends back is searched for these secrets, which are then blanked: an echo must
//! not be the way around.
//!
//! With `as: reveal` the guest has the secret. Then only logs and errors are kept clean of it.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bytes::{Bytes, BytesMut};
use flagpost_exporter::Secret;
use http::Method;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderValue};
use url::Url;

use crate::policy::{Denial, HostRule, Target};
use crate::redact::Hidden;
use crate::{PluginSpec, SecretUse};

/// What every placeholder begins with; a guest that has no secrets is never searched for it.
const PREFIX: &str = "flagpost-secret-";

/// One plugin's secrets.
#[derive(Default)]
pub(crate) struct Secrets {
    held: Vec<Held>,
    /// What is blanked in answers, longest first: the secrets that the guest does not have, and what they look like inside of `Basic`
    /// credentials.
    echoes: Vec<Vec<u8>>,
}

struct Held {
    name: String,
    value: Secret,
    rules: Vec<HostRule>,
    exposure: SecretUse,
    /// Empty when the guest needs none.
    placeholder: String,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.held.iter().map(|held| (&held.name, held.exposure))).finish()
    }
}

impl Secrets {
    pub(crate) fn new(spec: &PluginSpec) -> Self {
        let held: Vec<_> = spec
            .secrets
            .iter()
            .map(|(name, secret)| Held {
                name: name.clone(),
                value: secret.value.clone(),
                rules: secret.hosts.iter().filter_map(|host| host.parse().ok()).collect(),
                exposure: secret.exposure,
                placeholder: match secret.exposure {
                    SecretUse::Header => format!("{PREFIX}{:032x}", rand::random::<u128>()),
                    SecretUse::Basic | SecretUse::Reveal => String::new(),
                },
            })
            .collect();
        let kept = held.iter().filter(|held| held.exposure != SecretUse::Reveal);
        let mut echoes: Vec<Vec<u8>> = kept
            .flat_map(|held| {
                let value = held.value.reveal();
                let coded = (held.exposure == SecretUse::Basic).then(|| STANDARD.encode(value).into_bytes());
                // The password alone, too.
                let password = match held.exposure {
                    SecretUse::Basic => value.split_once(':').map(|(_, password)| password.as_bytes().to_vec()),
                    _ => None,
                };
                // What the guest composes around it is not known here.
                let within = (held.exposure == SecretUse::Header).then(|| coded_anywhere(value.as_bytes()));
                [Some(value.as_bytes().to_vec()), coded, password].into_iter().flatten().chain(within.into_iter().flatten())
            })
            .filter(|echo| echo.len() >= 4)
            .collect();
        echoes.sort_by_key(|echo| std::cmp::Reverse(echo.len()));
        Secrets { held, echoes }
    }

    /// What the guest finds under the name.
    pub(crate) fn visible(&self, name: &str) -> Option<&str> {
        self.held.iter().find(|held| held.name == name).and_then(Held::visible)
    }

    /// The same as an environment.
    pub(crate) fn env(&self) -> impl Iterator<Item = (&str, &str)> {
        self.held.iter().filter_map(|held| Some((held.name.as_str(), held.visible()?)))
    }

    /// Everything that no log and no error shows.
    pub(crate) fn hide_in(&self, hidden: &mut Hidden) {
        for held in &self.held {
            hidden.add(held.value.clone(), format!("[secret {}]", held.name));
        }
        for echo in &self.echoes {
            if let Ok(text) = std::str::from_utf8(echo) {
                hidden.add(Secret::new(text), "[secret]");
            }
        }
    }

    /// Whether a request's body may go out: a placeholder in it would never be replaced, whoever gets it.
    pub(crate) fn check_body(&self, body: &[u8]) -> Result<(), Denial> {
        match self.placeholders().find(|held| contains(body, held.placeholder.as_bytes())) {
            Some(held) => Err(Denial::SecretPlace { name: held.name.clone(), place: "the body" }),
            None => Ok(()),
        }
    }

    /// Puts the secrets into a request's headers. `Ok(true)`: there are some in it now.
    pub(crate) fn attach(&self, method: &Method, url: &Url, headers: &mut HeaderMap) -> Result<bool, Denial> {
        if self.held.is_empty() {
            return Ok(false);
        }
        if let Some(held) = self.placeholders().find(|held| url.as_str().contains(&held.placeholder)) {
            return Err(Denial::SecretPlace { name: held.name.clone(), place: "the URL" });
        }
        let target = Target::of(url)?;
        let mut attached = false;
        for value in headers.values_mut() {
            if let Some(new) = self.filled(value.as_bytes(), method, &target)? {
                let mut new = HeaderValue::from_bytes(&new).map_err(|_| Denial::SecretValue)?;
                new.set_sensitive(true);
                *value = new;
                attached = true;
            }
        }
        let basic = self.held.iter().find(|held| held.exposure == SecretUse::Basic && held.is_for(method, &target));
        if let Some(held) = basic {
            let coded = format!("Basic {}", STANDARD.encode(held.value.reveal()));
            let mut value = HeaderValue::from_str(&coded).map_err(|_| Denial::SecretValue)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
            attached = true;
        }
        if attached {
            // A compressed echo could not be blanked.
            headers.remove(ACCEPT_ENCODING);
        }
        Ok(attached)
    }

    fn placeholders(&self) -> impl Iterator<Item = &Held> {
        self.held.iter().filter(|held| !held.placeholder.is_empty())
    }

    /// A header's value with its placeholders replaced; `None`: it has none.
    fn filled(&self, value: &[u8], method: &Method, target: &Target) -> Result<Option<Vec<u8>>, Denial> {
        if let Some(plain) = self.replaced(value, method, target)? {
            return Ok(Some(plain));
        }
        let Some((scheme, coded)) = value.split_at_checked(6).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"basic ")) else {
            return Ok(None);
        };
        let Ok(decoded) = STANDARD.decode(coded.trim_ascii()) else { return Ok(None) };
        let filled = self.replaced(&decoded, method, target)?;
        Ok(filled.map(|filled| [scheme, STANDARD.encode(filled).as_bytes()].concat()))
    }

    fn replaced(&self, text: &[u8], method: &Method, target: &Target) -> Result<Option<Vec<u8>>, Denial> {
        let mut out: Option<Vec<u8>> = None;
        for held in self.placeholders() {
            let now = out.as_deref().unwrap_or(text);
            if !contains(now, held.placeholder.as_bytes()) {
                continue;
            }
            if !held.is_for(method, target) {
                return Err(Denial::Secret { name: held.name.clone(), method: method.clone(), origin: target.origin() });
            }
            out = Some(replace(now, held.placeholder.as_bytes(), held.value.reveal().as_bytes()));
        }
        Ok(out)
    }

    /// Blanks what a destination echoes, length kept. Whether there was something.
    pub(crate) fn blank(&self, bytes: &mut [u8]) -> bool {
        let mut found = false;
        for echo in &self.echoes {
            let mut from = 0;
            while let Some(at) = find(&bytes[from..], echo) {
                bytes[from + at..from + at + echo.len()].fill(b'*');
                from += at + echo.len();
                found = true;
            }
        }
        found
    }

    /// Blanks what the headers of an answer echo. Whether there was something.
    pub(crate) fn blank_headers(&self, headers: &mut HeaderMap) -> bool {
        let mut found = false;
        for value in headers.values_mut() {
            let mut text = value.as_bytes().to_vec();
            if self.blank(&mut text) {
                // Stars can stand in every header.
                *value = HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static(""));
                found = true;
            }
        }
        found
    }

    /// Searches the pieces of a body for placeholders, which nobody would replace there.
    pub(crate) fn body_check(self: &Arc<Self>) -> BodyCheck {
        BodyCheck { secrets: Arc::clone(self), end: Vec::new() }
    }

    /// Blanks in a stream that comes in pieces.
    pub(crate) fn blanking(&self) -> Blanking {
        Blanking { hold: self.echoes.first().map_or(0, |longest| longest.len() - 1), held: BytesMut::new() }
    }
}

/// The end of a body so far, which may be the beginning of a placeholder. What has left of one is worth nothing.
pub(crate) struct BodyCheck {
    secrets: Arc<Secrets>,
    end: Vec<u8>,
}

impl BodyCheck {
    /// Whether the next piece may go out.
    pub(crate) fn pass(&mut self, piece: &[u8]) -> Result<(), Denial> {
        let Some(longest) = self.secrets.placeholders().map(|held| held.placeholder.len()).max() else { return Ok(()) };
        self.end.extend_from_slice(piece);
        self.secrets.check_body(&self.end)?;
        let surplus = self.end.len().saturating_sub(longest - 1);
        self.end.drain(..surplus);
        Ok(())
    }
}

/// The end of a stream so far, which may be the beginning of a secret.
pub(crate) struct Blanking {
    /// Bytes that are held back.
    hold: usize,
    held: BytesMut,
}

impl Blanking {
    /// The next piece in, what is safe to pass on out; `None` in: the end. Whether something was blanked.
    pub(crate) fn pass(&mut self, secrets: &Secrets, piece: Option<Bytes>) -> (Bytes, bool) {
        let Some(piece) = piece else { return (self.held.split().freeze(), false) };
        if self.hold == 0 {
            return (piece, false);
        }
        self.held.extend_from_slice(&piece);
        let blanked = secrets.blank(&mut self.held);
        // A secret that lies whole in what is held was blanked; one that is still coming begins in the last bytes.
        let safe = self.held.len().saturating_sub(self.hold);
        (self.held.split_to(safe).freeze(), blanked)
    }
}

impl Held {
    fn visible(&self) -> Option<&str> {
        match self.exposure {
            SecretUse::Header => Some(&self.placeholder),
            SecretUse::Reveal => Some(self.value.reveal()),
            SecretUse::Basic => None,
        }
    }

    fn is_for(&self, method: &Method, target: &Target) -> bool {
        self.rules.iter().any(|rule| rule.matches(method, target))
    }
}

/// What a word looks like inside of something longer that is coded in base64: one text for each place of its first byte in a group of three.
/// Whatever stands before and behind it decides the bits at its ends only, which are left out.
fn coded_anywhere(word: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..3).map(move |before| {
        let coded = STANDARD_NO_PAD.encode([&[0; 2][..before], word].concat()).into_bytes();
        coded.get((8 * before).div_ceil(6)..8 * (before + word.len()) / 6).unwrap_or_default().to_vec()
    })
}

fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, word)
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    find(text, word).is_some()
}

fn replace(text: &[u8], word: &[u8], with: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + with.len());
    let mut rest = text;
    while let Some(at) = find(rest, word) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(with);
        rest = &rest[at + word.len()..];
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::PluginSecret;

    fn secrets() -> Secrets {
        let mut spec = PluginSpec::new("acme", "acme.wasm");
        let secret = |value: &str, hosts: &[&str], exposure| PluginSecret {
            value: Secret::new(value),
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            exposure,
        };
        spec.secrets.insert("KEY".to_owned(), secret("k3y-of-acme", &["POST https://in.acme.dev"], SecretUse::Header));
        spec.secrets.insert("LOGIN".to_owned(), secret("anna:hunter22", &["https://basic.acme.dev"], SecretUse::Basic));
        spec.secrets.insert("SEEN".to_owned(), secret("seen-by-all", &[], SecretUse::Reveal));
        Secrets::new(&spec)
    }

    fn send(secrets: &Secrets, method: Method, url: &str, header: &str) -> Result<Vec<String>, String> {
        let mut headers = HeaderMap::new();
        headers.insert("accept-encoding", HeaderValue::from_static("gzip"));
        headers.insert("x-key", HeaderValue::from_str(header).unwrap());
        let attached = secrets.attach(&method, &Url::parse(url).unwrap(), &mut headers).map_err(|why| why.to_string())?;
        assert_eq!(headers.contains_key("accept-encoding"), !attached);
        assert!(!attached || !format!("{headers:?}").contains("hunter22") && !format!("{headers:?}").contains("k3y-of"), "{headers:?}");
        Ok(headers.iter().filter(|(name, _)| *name != "accept-encoding").map(|(_, value)| value.to_str().unwrap().to_owned()).collect())
    }

    #[test]
    fn a_guest_sees_a_placeholder_nothing_or_the_secret_as_it_is_configured() {
        let secrets = secrets();
        let placeholder = secrets.visible("KEY").unwrap();
        assert!(placeholder.starts_with(PREFIX) && placeholder.len() == PREFIX.len() + 32, "{placeholder}");
        assert_eq!((secrets.visible("LOGIN"), secrets.visible("SEEN"), secrets.visible("X")), (None, Some("seen-by-all"), None));
        assert_eq!(secrets.env().map(|(name, _)| name).collect::<Vec<_>>(), ["KEY", "SEEN"]);
        assert!(!format!("{secrets:?}").contains("hunter"), "{secrets:?}");
    }

    #[test]
    fn a_placeholder_becomes_the_secret_on_the_way_to_its_hosts_only() {
        let secrets = secrets();
        let key = secrets.visible("KEY").unwrap().to_owned();
        let post = |url: &str, header: &str| send(&secrets, Method::POST, url, header);
        assert_eq!(post("https://in.acme.dev/v1", &format!("Bearer {key}; {key}")).unwrap(), ["Bearer k3y-of-acme; k3y-of-acme"]);
        let basic = format!("Basic {}", STANDARD.encode(format!("anna:{key}")));
        assert_eq!(post("https://in.acme.dev/v1", &basic).unwrap(), [format!("Basic {}", STANDARD.encode("anna:k3y-of-acme"))]);
        assert_eq!(post("https://other.dev", "Basic !!").unwrap(), ["Basic !!"]);
        assert_eq!(post("https://other.dev", "plain").unwrap(), ["plain"]);
        for (method, url) in
            [(Method::POST, "https://evil.dev/"), (Method::GET, "https://in.acme.dev/"), (Method::POST, "http://in.acme.dev/")]
        {
            for header in [key.as_str(), &basic] {
                let error = send(&secrets, method.clone(), url, header).unwrap_err();
                assert!(error.contains("to the list secrets.KEY.hosts") && error.contains(method.as_str()), "{error}");
                assert!(!error.contains("k3y") && !error.contains(&key), "{error}");
            }
        }
        let error = post(&format!("https://in.acme.dev/?key={key}"), "x").unwrap_err();
        assert!(error.contains("the URL") && error.contains("header"), "{error}");
        assert!(secrets.check_body(format!("{{\"key\":\"{key}\"}}").as_bytes()).is_err());
        assert!(secrets.check_body(b"{}").is_ok());
    }

    #[test]
    fn basic_credentials_are_set_by_the_host_for_their_hosts() {
        let secrets = secrets();
        let mut sent = send(&secrets, Method::GET, "https://basic.acme.dev/", "x").unwrap();
        sent.sort();
        assert_eq!(sent, [format!("Basic {}", STANDARD.encode("anna:hunter22")), "x".to_owned()]);
        assert_eq!(send(&secrets, Method::GET, "https://else.acme.dev/", "x").unwrap(), ["x"]);
    }

    #[test]
    fn a_secret_inside_of_credentials_that_the_guest_composed_is_blanked_wherever_it_stands() {
        let secrets = secrets();
        for user in ["a", "an", "ann", "anna-b"] {
            for tail in ["", "!", "!!"] {
                let coded = STANDARD.encode(format!("{user}:k3y-of-acme{tail}"));
                let mut text = format!("you sent Basic {coded}").into_bytes();
                assert!(secrets.blank(&mut text), "{user}");
                let left = String::from_utf8(text).unwrap();
                let shown = left.trim_start_matches("you sent Basic ").replace('*', "A");
                let shown = String::from_utf8_lossy(&STANDARD.decode(shown).unwrap()).into_owned();
                assert!(!["k3y", "3y-", "-of", "acm"].iter().any(|piece| shown.contains(piece)), "{left}: {shown}");
            }
        }
    }

    #[test]
    fn a_placeholder_in_a_body_is_found_across_its_pieces() {
        let secrets = Arc::new(secrets());
        let key = secrets.visible("KEY").unwrap().to_owned();
        let body = format!("{{\"key\":\"{key}\"}}");
        for size in 1..=body.len() {
            let mut check = secrets.body_check();
            let refused = body.as_bytes().chunks(size).find_map(|piece| check.pass(piece).err());
            assert!(refused.is_some_and(|why| why.to_string().contains("the body")), "{size}");
            let mut check = secrets.body_check();
            assert!(body.replace(&key, "other").as_bytes().chunks(size).all(|piece| check.pass(piece).is_ok()));
        }
    }

    #[test]
    fn what_a_destination_echoes_is_blanked_also_across_pieces() {
        let secrets = secrets();
        let mut text = b"you sent k3y-of-acme and hunter22 and seen-by-all".to_vec();
        assert!(secrets.blank(&mut text));
        assert_eq!(text, b"you sent *********** and ******** and seen-by-all");
        let whole = format!("a k3y-of-acme b {} c k3y-of-acm", STANDARD.encode("anna:hunter22"));
        for size in 1..whole.len() {
            let (mut blanking, mut out) = (secrets.blanking(), Vec::new());
            for piece in whole.as_bytes().chunks(size).map(|piece| Some(Bytes::copy_from_slice(piece))).chain([None]) {
                out.extend_from_slice(&blanking.pass(&secrets, piece).0);
            }
            let out = String::from_utf8(out).unwrap();
            assert_eq!(out, format!("a *********** b {} c k3y-of-acm", "*".repeat(STANDARD.encode("anna:hunter22").len())), "{size}");
        }
        let (mut none, nothing) = (Secrets::default().blanking(), Secrets::default());
        assert_eq!(none.pass(&nothing, Some(Bytes::from_static(b"as it is"))).0, "as it is");
    }
}
