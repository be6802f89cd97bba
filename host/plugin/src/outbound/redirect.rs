//! Where a redirect leads, and what may go along.
//!
//! A POST goes on as a POST or not at all: clients that make a GET of it on 301 and 302 lose the events in silence. So 307 and 308 keep
//! method and body, 303 asks for the result with a GET, 301 and 302 are followed for methods that carry nothing; anything else is the
//! guest's answer. To another origin no credentials go along that the guest wrote itself.

use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HeaderMap, HeaderValue, LOCATION};
use http::{Method, StatusCode};
use url::Url;

/// The next request.
pub(super) struct Hop {
    pub(super) method: Method,
    pub(super) url: Url,
    /// Whether the body goes along.
    pub(super) with_body: bool,
}

impl Hop {
    /// The hop that the answer to this one asks for; what may not go along is taken out of the guest's headers. `None`: it is the guest's answer.
    pub(super) fn after(&self, response: &reqwest::Response, headers: &mut HeaderMap) -> Option<Hop> {
        let location = response.headers().get(LOCATION).map(HeaderValue::as_bytes);
        let next = next(response.status(), location, &self.method, &self.url)?;
        strip(headers, &self.url, &next.url);
        let with_body = self.with_body && next.with_body;
        if !with_body {
            for name in [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LENGTH] {
                headers.remove(name);
            }
        }
        Some(Hop { with_body, ..next })
    }
}

/// Where the answer sends the request. `None`: nowhere, it is the answer.
fn next(status: StatusCode, location: Option<&[u8]>, method: &Method, url: &Url) -> Option<Hop> {
    let (method, with_body) = match status.as_u16() {
        307 | 308 => (method.clone(), true),
        303 => (if *method == Method::HEAD { Method::HEAD } else { Method::GET }, false),
        301 | 302 if matches!(*method, Method::GET | Method::HEAD) => (method.clone(), false),
        _ => return None,
    };
    let url = url.join(std::str::from_utf8(location?).ok()?).ok()?;
    Some(Hop { method, url, with_body })
}

/// Takes away what is not for another origin.
fn strip(headers: &mut HeaderMap, from: &Url, to: &Url) {
    if from.origin() != to.origin() {
        headers.remove(AUTHORIZATION);
        headers.remove(COOKIE);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_post_is_never_made_a_get_that_loses_its_body() {
        let url = Url::parse("https://in.acme.dev/v1/events").unwrap();
        let table = [
            (307, Method::POST, "/v2", Some((Method::POST, "https://in.acme.dev/v2", true))),
            (308, Method::PUT, "https://b.dev/", Some((Method::PUT, "https://b.dev/", true))),
            (303, Method::POST, "../done", Some((Method::GET, "https://in.acme.dev/done", false))),
            (303, Method::HEAD, "/done", Some((Method::HEAD, "https://in.acme.dev/done", false))),
            (301, Method::POST, "/v2", None),
            (302, Method::POST, "/v2", None),
            (302, Method::GET, "//b.dev/x", Some((Method::GET, "https://b.dev/x", false))),
            (304, Method::GET, "/v2", None),
            (200, Method::GET, "/v2", None),
            (307, Method::POST, "http://[", None),
        ];
        for (status, method, location, expected) in table {
            let hop = next(StatusCode::from_u16(status).unwrap(), Some(location.as_bytes()), &method, &url);
            let hop = hop.map(|hop| (hop.method, hop.url.to_string(), hop.with_body));
            assert_eq!(hop, expected.map(|(method, url, body)| (method, url.to_owned(), body)), "{status} {location}");
        }
        assert!(next(StatusCode::TEMPORARY_REDIRECT, None, &Method::GET, &url).is_none());
    }

    #[test]
    fn credentials_stay_with_their_origin() {
        let [one, same, other] = ["https://a.dev/x", "https://a.dev:443/y", "https://a.dev:8443/y"].map(|url| Url::parse(url).unwrap());
        let mut headers: HeaderMap = [(AUTHORIZATION, "k".parse().unwrap()), (COOKIE, "c".parse().unwrap())].into_iter().collect();
        strip(&mut headers, &one, &same);
        assert_eq!(headers.len(), 2);
        strip(&mut headers, &one, &other);
        assert!(headers.is_empty());
    }
}
