//! One request's way to the collector, over either protocol.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use flagpost_event::Clock;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

use crate::ExportError;

use super::config::{OtlpConfig, Protocol, shown};
use super::grpc::Grpc;
use super::http::Http;
use super::outcome::accepted;

/// What this program calls itself.
pub(super) const USER_AGENT: &str = concat!("flagpost/", env!("CARGO_PKG_VERSION"));

pub(super) struct Client {
    way: Way,
    shown: String,
    timeout: Duration,
}

enum Way {
    Grpc(Box<Grpc>),
    Http(Http),
}

impl fmt::Debug for Client {
    /// Neither headers nor paths, which may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("endpoint", &self.shown).finish_non_exhaustive()
    }
}

impl Client {
    /// Connects to nothing.
    pub(super) fn new(config: &OtlpConfig) -> Result<Client, String> {
        crate::install_crypto();
        let way = match config.protocol {
            Protocol::Grpc => Way::Grpc(Box::new(Grpc::new(config)?)),
            Protocol::Http => Way::Http(Http::new(config)?),
        };
        Ok(Client { way, shown: shown(&config.endpoint), timeout: config.timeout })
    }

    /// Sends a request of so many spans and waits for the answer.
    pub(super) async fn send(&self, message: ExportTraceServiceRequest, spans: usize, clock: &dyn Clock) -> Result<(), ExportError> {
        let sending = async {
            match &self.way {
                Way::Grpc(grpc) => grpc.send(message).await,
                Way::Http(http) => http.send(&message, clock).await,
            }
        };
        let answer = match tokio::time::timeout(self.timeout, sending).await {
            Ok(answer) => answer,
            Err(_) => {
                if let Way::Grpc(grpc) = &self.way {
                    // A connection to somebody who is gone without a word looks like a slow one: the next attempt has another.
                    grpc.forget();
                }
                Err(ExportError::retryable(format!("no answer within {} s", self.timeout.as_secs_f64())))
            }
        };
        answer.and_then(|partial| accepted(partial, spans)).map_err(|error| self.told(error))
    }

    /// The error with the address in front.
    fn told(&self, error: ExportError) -> ExportError {
        let at = |reason: String| format!("{}: {reason}", self.shown);
        match error {
            ExportError::Retryable { reason, after } => ExportError::Retryable { reason: at(reason), after },
            ExportError::Rejected { reason } => ExportError::Rejected { reason: at(reason) },
            ExportError::Misconfigured { reason } => ExportError::Misconfigured { reason: at(reason) },
            other => other,
        }
    }
}

/// No answer at all. A certificate that does not hold is for somebody to correct; all else may pass.
pub(super) fn unreachable(what: &str, cause: Option<&dyn Error>) -> ExportError {
    let mut text = what.to_owned();
    let mut cause = cause;
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    let lower = text.to_ascii_lowercase();
    if lower.contains("certificate") || lower.contains("corrupt message") {
        return ExportError::misconfigured(format!("{text}: check `tls.caFile` and whether the endpoint begins with `https:`"));
    }
    if ["http2 error", "connection closed", "connection error", "frame with invalid size", "invalid http version", "unexpected message"]
        .iter()
        .any(|sign| lower.contains(sign))
    {
        text.push_str(": is `protocol` the one that is spoken there? Usually 4317 is gRPC, 4318 is http/protobuf");
    }
    ExportError::retryable(text)
}
