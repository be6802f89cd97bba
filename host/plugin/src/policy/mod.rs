//! What a plugin may reach over HTTP. Pure rules, no I/O: names here, addresses in [`address`].
//!
//! Two checks, both needed. The *name* check compares a request with the operator's `allowedHosts` before anything is resolved. The
//! *address* check judges every address that a granted name resolves into: otherwise whoever owns the name's DNS reaches the operator's
//! private network through the relay. A literal address skips the resolver, so it is judged here.

mod address;
mod rule;
mod socket;

pub(crate) use address::{Verdict, canonical, judge};
pub(crate) use rule::HostRule;
pub(crate) use socket::SocketRule;

use std::net::IpAddr;

use http::Method;
use ipnet::IpNet;
use url::{Host, Url};

/// What one plugin is granted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policy {
    rules: Vec<HostRule>,
    networks: Vec<IpNet>,
}

impl Policy {
    pub(crate) fn new(rules: Vec<HostRule>, networks: Vec<IpNet>) -> Self {
        Policy { rules, networks }
    }

    /// Whether nothing is granted.
    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether a request may be made. The answer says what to write into the configuration when not.
    pub(crate) fn check(&self, method: &Method, url: &Url) -> Result<(), Denial> {
        let target = Target::of(url)?;
        // First, so that nobody is told how to grant what no grant opens.
        match &target.host {
            Host::Ipv4(address) => refuse_metadata((*address).into())?,
            Host::Ipv6(address) => refuse_metadata((*address).into())?,
            // By its name it is refused, too: behind a proxy nobody here sees the address.
            Host::Domain(name) if METADATA_NAMES.contains(&name.as_str()) => return Err(Denial::MetadataName { name: name.clone() }),
            Host::Domain(_) => {}
        }
        // A literal address that a rule names is meant, a private one, too: wildcards match names only.
        if self.rules.iter().any(|rule| rule.matches(method, &target)) {
            return Ok(());
        }
        let near = self.rules.iter().any(|rule| rule.matches_any_method(&target));
        Err(if near {
            Denial::Method { method: method.clone(), origin: target.origin() }
        } else {
            Denial::Host { method: method.clone(), origin: target.origin() }
        })
    }

    /// Whether `name`, granted by [`check`](Self::check), may be reached at `address`.
    pub(crate) fn check_address(&self, name: &str, address: IpAddr) -> Result<(), Denial> {
        match judge(address) {
            Verdict::Public => Ok(()),
            Verdict::Metadata => Err(Denial::Metadata { address }),
            Verdict::Private(_) if self.networks.iter().any(|network| network.contains(&address::canonical(address))) => Ok(()),
            Verdict::Private("loopback") if is_localhost(name) => Ok(()),
            Verdict::Private(what) => Err(Denial::Address { name: name.to_owned(), address, what }),
        }
    }
}

/// Names of metadata services, as the clouds' documentation has them.
const METADATA_NAMES: [&str; 5] =
    ["metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal", "metadata.tencentyun.com"];

fn refuse_metadata(address: IpAddr) -> Result<(), Denial> {
    if judge(address) == Verdict::Metadata { Err(Denial::Metadata { address }) } else { Ok(()) }
}

fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
}

/// A request's destination in the form that rules are compared with.
#[derive(Debug)]
pub(crate) struct Target {
    scheme: String,
    host: Host<String>,
    port: u16,
}

impl Target {
    pub(crate) fn of(url: &Url) -> Result<Self, Denial> {
        let not_http = || Denial::NotHttp { scheme: url.scheme().to_owned() };
        if !matches!(url.scheme(), "http" | "https") {
            return Err(not_http());
        }
        let host = rule::canonical_host(url.host().ok_or_else(not_http)?);
        let port = url.port_or_known_default().ok_or_else(not_http)?;
        Ok(Target { scheme: url.scheme().to_owned(), host, port })
    }

    /// `https://in.acme.dev`, `http://127.0.0.1:9000`: what goes into `allowedHosts`.
    pub(crate) fn origin(&self) -> String {
        let default = if self.scheme == "https" { 443 } else { 80 };
        if self.port == default {
            format!("{}://{}", self.scheme, self.host)
        } else {
            format!("{}://{}:{}", self.scheme, self.host, self.port)
        }
    }
}

/// Why a request is refused. The text holds the YAML to paste.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denial {
    #[error("{method} {origin} is not granted; to grant it, add to this exporter: allowedHosts: [ \"{method} {origin}\" ]")]
    Host { method: Method, origin: String },
    #[error("{origin} is granted, but not for {method}; to grant it, add to this exporter: allowedHosts: [ \"{method} {origin}\" ]")]
    Method { method: Method, origin: String },
    #[error(
        "`{name}` resolves to {address}, a {what} address, which names may not lead to; if it is meant, add to this exporter: allowedNetworks: [ \"{}\" ]",
        IpNet::from(*address)
    )]
    Address { name: String, address: IpAddr, what: &'static str },
    #[error("{address} is a cloud's metadata service, which no plugin may reach")]
    Metadata { address: IpAddr },
    #[error("`{name}` is a cloud's metadata service, which no plugin may reach")]
    MetadataName { name: String },
    #[error(
        "the secret `{name}` is not for {method} {origin}; if it is, add \"{method} {origin}\" to the list secrets.{name}.hosts of this exporter"
    )]
    Secret { name: String, method: Method, origin: String },
    #[error(
        "the placeholder of the secret `{name}` stands in {place}; it is replaced in header values only: send it in a header, or give the plugin the secret itself (as: reveal)"
    )]
    SecretPlace { name: String, place: &'static str },
    #[error("a secret has characters that no header may have; look for line feeds in it")]
    SecretValue,
    #[error("tcp://{to} is not granted; to grant it, add to this exporter: allowedSockets: [ \"tcp://{to}\" ]")]
    Socket { to: String },
    #[error(
        "looking up `{name}` is not granted: only names in `allowedSockets` are looked up; add to this exporter: allowedSockets: [ \"tcp://{name}:PORT\" ]"
    )]
    LookUp { name: String },
    #[error("the scheme `{scheme}` is not served; expected http or https")]
    NotHttp { scheme: String },
}

#[cfg(test)]
mod tests;
