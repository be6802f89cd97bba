//! What a configuration says about OpenTelemetry as a whole: upstream's `otel` and `openTelemetryOtlpEndpoint`, and the variables that
//! OpenTelemetry itself defines. An exporter's own keys win over all of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use flagpost_settings::Secret;

/// The settings that all exporters of kind `opentelemetry` have in common; empty where nothing was said.
#[derive(Clone, Debug, Default)]
pub struct Otel {
    /// Where spans go.
    pub endpoint: Option<OtelEndpoint>,
    /// `grpc` or `http/protobuf`, and who says so.
    pub protocol: Option<(String, &'static str)>,
    /// Sent with each request.
    pub headers: Vec<(String, Secret)>,
    /// How long a request may take.
    pub timeout: Option<Duration>,
    /// `service.name`.
    pub service_name: Option<String>,
    /// Further attributes of the resource.
    pub resource_attributes: BTreeMap<String, String>,
    /// Certificates of authorities, PEM.
    pub ca_file: Option<PathBuf>,
    /// The client's certificate, PEM.
    pub certificate_file: Option<PathBuf>,
    /// Its key, PEM.
    pub key_file: Option<PathBuf>,
    /// The SDK's switch (`OTEL_SDK_DISABLED`), which nothing here follows.
    pub disabled: bool,
    /// `OTEL_TRACES_SAMPLER`, which nothing here follows.
    pub sampler: Option<String>,
}

/// An address, and how it is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtelEndpoint {
    /// Its text.
    pub url: String,
    /// Whether it is the address of traces alone: then nothing is added to its path.
    pub of_traces: bool,
    /// Who says so: `otel.exporter.otlp.endpoint`, `OTEL_EXPORTER_OTLP_ENDPOINT`, …
    pub source: &'static str,
}
