//! Redirects. Upstream follows 301 to 303 with an empty GET and takes 307 and 308 for success: events gone. Here the same POST goes to the
//! new place, but only to the same host: nothing else was named by the operator, and batches, signature and headers are not for others.

use reqwest::StatusCode;
use url::Url;

use crate::ExportError;

use super::config::shown;

/// Most redirects that are followed for one batch.
pub(super) const MOST_HOPS: usize = 5;

/// Whether the reply sends the POST elsewhere.
pub(super) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Where the POST goes next.
pub(super) fn next(from: &Url, location: Option<&str>, hop: usize) -> Result<Url, ExportError> {
    let misconfigured = |what: String| Err(ExportError::misconfigured(format!("{} {what}", shown(from))));
    let Some(location) = location else {
        return misconfigured("redirects without saying where to: check `endpointUrl`".to_owned());
    };
    let Ok(mut to) = from.join(location) else {
        return misconfigured("redirects to what is no URL: check `endpointUrl`".to_owned());
    };
    if hop >= MOST_HOPS {
        return misconfigured(format!("redirects more than {MOST_HOPS} times, at last to {}: check `endpointUrl`", shown(&to)));
    }
    let same_port = to.port_or_known_default() == from.port_or_known_default() && to.scheme() == from.scheme();
    let upgraded = from.scheme() == "http" && to.scheme() == "https" && from.port().is_none() && to.port().is_none();
    if to.host() != from.host() || !(same_port || upgraded) {
        let to = shown(&to);
        return misconfigured(format!("redirects to another server, {to}: if it is to get the events, set `endpointUrl` to its URL"));
    }
    // User and password of the URL stay with the server they are for.
    to.set_username(from.username()).ok();
    to.set_password(from.password()).ok();
    Ok(to)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_the_same_server_is_followed() {
        for (from, location, expected) in [
            ("http://h/a?x=1", "/b", Some("http://h/b")),
            ("http://h/a/", "b", Some("http://h/a/b")),
            ("http://h:8080/a", "http://h:8080/b", Some("http://h:8080/b")),
            ("http://h/a", "https://h/a", Some("https://h/a")),
            ("http://h/a", "http://h:80/b", Some("http://h/b")),
            ("http://u:p@h/a", "http://h/b", Some("http://u:p@h/b")),
            ("http://h/a", "//h/b", Some("http://h/b")),
            ("https://h/a", "http://h/a", None),
            ("http://h/a", "http://h:8080/a", None),
            ("http://h:8080/a", "https://h/a", None),
            ("http://h/a", "http://other/a", None),
            ("http://h/a", "//other/a", None),
            ("http://h/a", "ftp://h/a", None),
            ("http://h/a", "http://", None),
        ] {
            let to = next(&Url::parse(from).unwrap(), Some(location), 0);
            assert_eq!(to.as_ref().ok().map(Url::as_str), expected, "{from} {location}");
        }
    }

    #[test]
    fn refusals_name_the_place_without_its_secrets() {
        let from = Url::parse("http://u:hunter2@h/hunter2?token=hunter2").unwrap();
        for (location, hop) in
            [(Some("http://x:hunter2@other/hunter2?token=hunter2#hunter2"), 0), (Some("/b?hunter2"), MOST_HOPS), (None, 0)]
        {
            let error = next(&from, location, hop).unwrap_err();
            assert!(matches!(error, ExportError::Misconfigured { .. }));
            assert!(error.to_string().contains("http://h/…") && !error.to_string().contains("hunter2"), "{error}");
        }
    }
}
