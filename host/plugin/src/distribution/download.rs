//! What is fetched from a registry, with an end to everything that it says.
//!
//! The library's client reads manifests, tokens and refusals to their ends, and offers no way to say where those are: a registry, or whoever it
//! names as the keeper of its tokens, could fill the memory of a relay within the time that a request may take. So a plugin is fetched by
//! requests of our own, four at most: what the registry asks of whoever comes, the token, the manifest, the component. Each answer is read piece by
//! piece up to a limit.
//!
//! Not promised: that a password goes to the registry's own host only. The registry names who gives out its tokens, as the protocol has it; over
//! plain HTTP it goes only where the registry itself is spoken to so.

use std::time::Duration;

use flagpost_exporter::chain_without_url;
use http::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use oci_client::Reference;
use oci_client::errors::{OciDistributionError, OciEnvelope};
use oci_client::secrets::RegistryAuth;
use reqwest::{Certificate, Response, StatusCode};
use serde::Deserialize;
use tokio::time::timeout;
use url::Url;

use super::credentials::{self, Credentials};
use super::manifest::{self, Layer};
use super::registry::{self, COMPONENT, CONNECT, MANIFEST, SILENCE};
use super::{DistributionError, ImageReference, RegistryAccess};
use crate::cache::Digest;
use crate::text::bytes as readable;

/// Of a token with what stands around it: a few KiB.
const MOST_TOKEN: usize = 256 << 10;

/// Of a refusal; only its first words are told.
const MOST_REFUSAL: usize = 64 << 10;

/// The way from a registry to one image.
pub(super) struct Download {
    http: reqwest::Client,
    /// Without TLS.
    plain: bool,
    image: Reference,
    /// The manifest's SHA-256 in hex, if it was named.
    digest: Option<String>,
    credentials: Credentials,
}

impl Download {
    /// Makes the client; asks nothing yet.
    pub(super) async fn of(reference: &ImageReference, access: &RegistryAccess) -> Result<Self, DistributionError> {
        let (reference, access) = (reference.clone(), access.clone());
        // Certificates and Docker's file are read from disk.
        let made = tokio::task::spawn_blocking(move || {
            let credentials = credentials::find(&reference, &access)?;
            let (plain, image) = (registry::is_plain(&reference, &access), reference.for_client());
            Ok(Download { http: client(&access)?, plain, image, digest: reference.digest().map(str::to_owned), credentials })
        });
        made.await.unwrap_or_else(|why| Err(DistributionError::Client { why: why.to_string() }))
    }

    /// The manifest's bytes, and their SHA-256 in hex. With a digest in the reference it is that one.
    pub(super) async fn manifest(&self) -> Result<(Vec<u8>, String), DistributionError> {
        let bytes = within(MANIFEST, self.get_manifest()).await?;
        // What the registry says of it counts for nothing.
        let found = Digest::of(&bytes).hex();
        match &self.digest {
            Some(wanted) if *wanted != found => Err(DistributionError::Digest { why: format!("{wanted} was asked for, {found} came") }),
            _ => Ok((bytes, found)),
        }
    }

    /// The component: bytes that have its digest.
    pub(super) async fn component(&self, layer: &Layer) -> Result<Vec<u8>, DistributionError> {
        within(COMPONENT, self.get_component(layer)).await
    }

    async fn get_manifest(&self) -> Result<Vec<u8>, DistributionError> {
        let version = self.image.digest().or(self.image.tag()).unwrap_or("latest");
        let answer = self.get(&format!("{}/manifests/{version}", self.image.repository()), &manifest::ACCEPTED.join(", ")).await?;
        let too_long = || DistributionError::NoPlugin { why: format!("its manifest has more than {}", readable(manifest::MOST as u64)) };
        self.whole(answer, manifest::MOST).await?.ok_or_else(too_long)
    }

    async fn get_component(&self, layer: &Layer) -> Result<Vec<u8>, DistributionError> {
        let answer = self.get(&format!("{}/blobs/sha256:{}", self.image.repository(), layer.digest), "*/*").await?;
        let too_long = || DistributionError::Digest { why: format!("it is longer than the {} bytes of the manifest", layer.size) };
        let bytes = self.whole(answer, usize::try_from(layer.size).unwrap_or(usize::MAX)).await?.ok_or_else(too_long)?;
        let found = Digest::of(&bytes).hex();
        if found != layer.digest {
            return Err(DistributionError::Digest { why: format!("{} was asked for, {found} came", layer.digest) });
        }
        Ok(bytes)
    }

    /// A good answer of the registry's, not read yet.
    async fn get(&self, path: &str, accepted: &str) -> Result<Response, DistributionError> {
        let authorization = self.authorization().await?;
        let mut request = self.http.get(self.at(path)).header(ACCEPT, accepted);
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let answer = request.send().await.map_err(unreachable)?;
        if answer.status() == StatusCode::OK { Ok(answer) } else { Err(self.refusal(answer).await?) }
    }

    fn at(&self, path: &str) -> String {
        format!("{}://{}/v2/{path}", if self.plain { "http" } else { "https" }, self.image.resolve_registry())
    }

    /// What the registry wants to see, which it is asked for first.
    async fn authorization(&self) -> Result<Option<HeaderValue>, DistributionError> {
        let basic = match &self.credentials.auth {
            RegistryAuth::Bearer(token) => return Ok(Some(secret(&format!("Bearer {token}"))?)),
            RegistryAuth::Basic(user, password) => Some((user, password)),
            RegistryAuth::Anonymous => None,
        };
        let asked = self.http.get(self.at("")).send().await.map_err(unreachable)?;
        let Some(Challenge { realm, service }) = challenge(asked.headers()) else {
            // Without credentials it says itself what it wants.
            let wanted = basic.filter(|_| asked.headers().contains_key(WWW_AUTHENTICATE));
            return wanted.map(|(user, password)| basic_of(user, password)).transpose();
        };
        let refused = |said: &str| DistributionError::Refused { said: said.to_owned() };
        let mut keeper = Url::parse(&realm).map_err(|_| refused("it names no address to get a token from"))?;
        if keeper.scheme() != "https" && !self.plain {
            return Err(refused("it wants the token to be got without TLS"));
        }
        keeper.query_pairs_mut().append_pair("scope", &format!("repository:{}:pull", self.image.repository()));
        if let Some(service) = service {
            keeper.query_pairs_mut().append_pair("service", &service);
        }
        let mut request = self.http.get(keeper);
        if let Some((user, password)) = basic {
            request = request.header(AUTHORIZATION, basic_of(user, password)?);
        }
        let answer = request.send().await.map_err(unreachable)?;
        if answer.status() != StatusCode::OK {
            return Err(self.refusal(answer).await?);
        }
        let bytes = self.whole(answer, MOST_TOKEN).await?;
        let bytes = bytes.ok_or_else(|| refused(&format!("its token has more than {}", readable(MOST_TOKEN as u64))))?;
        let token: Token = serde_json::from_slice(&bytes).map_err(|_| refused("what should be a token is none"))?;
        match token.token.or(token.access_token) {
            Some(token) => Ok(Some(secret(&format!("Bearer {token}"))?)),
            None => Err(refused("what should be a token is none")),
        }
    }

    /// All that it says, or `None`: that is more than `most` bytes, and the rest was not read.
    async fn whole(&self, mut answer: Response, most: usize) -> Result<Option<Vec<u8>>, DistributionError> {
        let mut bytes = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(unreachable)? {
            if piece.len() > most - bytes.len() {
                return Ok(None);
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(Some(bytes))
    }

    /// What it says instead.
    async fn refusal(&self, answer: Response) -> Result<DistributionError, DistributionError> {
        let (status, url) = (answer.status(), String::new());
        let said = self.whole(answer, MOST_REFUSAL).await?.unwrap_or_default();
        let error = match serde_json::from_slice::<OciEnvelope>(&said) {
            _ if status == StatusCode::UNAUTHORIZED => OciDistributionError::UnauthorizedError { url },
            Ok(envelope) if status.is_client_error() => OciDistributionError::RegistryError { envelope, url },
            _ => OciDistributionError::ServerError { code: status.as_u16(), url, message: String::from_utf8_lossy(&said).into_owned() },
        };
        Ok(DistributionError::of_client(error, &self.credentials.who))
    }
}

/// A token, as its keeper says it.
#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

fn client(access: &RegistryAccess) -> Result<reqwest::Client, DistributionError> {
    flagpost_exporter::install_crypto();
    let failed = |why: reqwest::Error| DistributionError::Client { why: chain_without_url(why) };
    let authorities = registry::authorities(access)?;
    let authorities: Vec<_> = authorities.iter().map(|der| Certificate::from_der(der)).collect::<Result<_, _>>().map_err(failed)?;
    let client = reqwest::Client::builder().tls_certs_merge(authorities).connect_timeout(CONNECT).read_timeout(SILENCE);
    client.user_agent(concat!("flagpost/", env!("CARGO_PKG_VERSION"))).build().map_err(failed)
}

async fn within<T>(most: Duration, call: impl Future<Output = Result<T, DistributionError>>) -> Result<T, DistributionError> {
    let late = |_| Err(DistributionError::Unreachable { why: format!("no whole answer within {} s", most.as_secs()) });
    timeout(most, call).await.unwrap_or_else(late)
}

fn unreachable(why: reqwest::Error) -> DistributionError {
    DistributionError::Unreachable { why: chain_without_url(why) }
}

fn basic_of(user: &str, password: &str) -> Result<HeaderValue, DistributionError> {
    use base64::Engine as _;
    secret(&format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"))))
}

/// A header's value that nobody prints.
fn secret(text: &str) -> Result<HeaderValue, DistributionError> {
    let value = HeaderValue::from_str(text);
    let mut value =
        value.map_err(|_| DistributionError::Refused { said: "its token has characters that no header may have".to_owned() })?;
    value.set_sensitive(true);
    Ok(value)
}

/// Who gives out tokens.
#[derive(Debug, PartialEq, Eq)]
struct Challenge {
    realm: String,
    service: Option<String>,
}

/// What `WWW-Authenticate: Bearer realm="…",service="…"` asks for.
fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()).find_map(bearer)
}

fn bearer(value: &str) -> Option<Challenge> {
    let (scheme, mut rest) = value.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (mut realm, mut service) = (None, None);
    while let Some((key, value)) = rest.trim_start_matches([' ', ',']).split_once('=') {
        let (found, after) = match value.strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let (word, after) = value.split_once(',').unwrap_or((value, ""));
                (word.trim().to_owned(), after)
            }
        };
        match key.trim().to_ascii_lowercase().as_str() {
            "realm" => realm = Some(found),
            "service" => service = Some(found),
            _ => {}
        }
        rest = after;
    }
    Some(Challenge { realm: realm?, service })
}

/// A quoted text without its first quote, and what comes after its last one.
fn unquoted(quoted: &str) -> Option<(String, &str)> {
    let (mut text, mut letters) = (String::new(), quoted.char_indices());
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((text, &quoted[at + 1..])),
            '\\' => text.push(letters.next()?.1),
            letter => text.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests;
