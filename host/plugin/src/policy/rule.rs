//! The one host grammar: `[METHOD[,METHOD] ]scheme://host[:port]`.

use std::fmt;
use std::str::FromStr;

use http::Method;
use url::{Host, Url};

use super::{Target, address};

/// One entry of `allowedHosts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostRule {
    /// Empty: every method.
    methods: Vec<Method>,
    scheme: String,
    grant: Grant,
    port: u16,
}

/// The hosts a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Grant {
    /// Exactly this name or address.
    Exact(Host<String>),
    /// Every name below this one, at any depth, not the name itself. Written `*.suffix`; held with its leading dot.
    Below(String),
}

impl HostRule {
    pub(crate) fn matches(&self, method: &Method, target: &Target) -> bool {
        (self.methods.is_empty() || self.methods.contains(method)) && self.matches_any_method(target)
    }

    pub(crate) fn matches_any_method(&self, target: &Target) -> bool {
        self.scheme == target.scheme
            && self.port == target.port
            && match (&self.grant, &target.host) {
                (Grant::Exact(host), wanted) => host == wanted,
                (Grant::Below(suffix), Host::Domain(name)) => name.len() > suffix.len() && name.ends_with(suffix.as_str()),
                (Grant::Below(_), _) => false,
            }
    }
}

/// Names in lower case without a root dot, IPv4 out of its IPv6 disguises: equal destinations compare equal.
pub(super) fn canonical_host(host: Host<&str>) -> Host<String> {
    match host {
        Host::Domain(name) => Host::Domain(name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()),
        Host::Ipv4(v4) => Host::Ipv4(v4),
        Host::Ipv6(v6) => match address::canonical(v6.into()) {
            std::net::IpAddr::V4(v4) => Host::Ipv4(v4),
            std::net::IpAddr::V6(v6) => Host::Ipv6(v6),
        },
    }
}

/// A rule that cannot be read: what is wrong and what to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RuleError(String);

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; expected `[METHOD[,METHOD] ]scheme://host[:port]`, for example `POST https://in.acme.dev`", self.0)
    }
}

fn error<T>(text: impl Into<String>) -> Result<T, RuleError> {
    Err(RuleError(text.into()))
}

impl FromStr for HostRule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let (methods, origin) = match text.trim().split_once(char::is_whitespace) {
            Some((methods, origin)) => (parse_methods(methods)?, origin.trim_start()),
            None => (Vec::new(), text.trim()),
        };
        if origin.contains(char::is_whitespace) {
            return error(format!("`{text}` has more than a method list and an origin"));
        }
        let Some((scheme, authority)) = origin.split_once("://") else {
            return error(format!("`{origin}` has no scheme"));
        };
        if !matches!(scheme, "http" | "https") {
            return error(format!("scheme `{scheme}` in `{text}` is not http or https"));
        }
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        if let Some(extra) = authority.find(['/', '?', '#']) {
            return error(format!("`{}` in `{text}`: a rule names no path or query", &authority[extra..]));
        }
        if authority.contains('@') {
            return error(format!("`{scheme}://…@…`: a rule names no user or password"));
        }
        let (wildcard, rest) = match authority.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, authority),
        };
        if rest.contains('*') {
            return error(format!("`{authority}`: `*` stands only at the start, before a dot (`*.acme.dev`); a bare `*` is refused"));
        }
        let url = Url::parse(&format!("{scheme}://{rest}/")).or_else(|why| error(format!("`{authority}` is no host: {why}")))?;
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return error(format!("`{authority}` is no host"));
        };
        let grant = match (wildcard, canonical_host(host)) {
            (false, host) => Grant::Exact(host),
            (true, Host::Domain(suffix)) if suffix.contains('.') => Grant::Below(format!(".{suffix}")),
            (true, Host::Domain(suffix)) => return error(format!("`*.{suffix}` covers a whole top-level domain")),
            (true, _) => return error(format!("`{authority}`: `*.` goes before a name, not an address")),
        };
        Ok(HostRule { methods, scheme: scheme.to_owned(), grant, port })
    }
}

fn parse_methods(text: &str) -> Result<Vec<Method>, RuleError> {
    text.split(',')
        .map(|name| match Method::from_bytes(name.as_bytes()) {
            Ok(method) if !name.chars().any(|c| c.is_ascii_lowercase()) => Ok(method),
            Ok(_) => error(format!("method `{name}` is not upper case: write `{}`", name.to_ascii_uppercase())),
            Err(_) => error(format!("`{name}` is no HTTP method")),
        })
        .collect()
}
