//! The `opentelemetry` exporter's keys.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flagpost_settings::{Place, Problems, Span};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::kind::Kind;
use crate::otel::{Otel, OtelEndpoint};
use crate::{BuildContext, DEFAULT_TIMEOUT, Exporter, Secret};

use super::OpenTelemetryExporter;
use super::client::Client;
use super::request::Shape;

/// Upstream's default name of the tracer, and of the service.
const DEFAULT_NAME: &str = "go-feature-flag";

/// What OTLP over HTTP adds to an endpoint's path.
const TRACES: &str = "/v1/traces";

/// Samplers that take everything.
const SAMPLERS_OF_ALL: [&str; 2] = ["always_on", "parentbased_always_on"];

/// One OpenTelemetry span per event, over OTLP.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Keys {
    /// The tracer's name: the instrumentation scope of the spans.
    tracer_name: String,
    /// Ours. Where spans go: `http://collector:4318`. Over HTTP `/v1/traces` is added to its path. Without it: the variables
    /// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` and `OTEL_EXPORTER_OTLP_ENDPOINT`, then upstream's `otel.exporter.otlp.endpoint` and
    /// `openTelemetryOtlpEndpoint`. One of them is mandatory.
    endpoint: String,
    /// Ours. `http/protobuf` or `grpc`. Without it: `OTEL_EXPORTER_OTLP_TRACES_PROTOCOL`, `OTEL_EXPORTER_OTLP_PROTOCOL`,
    /// `otel.exporter.otlp.protocol`.
    #[schemars(extend("x-default" = "`http/protobuf`"))]
    protocol: Option<Protocol>,
    /// Ours. Headers of each request (gRPC: metadata), added to those of `OTEL_EXPORTER_OTLP_HEADERS`.
    headers: BTreeMap<String, Secret>,
    /// Ours. How long a request may take. Without it: `OTEL_EXPORTER_OTLP_TIMEOUT`.
    #[schemars(extend("x-default" = "`10s`"))]
    timeout: Option<Span>,
    /// Ours. The resource's `service.name`. Without it: `OTEL_SERVICE_NAME`, `otel.service.name`, the attribute `service.name`.
    #[schemars(extend("x-default" = "`go-feature-flag`"))]
    service_name: Option<String>,
    /// Ours. Attributes of the resource, added to those of `OTEL_RESOURCE_ATTRIBUTES` and `otel.resource.attributes`.
    resource_attributes: BTreeMap<String, String>,
    /// Ours. Certificates for an endpoint that begins with `https`.
    tls: TlsFiles,
}

impl Default for Keys {
    fn default() -> Self {
        Keys {
            tracer_name: DEFAULT_NAME.to_owned(),
            endpoint: String::new(),
            protocol: None,
            headers: BTreeMap::new(),
            timeout: None,
            service_name: None,
            resource_attributes: BTreeMap::new(),
            tls: TlsFiles::default(),
        }
    }
}

/// Files in PEM form.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct TlsFiles {
    /// Certificates of the authorities that the collector's certificate comes from. Default: the system's.
    ca_file: String,
    /// This relay's certificate and those above it.
    certificate_file: String,
    /// The private key of that certificate.
    key_file: String,
}

/// How requests travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
pub(super) enum Protocol {
    /// Protobuf over HTTP.
    #[serde(rename = "http/protobuf")]
    Http,
    /// gRPC.
    #[serde(rename = "grpc")]
    Grpc,
}

/// A checked configuration.
pub(super) struct OtlpConfig {
    pub(super) protocol: Protocol,
    /// Where requests go: over HTTP with the path. May hold secrets: shown by [`shown`] only.
    pub(super) endpoint: Url,
    /// Each marked as sensitive.
    pub(super) headers: HeaderMap,
    pub(super) timeout: Duration,
    pub(super) tls: TlsParts,
    pub(super) shape: Shape,
}

impl std::fmt::Debug for OtlpConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OtlpConfig").field("endpoint", &shown(&self.endpoint)).field("protocol", &self.protocol).finish_non_exhaustive()
    }
}

/// The contents of [`TlsFiles`].
#[derive(Default)]
pub(super) struct TlsParts {
    pub(super) authorities: Option<Vec<u8>>,
    /// A certificate and its key.
    pub(super) identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl Kind for Keys {
    const NAME: &'static str = "opentelemetry";
    const LOCATION: &'static [&'static str] = &["endpoint", "tracerName"];

    fn build(self, problems: &mut Problems, context: &BuildContext) -> Option<Arc<dyn Exporter>> {
        let config = self.check(problems, context)?;
        if problems.has_errors() {
            return None;
        }
        match Client::new(&config) {
            Ok(client) => {
                Some(Arc::new(OpenTelemetryExporter { client, shape: Arc::new(config.shape), clock: Arc::clone(&context.clock) }))
            }
            Err(message) => {
                problems.error("tls", Place::Nowhere, message, "check the files of `tls`, and that the system has CA certificates");
                None
            }
        }
    }
}

impl Keys {
    pub(super) fn check(mut self, problems: &mut Problems, context: &BuildContext) -> Option<OtlpConfig> {
        let common = &context.otel;
        warn_of_switches(common, problems);
        let protocol = self.protocol.or_else(|| common_protocol(common, problems)).unwrap_or(Protocol::Http);
        let headers = headers(std::mem::take(&mut self.headers), common, problems);
        let timeout = self.timeout.map(|timeout| timeout.0).or(common.timeout).unwrap_or(DEFAULT_TIMEOUT);
        if timeout.is_zero() {
            problems.error("timeout", Place::Nowhere, "no request is answered in no time", "write `timeout: 10s`");
        }
        let tls = tls(&self.tls, common, problems);
        let endpoint = endpoint(&self.endpoint, protocol, common, problems)?;
        if endpoint.scheme() == "http" && (tls.authorities.is_some() || tls.identity.is_some()) && self.tls.is_set() {
            let message = "certificates are given, but the endpoint begins with `http:`";
            problems.error("tls", Place::Nowhere, message, "let the endpoint begin with `https:`, or remove `tls`");
        }
        let tracer = std::mem::take(&mut self.tracer_name);
        let shape = Shape::new(&context.exporter, tracer, self.resource(common, &context.hostname));
        Some(OtlpConfig { protocol, endpoint, headers, timeout, tls, shape })
    }

    /// The resource's attributes. Upstream overwrites a `service.name` of the attributes with its default; here it holds.
    fn resource(mut self, common: &Otel, hostname: &str) -> BTreeMap<String, String> {
        let mut all = BTreeMap::from([
            ("host.name".to_owned(), hostname.to_owned()),
            ("service.name".to_owned(), DEFAULT_NAME.to_owned()),
            ("service.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ]);
        all.extend(common.resource_attributes.clone());
        let mut name = |text: Option<String>| {
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                all.insert("service.name".to_owned(), text);
            }
        };
        name(common.service_name.clone());
        name(self.resource_attributes.get("service.name").cloned());
        name(self.service_name.take());
        self.resource_attributes.remove("service.name");
        all.extend(self.resource_attributes);
        all
    }
}

impl TlsFiles {
    fn is_set(&self) -> bool {
        [&self.ca_file, &self.certificate_file, &self.key_file].iter().any(|file| !file.is_empty())
    }
}

/// What others may count on and does not hold here.
fn warn_of_switches(common: &Otel, problems: &mut Problems) {
    if common.disabled {
        let message = "OpenTelemetry's SDK is switched off (`OTEL_SDK_DISABLED`, `otel.sdk.disabled`), and spans are exported all the same";
        problems.warning("kind", Place::Nowhere, message, "remove the exporter if no spans are wanted");
    }
    if let Some(sampler) = common.sampler.as_deref().filter(|sampler| !SAMPLERS_OF_ALL.contains(sampler)) {
        let message =
            format!("the sampler `{sampler}` (`OTEL_TRACES_SAMPLER`, `otel.traces.sampler`) has no effect: every event is a span");
        problems.warning("kind", Place::Nowhere, message, "sample in the collector");
    }
}

fn common_protocol(common: &Otel, problems: &mut Problems) -> Option<Protocol> {
    let (text, source) = common.protocol.as_ref()?;
    match text.as_str() {
        "grpc" => Some(Protocol::Grpc),
        "http/protobuf" => Some(Protocol::Http),
        other => {
            let message = format!("`{source}` is `{other}`, which is not spoken here");
            problems.error("protocol", Place::Nowhere, message, "set `protocol: http/protobuf` or `protocol: grpc`");
            None
        }
    }
}

fn endpoint(own: &str, protocol: Protocol, common: &Otel, problems: &mut Problems) -> Option<Url> {
    let OtelEndpoint { url: text, of_traces, source } = if own.is_empty() {
        match &common.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => {
                let message = "no endpoint: upstream exports nothing then, and says nothing";
                let fix = "set `endpoint: http://collector:4318`, or `OTEL_EXPORTER_OTLP_ENDPOINT`, or `otel.exporter.otlp.endpoint`";
                problems.error("endpoint", Place::Nowhere, message, fix);
                return None;
            }
        }
    } else {
        OtelEndpoint { url: own.to_owned(), of_traces: false, source: "endpoint" }
    };
    let Some(mut url) = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) else {
        let message = format!("`{source}` is no URL of a collector");
        problems.error("endpoint", Place::Nowhere, message, "write it as http://host:port or https://host:port");
        return None;
    };
    let path = url.path().trim_end_matches('/').to_owned();
    match protocol {
        Protocol::Http if !of_traces && !path.ends_with(TRACES) => url.set_path(&format!("{path}{TRACES}")),
        Protocol::Grpc if !path.is_empty() => {
            let message = format!("`{source}` has a path, which gRPC does not use");
            problems.warning("endpoint", Place::Nowhere, message, "remove the path, or set `protocol: http/protobuf`");
        }
        _ => {}
    }
    Some(url)
}

fn headers(own: BTreeMap<String, Secret>, common: &Otel, problems: &mut Problems) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in common.headers.iter().cloned().chain(own) {
        let path = format!("headers.{name}");
        let Ok(header) = HeaderName::from_bytes(name.to_ascii_lowercase().as_bytes()) else {
            problems.error(path, Place::Nowhere, "is no name of a header", "letters, digits and `-`");
            continue;
        };
        match HeaderValue::from_str(value.reveal()) {
            Ok(mut value) => {
                value.set_sensitive(true);
                headers.insert(header, value);
            }
            Err(_) => {
                problems.error(path, Place::Nowhere, "has a value that no header can have", "no line breaks and no control characters")
            }
        }
    }
    headers
}

fn tls(own: &TlsFiles, common: &Otel, problems: &mut Problems) -> TlsParts {
    let file = |own: &str, common: &Option<PathBuf>| match own {
        "" => common.clone(),
        own => Some(PathBuf::from(own)),
    };
    let mut read = |key: &str, path: Option<&Path>| {
        let path = path?;
        match std::fs::read(path) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                let message = format!("cannot read {}: {error}", path.display());
                problems.error(format!("tls.{key}"), Place::Nowhere, message, "name a file in PEM form that this user may read");
                None
            }
        }
    };
    let (certificate, key) = (file(&own.certificate_file, &common.certificate_file), file(&own.key_file, &common.key_file));
    let authorities = read("caFile", file(&own.ca_file, &common.ca_file).as_deref());
    let identity = read("certificateFile", certificate.as_deref()).zip(read("keyFile", key.as_deref()));
    if certificate.is_some() != key.is_some() {
        let message = "a client's certificate and its key belong together";
        problems.error("tls", Place::Nowhere, message, "give both `certificateFile` and `keyFile`, or neither");
    }
    TlsParts { authorities, identity }
}

/// A URL as it may be shown: scheme, host and port.
pub(super) fn shown(url: &Url) -> String {
    format!("{}://{}", url.scheme(), &url[url::Position::BeforeHost..url::Position::AfterPort])
}
