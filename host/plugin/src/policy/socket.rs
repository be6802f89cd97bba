//! The grammar of sockets: `tcp://host:port`, nothing else. A name grants what it resolves into, as far as addresses go (see
//! [`Policy::check_address`](super::Policy::check_address)); a literal address grants itself. Metadata services are never granted.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use url::{Host, Url};

use super::{Verdict, address, judge, rule};

/// One entry of `allowedSockets`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SocketRule {
    host: Host<String>,
    port: u16,
}

impl SocketRule {
    /// Whether it is this literal address.
    pub(crate) fn is(&self, to: SocketAddr) -> bool {
        let literal = match self.host {
            Host::Ipv4(address) => IpAddr::V4(address),
            Host::Ipv6(address) => IpAddr::V6(address),
            Host::Domain(_) => return false,
        };
        self.port == to.port() && literal == address::canonical(to.ip())
    }

    /// Whether it is this name.
    pub(crate) fn names(&self, name: &str) -> bool {
        let name = name.strip_suffix('.').unwrap_or(name);
        matches!(&self.host, Host::Domain(granted) if granted.eq_ignore_ascii_case(name))
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for SocketRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| Err(format!("`{text}` {why}; expected `tcp://host:port`, for example `tcp://redis:6379`"));
        let Some(rest) = text.trim().strip_prefix("tcp://") else { return wrong("is not `tcp://…`") };
        if rest.contains('*') {
            return wrong("has a `*`: sockets are granted one by one");
        }
        if rest.contains(['/', '?', '#', '@']) || rest.contains(char::is_whitespace) {
            return wrong("has more than a host and a port");
        }
        // As http, whose rules for hosts are the ones of `allowedHosts`; its default port must not be taken for a given one.
        let Some(port) = rest.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok()).filter(|port| *port > 0) else {
            return wrong("has no port");
        };
        let Ok(url) = Url::parse(&format!("http://{rest}/")) else { return wrong("has no host that can be read") };
        let Some(host) = url.host().map(rule::canonical_host) else { return wrong("has no host") };
        let literal = match host {
            Host::Ipv4(address) => Some(IpAddr::V4(address)),
            Host::Ipv6(address) => Some(IpAddr::V6(address)),
            Host::Domain(_) => None,
        };
        if literal.is_some_and(|literal| judge(literal) == Verdict::Metadata) {
            return wrong("is a cloud's metadata service, which no plugin may reach");
        }
        Ok(SocketRule { host, port })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_socket_is_granted_by_its_literal_address_or_its_name() {
        let rule: SocketRule = "tcp://10.0.0.1:6379".parse().unwrap();
        assert!(rule.is("10.0.0.1:6379".parse().unwrap()) && rule.is("[::ffff:10.0.0.1]:6379".parse().unwrap()));
        assert!(!rule.is("10.0.0.1:6380".parse().unwrap()) && !rule.is("10.0.0.2:6379".parse().unwrap()));
        let rule: SocketRule = "tcp://Redis.acme.dev:80".parse().unwrap();
        assert!(rule.names("redis.acme.dev") && rule.names("REDIS.acme.dev.") && !rule.names("evil.redis.acme.dev"));
        assert_eq!(rule.port(), 80);
        assert!("tcp://[::1]:6379".parse::<SocketRule>().unwrap().is("[::1]:6379".parse().unwrap()));
    }

    #[test]
    fn what_grants_too_much_or_cannot_be_read_is_refused() {
        let table = [
            ("redis:6379", "is not `tcp://"),
            ("udp://redis:53", "is not `tcp://"),
            ("tcp://redis", "has no port"),
            ("tcp://redis:0", "has no port"),
            ("tcp://redis:65536", "has no port"),
            ("tcp://*:6379", "has a `*`"),
            ("tcp://*.acme.dev:6379", "has a `*`"),
            ("tcp://u:p@redis:6379", "more than a host and a port"),
            ("tcp://redis:6379/0", "more than a host and a port"),
            ("tcp://:6379", "no host"),
            ("tcp://169.254.169.254:80", "metadata"),
            ("tcp://[::ffff:169.254.169.254]:80", "metadata"),
        ];
        for (text, expected) in table {
            let error = text.parse::<SocketRule>().unwrap_err();
            assert!(error.contains(expected) && error.contains("tcp://redis:6379"), "{text}: {error}");
        }
    }
}
