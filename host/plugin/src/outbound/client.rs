//! The client itself.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flagpost_exporter::{Secret, chain_without_url};
use reqwest::Proxy;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use url::Url;

use super::Way;
use super::resolver::CheckedResolver;

/// Idle connections kept per destination: an instance makes one request at a time, or few.
const IDLE_PER_HOST: usize = 8;

/// Below the 60 s after which common servers and load balancers close.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where environments name proxies.
const PROXIES: [&str; 6] = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

pub(super) fn build(way: &Way) -> Result<reqwest::Client, String> {
    let http = &way.http;
    let proxy = http.proxy.as_ref().map(Secret::reveal);
    // The operator named the proxy, so its own address is not judged.
    let proxies: Vec<String> = match proxy {
        None => Vec::new(),
        Some("env") => PROXIES.iter().filter_map(|name| host_of(&std::env::var(name).ok()?)).collect(),
        Some(url) => host_of(url).into_iter().collect(),
    };
    let resolver = Arc::new(CheckedResolver::new(Arc::clone(&way.policy), Arc::clone(&way.resolver), proxies));
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls(way)?)
        .user_agent(concat!("flagpost/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_max_idle_per_host(IDLE_PER_HOST)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .dns_resolver(resolver);
    builder = match proxy {
        None => builder.no_proxy(),
        Some("env") => builder,
        // Its text may hold a password.
        Some(url) => builder.no_proxy().proxy(Proxy::all(url).map_err(|_| "http.proxy cannot be used; expected `http://proxy:3128`")?),
    };
    builder.build().map_err(chain_without_url)
}

/// Whom the client trusts and who it is. TLS sessions are its own; the system's authorities are read once for all plugins.
fn tls(way: &Way) -> Result<ClientConfig, String> {
    let http = &way.http;
    let mut authorities = way.authorities.of_system();
    if let Some(path) = &http.ca {
        let trusted = Arc::make_mut(&mut authorities);
        for own in certificates(path, "ca")? {
            trusted
                .add(own)
                .map_err(|why| format!("{} (key `http.tls.ca`) has a certificate that cannot be used: {why}", path.display()))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let trusting = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|why| why.to_string())?
        .with_root_certificates(authorities);
    let mut tls = match (&http.cert, &http.key) {
        (Some(cert), Some(key)) => {
            let none = || {
                let (cert, key) = (cert.display(), key.display());
                format!("{cert} and {key} (keys `http.tls.cert` and `http.tls.key`) are no certificate with its key in PEM")
            };
            let chain = certificates(cert, "cert")?;
            let key = PrivateKeyDer::from_pem_slice(&read(key, "key")?).map_err(|_| none())?;
            trusting.with_client_auth_cert(chain, key).map_err(|_| none())?
        }
        _ => trusting.with_no_client_auth(),
    };
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(tls)
}

fn host_of(url: &str) -> Option<String> {
    let url = if url.contains("://") { Url::parse(url) } else { Url::parse(&format!("http://{url}")) };
    Some(url.ok()?.host_str()?.to_ascii_lowercase())
}

fn read(path: &Path, key: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|why| format!("{} (key `http.tls.{key}`) cannot be read: {why}", path.display()))
}

fn certificates(path: &Path, key: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read(path, key)?;
    match CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>() {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(format!("{} (key `http.tls.{key}`) has no certificate in PEM", path.display())),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_proxys_host_is_found_with_and_without_a_scheme() {
        for (url, host) in [("http://u:p@Proxy:3128", Some("proxy")), ("proxy:3128", Some("proxy")), ("", None)] {
            assert_eq!(super::host_of(url).as_deref(), host, "{url}");
        }
    }
}
