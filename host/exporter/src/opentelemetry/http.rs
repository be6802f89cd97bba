//! OTLP over HTTP, in protobuf.

use std::error::Error;
use std::time::Duration;

use flagpost_event::Clock;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse};
use prost::Message;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Certificate, Identity};
use url::Url;

use crate::ExportError;
use crate::webhook::{one_line, retry_after};

use super::client::{USER_AGENT, unreachable};
use super::config::OtlpConfig;
use super::outcome::{foreign, reply};

const PROTOBUF: &str = "application/x-protobuf";

/// An answer is read this far: a number and a sentence.
const MOST_READ: usize = 64 << 10;

/// An idle connection is not used again after this long: collectors and what stands before them close theirs after a minute or more.
const IDLE: Duration = Duration::from_secs(30);

pub(super) struct Http {
    client: reqwest::Client,
    url: Url,
    headers: HeaderMap,
}

impl Http {
    pub(super) fn new(config: &OtlpConfig) -> Result<Http, String> {
        let failed = |error: reqwest::Error| format!("no HTTP client can be made: {}", text(&error.without_url()));
        let mut builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).user_agent(USER_AGENT);
        builder = builder.connect_timeout(config.timeout).pool_idle_timeout(IDLE);
        if let Some(pem) = &config.tls.authorities {
            builder = builder.tls_certs_only(Certificate::from_pem_bundle(pem).map_err(failed)?);
        }
        if let Some((certificate, key)) = &config.tls.identity {
            builder = builder.identity(Identity::from_pem(&[certificate.as_slice(), b"\n", key].concat()).map_err(failed)?);
        }
        let mut headers = config.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROTOBUF));
        Ok(Http { client: builder.build().map_err(failed)?, url: config.endpoint.clone(), headers })
    }

    pub(super) async fn send(
        &self,
        message: &ExportTraceServiceRequest,
        clock: &dyn Clock,
    ) -> Result<Option<ExportTracePartialSuccess>, ExportError> {
        let request = self.client.post(self.url.clone()).headers(self.headers.clone()).body(message.encode_to_vec());
        let failed = |error: reqwest::Error| {
            let error = error.without_url();
            unreachable(&error.to_string(), error.source())
        };
        let answer = request.send().await.map_err(failed)?;
        let status = answer.status();
        let header = |name: HeaderName| answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let (kind, wish) = (header(CONTENT_TYPE), header(RETRY_AFTER));
        let after = retry_after(&wish, clock.now());
        let body = match beginning(answer).await {
            Ok(body) => body,
            // What was decided is in the status; of a success, how much of it is in the body.
            Err(error) if status.is_success() => return Err(failed(error)),
            Err(_) => Vec::new(),
        };
        if !status.is_success() {
            return Err(reply(status, after, &said(&kind, &body)));
        }
        partial_success(&kind, &body).ok_or_else(|| foreign(status, &kind, &one_line(&body)))
    }
}

async fn beginning(mut answer: reqwest::Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() >= MOST_READ {
            break;
        }
    }
    Ok(body)
}

/// What a success says besides.
type Said = Option<ExportTracePartialSuccess>;

/// What a success says; `None`: it is no answer of an OTLP server.
fn partial_success(kind: &str, body: &[u8]) -> Option<Said> {
    if kind.starts_with(PROTOBUF) || body.is_empty() {
        return ExportTraceServiceResponse::decode(body).ok().map(|answer| answer.partial_success);
    }
    if !kind.starts_with("application/json") {
        return None;
    }
    // Some servers answer in JSON whatever they were asked in. 64-bit numbers are texts there.
    let answer: serde_json::Value = serde_json::from_slice(body).ok()?;
    let partial = &answer.as_object()?.get("partialSuccess").filter(|partial| !partial.is_null());
    Some(partial.map(|partial| {
        let rejected = &partial["rejectedSpans"];
        ExportTracePartialSuccess {
            rejected_spans: rejected.as_i64().or_else(|| rejected.as_str()?.parse().ok()).unwrap_or(0),
            error_message: partial["errorMessage"].as_str().unwrap_or_default().to_owned(),
        }
    }))
}

/// The sentence of a failure: OTLP servers send a `google.rpc.Status`.
fn said(kind: &str, body: &[u8]) -> String {
    if kind.starts_with(PROTOBUF)
        && let Ok(status) = tonic_types::Status::decode(body)
    {
        return one_line(status.message.as_bytes());
    }
    one_line(body)
}

fn text(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partial(rejected_spans: i64, error_message: &str) -> Option<ExportTracePartialSuccess> {
        Some(ExportTracePartialSuccess { rejected_spans, error_message: error_message.to_owned() })
    }

    #[test]
    fn what_a_success_says_is_read_in_both_forms_and_a_stranger_is_recognised() {
        let protobuf = ExportTraceServiceResponse { partial_success: partial(3, "too old") }.encode_to_vec();
        let table: [(&str, &[u8], Option<Said>); 9] = [
            ("", b"", Some(None)),
            (PROTOBUF, b"", Some(None)),
            (PROTOBUF, &protobuf, Some(partial(3, "too old"))),
            ("application/json", b"{}", Some(None)),
            ("application/json", b"{\"partialSuccess\":{}}", Some(partial(0, ""))),
            ("application/json", b"{\"partialSuccess\":{\"rejectedSpans\":\"2\",\"errorMessage\":\"no\"}}", Some(partial(2, "no"))),
            ("application/json", b"[]", None),
            (PROTOBUF, b"<html>", None),
            ("text/html", b"<html>welcome</html>", None),
        ];
        for (kind, body, expected) in table {
            assert_eq!(partial_success(kind, body), expected, "{kind} {}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn the_sentence_of_a_failure_is_found() {
        let status = tonic_types::Status { code: 3, message: "bad span\nid".to_owned(), details: Vec::new() };
        assert_eq!(said(PROTOBUF, &status.encode_to_vec()), "bad span id");
        assert_eq!(said("text/plain", b" slow\r\ndown "), "slow  down");
    }
}
