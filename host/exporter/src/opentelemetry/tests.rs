//! Keys, spans and outcomes as tables.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use flagpost_event::EventKind;
use flagpost_settings::{Problems, Secret, decode};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tonic::Code;
use tonic_types::{ErrorDetails, StatusExt};

use super::config::{Keys, OtlpConfig, Protocol};
use super::outcome::{accepted, finished, reply, status, stopped};
use super::span::span;
use crate::otel::{Otel, OtelEndpoint};
use crate::{BuildContext, ExportError, RejectedEvent, kinds};

fn read(keys: Value, otel: Otel) -> (Option<OtlpConfig>, Vec<String>) {
    let context = BuildContext { otel: Arc::new(otel), hostname: "host".to_owned(), ..BuildContext::system() };
    let mut problems = Problems::default();
    let keys: Keys = decode(&keys.into(), "", &mut problems);
    let config = keys.check(&mut problems, &context);
    (config, problems.finish().0.iter().map(ToString::to_string).collect())
}

fn common(url: &str, of_traces: bool) -> Otel {
    let source = if of_traces { "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" } else { "OTEL_EXPORTER_OTLP_ENDPOINT" };
    Otel { endpoint: Some(OtelEndpoint { url: url.to_owned(), of_traces, source }), ..Otel::default() }
}

#[test]
fn the_endpoint_gets_its_path_as_opentelemetry_has_it() {
    let table = [
        (json!({"endpoint": "http://c:4318"}), Otel::default(), "http://c:4318/v1/traces"),
        (json!({"endpoint": "http://c:4318/"}), Otel::default(), "http://c:4318/v1/traces"),
        (json!({"endpoint": "https://c/otlp/"}), Otel::default(), "https://c/otlp/v1/traces"),
        (json!({"endpoint": "https://c/otlp/v1/traces"}), Otel::default(), "https://c/otlp/v1/traces"),
        (json!({}), common("http://c:4318", false), "http://c:4318/v1/traces"),
        (json!({}), common("http://c:4318/here", true), "http://c:4318/here"),
        (json!({"endpoint": "http://own:1"}), common("http://c:4318/here", true), "http://own:1/v1/traces"),
        (json!({"endpoint": "http://c:4317", "protocol": "grpc"}), Otel::default(), "http://c:4317/"),
    ];
    for (keys, otel, expected) in table {
        let (config, problems) = read(keys.clone(), otel);
        assert_eq!(problems, [""; 0], "{keys}");
        assert_eq!(config.unwrap().endpoint.as_str(), expected, "{keys}");
    }
}

#[test]
fn what_cannot_be_is_told_at_start() {
    let json_protocol = Otel { protocol: Some(("http/json".to_owned(), "OTEL_EXPORTER_OTLP_PROTOCOL")), ..common("http://c", false) };
    let table = [
        (json!({}), Otel::default(), "endpoint: no endpoint: upstream exports nothing then"),
        (json!({"endpoint": "collector:4317"}), Otel::default(), "endpoint: `endpoint` is no URL of a collector"),
        (json!({}), common("nonsense", false), "endpoint: `OTEL_EXPORTER_OTLP_ENDPOINT` is no URL"),
        (json!({}), json_protocol, "protocol: `OTEL_EXPORTER_OTLP_PROTOCOL` is `http/json`, which is not spoken here"),
        (json!({"endpoint": "http://c", "protocol": "tcp"}), Otel::default(), "protocol: expected one of"),
        (json!({"endpoint": "http://c/x", "protocol": "grpc"}), Otel::default(), "endpoint: warning: `endpoint` has a path"),
        (json!({"endpoint": "http://c", "headers": {"a b": "c"}}), Otel::default(), "headers.a b: is no name of a header"),
        (json!({"endpoint": "http://c", "headers": {"a": "hunter2\n"}}), Otel::default(), "headers.a: has a value that no header"),
        (json!({"endpoint": "http://c", "timeout": "0s"}), Otel::default(), "timeout: no request is answered in no time"),
        (json!({"endpoint": "https://c", "tls": {"caFile": "/no/such"}}), Otel::default(), "tls.caFile: cannot read /no/such"),
        (json!({"endpoint": "https://c", "tls": {"keyFile": "/dev/null"}}), Otel::default(), "tls: a client's certificate and its key"),
        (json!({"endpoint": "http://c", "tls": {"caFile": "/dev/null"}}), Otel::default(), "tls: certificates are given, but the endpoint"),
        (json!({}), Otel { disabled: true, ..common("http://c", false) }, "kind: warning: OpenTelemetry's SDK is switched off"),
        (
            json!({}),
            Otel { sampler: Some("always_off".to_owned()), ..common("http://c", false) },
            "kind: warning: the sampler `always_off`",
        ),
    ];
    for (keys, otel, expected) in table {
        let (_, problems) = read(keys.clone(), otel);
        assert!(problems.len() == 1 && problems[0].starts_with(expected), "{keys}: {expected}: {problems:?}");
        assert!(!problems[0].contains("hunter2"));
    }
}

#[test]
fn an_exporters_own_keys_win_and_headers_and_attributes_are_joined() {
    let otel = Otel {
        protocol: Some(("grpc".to_owned(), "OTEL_EXPORTER_OTLP_PROTOCOL")),
        headers: vec![("X-A".to_owned(), Secret::new("1")), ("x-b".to_owned(), Secret::new("2"))],
        timeout: Some(Duration::from_secs(3)),
        resource_attributes: BTreeMap::from([("zone".to_owned(), "a".to_owned()), ("service.name".to_owned(), "attribute".to_owned())]),
        ..common("http://c:1", false)
    };
    let (config, _) = read(json!({}), otel.clone());
    let config = config.unwrap();
    assert_eq!((config.protocol, config.timeout), (Protocol::Grpc, Duration::from_secs(3)));
    let keys = json!({"protocol": "http/protobuf", "timeout": "1s", "headers": {"x-a": "own"}, "resourceAttributes": {"zone": "b"}});
    let (config, problems) = read(keys, otel.clone());
    assert_eq!(problems, [""; 0]);
    let config = config.unwrap();
    assert_eq!((config.protocol, config.timeout), (Protocol::Http, Duration::from_secs(1)));
    let header = |name: &str| config.headers.get(name).unwrap().to_str().unwrap().to_owned();
    assert_eq!((header("x-a"), header("x-b")), ("own".to_owned(), "2".to_owned()));
    let name = |keys: Value, otel: Otel| {
        let shape = format!("{:?}", read(keys, otel).0.unwrap().shape);
        ["go-feature-flag", "attribute", "variable", "own", "key"]
            .iter()
            .filter(|name| shape.contains(&format!("\"{name}\"")))
            .copied()
            .last()
    };
    assert_eq!(name(json!({"tracerName": "t"}), common("http://c", false)), Some("go-feature-flag"));
    assert_eq!(name(json!({"tracerName": "t"}), otel.clone()), Some("attribute"));
    let named = Otel { service_name: Some("variable".to_owned()), ..otel };
    assert_eq!(name(json!({"tracerName": "t"}), named.clone()), Some("variable"));
    assert_eq!(name(json!({"resourceAttributes": {"service.name": "own"}}), named.clone()), Some("own"));
    assert_eq!(name(json!({"serviceName": "key", "resourceAttributes": {"service.name": "own"}}), named), Some("key"));
}

#[test]
fn no_way_of_printing_shows_a_header_or_a_path() {
    let keys = json!({"endpoint": "https://u:hunter2@c/hunter2", "headers": {"authorization": "hunter2"}});
    let (config, _) = read(keys.clone(), Otel::default());
    let config = config.unwrap();
    for protocol in [Protocol::Http, Protocol::Grpc] {
        let client = super::Client::new(&OtlpConfig { protocol, ..read(keys.clone(), Otel::default()).0.unwrap() }).unwrap();
        let text = format!("{config:?} {client:?} {:?}", config.headers);
        assert!(text.contains("https://c") && !text.contains("hunter2"), "{text}");
    }
}

/// The attributes, `key=value`, with a sign for the type.
fn attributes(span: &Span) -> Vec<String> {
    let show = |value: &Any| match value {
        Any::StringValue(text) => format!("'{text}'"),
        Any::BoolValue(value) => value.to_string(),
        Any::IntValue(value) => format!("{value}i"),
        Any::DoubleValue(value) => format!("{value}d"),
        other => panic!("{other:?}"),
    };
    span.attributes.iter().map(|one| format!("{}={}", one.key, show(one.value.as_ref().unwrap().value.as_ref().unwrap()))).collect()
}

#[test]
fn a_span_has_upstreams_name_times_attributes_and_status() {
    let line = br#"{"kind":"feature","contextKind":"user","userKey":"u","creationDate":1617970547,"key":"flag","variation":"A","value":{"a":[1]},"default":false,"version":"2","source":"SERVER","metadata":{"big":18446744073709551615,"f":1.5,"list":[1,"x",null],"map":{"b":true},"n":-3,"nothing":null,"t":"x","yes":true}}"#;
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_617_970_548_250);
    let made = span(EventKind::Feature, line, ([7; 16], [9; 8]), now).unwrap();
    assert_eq!((made.trace_id.as_slice(), made.span_id.as_slice(), made.parent_span_id.len()), (&[7; 16][..], &[9; 8][..], 0));
    assert_eq!((made.name.as_str(), made.kind), ("feature_flag.evaluate", 1));
    assert_eq!((made.start_time_unix_nano, made.end_time_unix_nano), (1_617_970_547_000_000_000, 1_617_970_548_250_000_000));
    let status = made.status.clone().unwrap();
    assert_eq!((status.code, status.message.as_str()), (1, ""));
    assert_eq!(
        attributes(&made),
        [
            "feature_flag.key='flag'",
            "feature_flag.user_key='u'",
            "feature_flag.context_kind='user'",
            "feature_flag.variation='A'",
            "feature_flag.default=false",
            "feature_flag.version='2'",
            "feature_flag.source='SERVER'",
            "feature_flag.value='{\"a\":[1]}'",
            "feature_flag.metadata.big=18446744073709552000d",
            "feature_flag.metadata.f=1.5d",
            "feature_flag.metadata.list='[1 x <nil>]'",
            "feature_flag.metadata.map='map[b:true]'",
            "feature_flag.metadata.n=-3i",
            "feature_flag.metadata.nothing='<nil>'",
            "feature_flag.metadata.t='x'",
            "feature_flag.metadata.yes=true",
        ]
    );
}

#[test]
fn a_default_is_an_error_a_missing_value_no_attribute_and_no_span_ends_before_it_starts() {
    let line = br#"{"userKey":"","creationDate":1617970547,"key":"flag","variation":"SdkDefault","value":null,"default":true,"version":"","source":""}"#;
    let made = span(EventKind::Feature, line, ([0; 16], [0; 8]), SystemTime::UNIX_EPOCH).unwrap();
    let status = made.status.clone().unwrap();
    assert_eq!((status.code, status.message.as_str()), (2, "default value used"));
    assert_eq!(made.end_time_unix_nano, made.start_time_unix_nano);
    assert!(attributes(&made).iter().all(|one| !one.starts_with("feature_flag.value")), "{:?}", attributes(&made));
    let old = br#"{"userKey":"","creationDate":-5,"key":"flag","value":null}"#;
    assert_eq!(span(EventKind::Feature, old, ([0; 16], [0; 8]), SystemTime::UNIX_EPOCH).unwrap().start_time_unix_nano, 0);
}

#[test]
fn a_tracking_event_is_a_span_of_another_name() {
    let line = br#"{"kind":"tracking","contextKind":"user","userKey":"u","creationDate":1617970547,"key":"checkout","evaluationContext":{"plan":"pro"},"trackingEventDetails":{"value":9.5}}"#;
    let made = span(EventKind::Tracking, line, ([0; 16], [0; 8]), SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(made.name, "feature_flag.track");
    assert_eq!(
        attributes(&made),
        [
            "feature_flag.tracking.key='checkout'",
            "feature_flag.tracking.user_key='u'",
            "feature_flag.tracking.context_kind='user'",
            "feature_flag.tracking.context.plan='pro'",
            "feature_flag.tracking.details.value=9.5d",
        ]
    );
    let bare = br#"{"kind":"tracking","userKey":"u","creationDate":0,"key":"k","evaluationContext":null,"trackingEventDetails":null}"#;
    assert_eq!(attributes(&span(EventKind::Tracking, bare, ([0; 16], [0; 8]), SystemTime::UNIX_EPOCH).unwrap()).len(), 3);
}

/// What delivery is to do.
#[derive(Debug, PartialEq)]
enum Does {
    Retries(Option<u64>),
    Suspects,
    Alarms,
}

fn does(error: &ExportError) -> Does {
    match error {
        ExportError::Retryable { after, .. } => Does::Retries(after.map(|after| after.as_secs())),
        ExportError::Rejected { .. } => Does::Suspects,
        ExportError::Misconfigured { .. } => Does::Alarms,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_grpc_code_is_tried_again_searched_or_told() {
    let after = Some(Duration::from_secs(7));
    let table = [
        (Code::Unavailable, "connection closed", None, Does::Retries(None)),
        (Code::Unavailable, "sending queue is full", after, Does::Retries(Some(7))),
        (Code::Unavailable, "", Some(Duration::ZERO), Does::Retries(None)),
        (Code::Unavailable, "", Some(Duration::from_secs(86_400)), Does::Retries(Some(600))),
        (Code::ResourceExhausted, "quota exceeded", after, Does::Retries(Some(7))),
        (Code::ResourceExhausted, "quota exceeded", None, Does::Retries(None)),
        (Code::ResourceExhausted, "grpc: received message larger than max (5242880 vs. 4194304)", None, Does::Suspects),
        (Code::ResourceExhausted, "gRPC message exceeds maximum size 4194304: 5242880", None, Does::Suspects),
        (
            Code::OutOfRange,
            "Error, decoded message length too large: found 5242880 bytes, the limit is: 4194304 bytes",
            None,
            Does::Suspects,
        ),
        (Code::OutOfRange, "", None, Does::Retries(None)),
        (Code::InvalidArgument, "invalid span id", None, Does::Suspects),
        (Code::Unauthenticated, "no token", None, Does::Alarms),
        (Code::PermissionDenied, "", after, Does::Alarms),
        (Code::Unimplemented, "unknown service", None, Does::Alarms),
        (Code::NotFound, "", None, Does::Alarms),
        (Code::Cancelled, "", None, Does::Retries(None)),
        (Code::DeadlineExceeded, "", None, Does::Retries(None)),
        (Code::Aborted, "", None, Does::Retries(None)),
        (Code::DataLoss, "", None, Does::Retries(None)),
        (Code::Internal, "", None, Does::Retries(None)),
        (Code::Unknown, "", None, Does::Retries(None)),
        (Code::FailedPrecondition, "", None, Does::Retries(None)),
        (Code::AlreadyExists, "", None, Does::Retries(None)),
    ];
    for (code, said, after, expected) in table {
        let error = status(code, said, after);
        assert_eq!(does(&error), expected, "{code:?} {said}");
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[test]
fn a_servers_wish_is_read_out_of_its_status() {
    let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(4)));
    let sent = tonic::Status::with_error_details(Code::ResourceExhausted, "slow down", details);
    assert_eq!(super::grpc::wish(&sent), Some(Duration::from_secs(4)));
    assert_eq!(super::grpc::wish(&tonic::Status::unavailable("gone")), None);
}

#[test]
fn every_http_status_is_tried_again_searched_or_told() {
    let after = Some(Duration::from_secs(3));
    let table = [
        (429, after, Does::Retries(Some(3))),
        (503, after, Does::Retries(Some(3))),
        (502, None, Does::Retries(None)),
        (504, None, Does::Retries(None)),
        (500, None, Does::Retries(None)),
        (408, None, Does::Retries(None)),
        (529, None, Does::Retries(None)),
        (400, None, Does::Suspects),
        (413, None, Does::Suspects),
        (422, None, Does::Suspects),
        (401, None, Does::Alarms),
        (403, None, Does::Alarms),
        (407, None, Does::Alarms),
        (301, None, Does::Alarms),
        (404, None, Does::Alarms),
        (405, None, Does::Alarms),
        (415, None, Does::Alarms),
        (501, None, Does::Alarms),
    ];
    for (code, after, expected) in table {
        let error = reply(StatusCode::from_u16(code).unwrap(), after, "why");
        assert_eq!(does(&error), expected, "{code}");
        assert!(error.to_string().contains(&format!("{code}")) && error.to_string().contains("why"), "{error}");
    }
}

#[test]
fn partial_success_is_believed_only_as_far_as_it_goes() {
    let partial = |rejected_spans, said: &str| Some(ExportTracePartialSuccess { rejected_spans, error_message: said.to_owned() });
    assert_eq!(accepted(None, 5), Ok(()));
    assert_eq!(accepted(partial(0, ""), 5), Ok(()));
    assert_eq!(accepted(partial(0, "use a newer client"), 5), Ok(()));
    let error = accepted(partial(2, "too old"), 5).unwrap_err();
    assert_eq!(does(&error), Does::Suspects);
    assert_eq!(error.to_string(), "the collector refused 2 of 5 spans, and does not say which: too old");
    assert_eq!(accepted(partial(1, "too old"), 1).unwrap_err().to_string(), "the collector refused 1 of 1 spans: too old");
}

#[test]
fn a_failure_after_other_requests_leaves_exactly_what_was_not_delivered() {
    let rejected = vec![RejectedEvent { index: 1, reason: "nonsense".to_owned() }];
    let busy = ExportError::Retryable { reason: "busy".to_owned(), after: Some(Duration::from_secs(2)) };
    assert_eq!(stopped(busy.clone(), 0, vec![0, 2], rejected.clone()), busy);
    let partial = |retry: Vec<u32>, after| ExportError::Partial { retry, rejected: rejected.clone(), after };
    assert_eq!(stopped(busy, 4, vec![7, 8], rejected.clone()), partial(vec![7, 8], Some(Duration::from_secs(2))));
    assert_eq!(stopped(ExportError::rejected("bad"), 4, vec![7], rejected.clone()), partial(vec![7], None));
    assert_eq!(finished(3, Vec::new()), Ok(()));
    assert_eq!(finished(3, rejected.clone()), Err(partial(Vec::new(), None)));
    assert_eq!(finished(0, rejected.clone()), Err(ExportError::rejected("nonsense")));
}

#[test]
fn the_kind_is_built_without_a_runtime() {
    let info = kinds().iter().find(|info| info.name == "opentelemetry").unwrap();
    for protocol in ["grpc", "http/protobuf"] {
        let keys = json!({"endpoint": "https://collector:4317", "protocol": protocol});
        let built = (info.build)(&keys.into(), &BuildContext::system()).unwrap();
        assert!(!built.exporter.is_bulk() && built.warnings.is_empty());
    }
    // Nothing of a request without spans is in it: it is for asking.
    assert_eq!(super::request::empty().encoded_len(), 0);
}
