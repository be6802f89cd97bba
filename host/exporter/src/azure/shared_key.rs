//! Requests signed with an account's key: Azure Storage's "Shared Key" scheme, of which Microsoft's library for Rust has nothing.
//!
//! The signature is over the method, the standard headers in a fixed order, all `x-ms-` headers sorted, and the resource: the account, the path
//! as it is sent, and the query decoded and sorted. It is made anew for each try, because it holds the time.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::credentials::Secret;
use azure_core::hmac::hmac_sha256;
use azure_core::http::headers::{AUTHORIZATION, MS_DATE};
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{Context, Request};
use flagpost_event::Clock;

/// What stands between the method and the `x-ms-` headers, in this order; the content's length is the third.
const SIGNED: [&str; 11] = [
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
];

/// Whether it is a key at all.
pub(super) fn is_key(text: &str) -> bool {
    !text.is_empty() && azure_core::base64::decode(text).is_ok()
}

/// Signs each request.
#[derive(Debug)]
pub(super) struct SharedKey {
    account: String,
    key: Secret,
    clock: Arc<dyn Clock>,
}

impl SharedKey {
    pub(super) fn new(account: String, key: &crate::Secret, clock: Arc<dyn Clock>) -> Self {
        SharedKey { account, key: Secret::new(key.reveal().to_owned()), clock }
    }
}

// With a lifetime written down it would be another function than the trait's.
#[allow(elided_lifetimes_in_paths)]
#[async_trait]
impl Policy for SharedKey {
    async fn send(&self, context: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        request.insert_header(MS_DATE, httpdate::fmt_http_date(self.clock.now()));
        let signature = hmac_sha256(&to_sign(&self.account, request), &self.key)?;
        request.insert_header(AUTHORIZATION, format!("SharedKey {}:{signature}", self.account));
        match next.split_first() {
            Some((policy, rest)) => policy.send(context, request, rest).await,
            None => Err(azure_core::Error::with_message(azure_core::error::ErrorKind::Other, "no transport")),
        }
    }
}

fn to_sign(account: &str, request: &Request) -> String {
    let headers: Vec<(String, &str)> =
        request.headers().iter().map(|(name, value)| (name.as_str().to_ascii_lowercase(), value.as_str())).collect();
    let value = |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map_or("", |(_, value)| value.trim());
    let mut text = request.method().as_str().to_owned();
    for name in SIGNED {
        text.push('\n');
        match name {
            "content-length" => {
                // None is as good as nothing.
                if let Some(length) = request.body().len().filter(|length| *length > 0) {
                    text.push_str(&length.to_string());
                }
            }
            name => text.push_str(value(name)),
        }
    }
    text.push('\n');
    let mut own: Vec<_> = headers.iter().filter(|(name, _)| name.starts_with("x-ms-")).collect();
    own.sort();
    for (name, value) in own {
        text.push_str(&format!("{name}:{}\n", value.trim()));
    }
    text.push_str(&format!("/{account}{}", request.url().path()));
    let mut query: Vec<(String, String)> =
        request.url().query_pairs().map(|(name, value)| (name.to_ascii_lowercase(), value.into_owned())).collect();
    query.sort();
    for (name, value) in query {
        text.push_str(&format!("\n{name}:{value}"));
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use azure_core::http::Method;

    use super::*;

    #[test]
    fn what_is_signed_is_what_azures_documentation_says() {
        let url = "https://myaccount.blob.core.windows.net/mycontainer/a%2Fb?comp=block&BlockId=a%3D%3D".parse().unwrap();
        let mut request = Request::new(url, Method::Put);
        request.insert_header("x-ms-version", "2015-02-21");
        request.insert_header("x-ms-meta-b", " two ");
        request.insert_header("x-ms-date", "Fri, 26 Jun 2015 23:39:12 GMT");
        request.insert_header("if-none-match", "*");
        request.insert_header("content-type", "application/octet-stream");
        request.set_body(b"body".to_vec());
        let expected = "PUT\n\n\n4\n\napplication/octet-stream\n\n\n\n*\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-meta-b:two\nx-ms-version:2015-02-21\n/myaccount/mycontainer/a%2Fb\nblockid:a==\ncomp:block";
        assert_eq!(to_sign("myaccount", &request), expected);
        let bare = Request::new("http://127.0.0.1:10000/dev/c".parse().unwrap(), Method::Head);
        assert_eq!(to_sign("dev", &bare), "HEAD\n\n\n\n\n\n\n\n\n\n\n\n/dev/dev/c");
    }

    #[test]
    fn a_key_is_base64() {
        assert!(is_key("a2V5") && !is_key("not base64!") && !is_key(""));
    }
}
