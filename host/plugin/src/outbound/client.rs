//! The client itself.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flagpost_exporter::{Secret, chain_without_url};
use reqwest::{Certificate, Identity, Proxy};
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
    // A second provider of a program that embeds us is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    let http = &way.http;
    let proxy = http.proxy.as_ref().map(Secret::reveal);
    // The operator named the proxy, so its own address is not judged.
    let proxies: Vec<String> = match proxy {
        None => Vec::new(),
        Some("env") => PROXIES.iter().filter_map(|name| host_of(&std::env::var(name).ok()?)).collect(),
        Some(url) => host_of(url).into_iter().collect(),
    };
    let resolver = Arc::new(CheckedResolver::new(Arc::clone(&way.policy), Arc::clone(&way.resolver), proxies));
    let authorities = http.ca.as_deref().map(|path| read(path, "ca").and_then(|pem| certificates(path, &pem))).transpose()?;
    let identity = match (&http.cert, &http.key) {
        (Some(cert), Some(key)) => Some(identity(cert, key)?),
        _ => None,
    };
    let builder = || -> Result<reqwest::ClientBuilder, String> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("flagpost/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .dns_resolver(Arc::clone(&resolver));
        builder = match proxy {
            None => builder.no_proxy(),
            Some("env") => builder,
            // Its text may hold a password.
            Some(url) => builder.no_proxy().proxy(Proxy::all(url).map_err(|_| "http.proxy cannot be used; expected `http://proxy:3128`")?),
        };
        if let Some(identity) = &identity {
            builder = builder.identity(identity.clone());
        }
        Ok(builder)
    };
    let own = authorities.unwrap_or_default();
    builder()?.tls_certs_merge(own.clone()).build().or_else(|why| {
        tracing::warn!(
            error = chain_without_url(why),
            "the system's certificates cannot be read: https will fail for plugins, but for their own http.tls.ca; install ca-certificates"
        );
        builder()?.tls_certs_only(own).build().map_err(chain_without_url)
    })
}

fn host_of(url: &str) -> Option<String> {
    let url = if url.contains("://") { Url::parse(url) } else { Url::parse(&format!("http://{url}")) };
    Some(url.ok()?.host_str()?.to_ascii_lowercase())
}

fn read(path: &Path, key: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|why| format!("{} (key `http.tls.{key}`) cannot be read: {why}", path.display()))
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<Certificate>, String> {
    match Certificate::from_pem_bundle(pem) {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(format!("{} (key `http.tls.ca`) has no certificate in PEM", path.display())),
    }
}

fn identity(cert: &Path, key: &Path) -> Result<Identity, String> {
    let mut pem = read(cert, "cert")?;
    pem.push(b'\n');
    pem.extend(read(key, "key")?);
    Identity::from_pem(&pem).map_err(|_| {
        format!("{} and {} (keys `http.tls.cert` and `http.tls.key`) are no certificate with its key in PEM", cert.display(), key.display())
    })
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
