//! OTLP over gRPC.

use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceRequest};
use tonic::metadata::MetadataMap;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic_types::StatusExt;

use crate::{ExportError, chain};

use super::client::{USER_AGENT, unreachable};
use super::config::OtlpConfig;
use super::outcome::status;

/// The most bytes of an answer: a number and a sentence.
const MOST_ANSWERED: usize = 64 << 10;

pub(super) struct Grpc {
    endpoint: Endpoint,
    /// Made with the first request: making one needs a runtime, and the configuration is read without.
    channel: Mutex<Option<Channel>>,
    metadata: MetadataMap,
}

impl Grpc {
    pub(super) fn new(config: &OtlpConfig) -> Result<Grpc, String> {
        let url = &config.endpoint;
        let origin = format!("{}://{}", url.scheme(), &url[url::Position::BeforeHost..url::Position::AfterPort]);
        let failed = |error: tonic::transport::Error| format!("no gRPC client can be made: {}", chain(&error));
        let mut endpoint = Endpoint::from_shared(origin)
            .and_then(|endpoint| endpoint.user_agent(USER_AGENT))
            .map_err(failed)?
            .connect_timeout(config.timeout);
        if url.scheme() == "https" {
            let mut tls = ClientTlsConfig::new();
            tls = match &config.tls.authorities {
                Some(pem) => tls.ca_certificate(Certificate::from_pem(pem)),
                None => tls.with_native_roots(),
            };
            if let Some((certificate, key)) = &config.tls.identity {
                tls = tls.identity(Identity::from_pem(certificate, key));
            }
            endpoint = endpoint.tls_config(tls).map_err(failed)?;
        }
        Ok(Grpc { endpoint, channel: Mutex::default(), metadata: MetadataMap::from_headers(config.headers.clone()) })
    }

    pub(super) async fn send(&self, message: ExportTraceServiceRequest) -> Result<Option<ExportTracePartialSuccess>, ExportError> {
        let mut request = tonic::Request::new(message);
        *request.metadata_mut() = self.metadata.clone();
        let mut client = TraceServiceClient::new(self.channel()).max_decoding_message_size(MOST_ANSWERED);
        let failed = match client.export(request).await {
            Ok(answer) => return Ok(answer.into_inner().partial_success),
            Err(failed) => failed,
        };
        // Only what went wrong on the way has a cause; what the server answered is a code and a sentence.
        if failed.source().is_some() {
            self.forget();
            return Err(unreachable(failed.message(), failed.source()));
        }
        Err(status(failed.code(), failed.message(), wish(&failed)))
    }

    fn channel(&self) -> Channel {
        let mut known = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
        known.get_or_insert_with(|| self.endpoint.connect_lazy()).clone()
    }

    /// The next request makes another connection.
    pub(super) fn forget(&self) {
        *self.channel.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// How long the server wants to be left alone; `Some` of zero: it may be asked again at once.
pub(super) fn wish(status: &tonic::Status) -> Option<Duration> {
    status.get_details_retry_info().map(|info| info.retry_delay.unwrap_or_default())
}
