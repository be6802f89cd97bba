//! What exporters of kind `opentelemetry` have in common: upstream's `otel` and `openTelemetryOtlpEndpoint`, and the environment variables that
//! OpenTelemetry defines.
//!
//! Upstream hands all of this to OpenTelemetry's own SDK for Go. Its rule is kept: a variable beats the file, and of two variables the one for
//! traces beats the one for everything. The variables have their fixed names, whatever `envVariablePrefix` says: other programs in the same
//! place read them, too.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use flagpost_exporter::{Otel, OtelEndpoint, Secret};
use flagpost_settings::{Data, Node, Place, Problems, decode};
use schemars::JsonSchema;
use serde::Deserialize;

use super::sources::Environment;

/// `otel`, as upstream has it.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct Section {
    sdk: Sdk,
    exporter: Exporter,
    service: Service,
    traces: Traces,
    resource: Resource,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Sdk {
    disabled: bool,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Exporter {
    otlp: Otlp,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Otlp {
    endpoint: String,
    protocol: String,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Service {
    name: String,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Traces {
    sampler: String,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Resource {
    attributes: BTreeMap<String, String>,
}

/// Whether an exporter is of the kind that uses these settings: without one they have no effect, and that is said elsewhere.
pub(super) fn is_used(root: &Node) -> bool {
    let is_kind = |node: &Node| match node.get("kind").map(|entry| &entry.value.data) {
        Some(Data::Scalar(kind)) => kind.text == "opentelemetry",
        _ => false,
    };
    let any = |node: &Node| match &node.data {
        Data::List(items) => items.iter().any(is_kind),
        _ => is_kind(node),
    };
    let in_scope = |node: &Node| ["exporter", "exporters"].iter().filter_map(|key| node.get(key)).any(|entry| any(&entry.value));
    let flag_sets = root.get("flagSets").map(|entry| &entry.value.data);
    in_scope(root) || matches!(flag_sets, Some(Data::List(sets)) if sets.iter().any(in_scope))
}

/// Reads them.
pub(super) fn otel(root: &Node, environment: &Environment, problems: &mut Problems) -> Otel {
    let file: Section = root.get("otel").map(|entry| decode(&entry.value, "otel", problems)).unwrap_or_default();
    let old = match root.get("openTelemetryOtlpEndpoint").map(|entry| &entry.value.data) {
        Some(Data::Scalar(text)) => text.text.clone(),
        _ => String::new(),
    };
    let variable = |name: &'static str| environment.get(name).map(str::trim).filter(|value| !value.is_empty());
    let either = |of_traces: &'static str, of_all: &'static str| {
        variable(of_traces).map(|value| (value, of_traces)).or_else(|| variable(of_all).map(|value| (value, of_all)))
    };
    let endpoint = either("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
        .or_else(|| filled(&file.exporter.otlp.endpoint).map(|text| (text, "otel.exporter.otlp.endpoint")))
        .or_else(|| filled(&old).map(|text| (text, "openTelemetryOtlpEndpoint")))
        .map(|(url, source)| OtelEndpoint { url: url.to_owned(), of_traces: source.contains("_TRACES_"), source });
    let protocol = either("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
        .or_else(|| filled(&file.exporter.otlp.protocol).map(|text| (text, "otel.exporter.otlp.protocol")))
        .map(|(text, source)| (text.to_owned(), source));
    let (headers, malformed) = either("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
        .map(|(text, source)| (pairs(text), source))
        .map_or((Vec::new(), None), |((pairs, sound), source)| (pairs, (!sound).then_some(source)));
    complain(malformed, problems);
    let (attributes, malformed) = variable("OTEL_RESOURCE_ATTRIBUTES").map_or((Vec::new(), true), pairs);
    complain((!malformed).then_some("OTEL_RESOURCE_ATTRIBUTES"), problems);
    let timeout = either("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT").and_then(|(text, source)| match text.parse() {
        Ok(millis) => Some(Duration::from_millis(millis)),
        Err(_) => {
            problems.warning("", place(source), "not used: expected milliseconds as a whole number", "write 10000 for ten seconds");
            None
        }
    });
    let path = |of_traces, of_all| either(of_traces, of_all).map(|(path, _)| PathBuf::from(path));
    let mut resource_attributes = file.resource.attributes;
    resource_attributes.extend(attributes);
    Otel {
        endpoint,
        protocol,
        headers: headers.into_iter().map(|(name, value)| (name, Secret::new(value))).collect(),
        timeout,
        service_name: variable("OTEL_SERVICE_NAME").or(filled(&file.service.name)).map(str::to_owned),
        resource_attributes,
        ca_file: path("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"),
        certificate_file: path("OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"),
        key_file: path("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "OTEL_EXPORTER_OTLP_CLIENT_KEY"),
        disabled: file.sdk.disabled || variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")),
        sampler: variable("OTEL_TRACES_SAMPLER").or(filled(&file.traces.sampler)).map(str::to_owned),
    }
}

fn filled(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn place(variable: &str) -> Place {
    Place::Variable(variable.into())
}

fn complain(malformed: Option<&'static str>, problems: &mut Problems) {
    if let Some(name) = malformed {
        problems.warning("", place(name), "a part of it is not used: expected `name=value` with commas between", "write a=b,c=d");
    }
}

/// `a=b,c=d` with percent-encoded values, and whether all of it was so.
fn pairs(text: &str) -> (Vec<(String, String)>, bool) {
    let (mut pairs, mut sound) = (Vec::new(), true);
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        match part.split_once('=').map(|(name, value)| (name.trim(), value.trim())) {
            Some((name, value)) if !name.is_empty() => pairs.push((name.to_owned(), decoded(value))),
            _ => sound = false,
        }
    }
    (pairs, sound)
}

/// Percent-encoding undone; what is none stays.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(&byte) = bytes.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or(b'%'));
                at += 3;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_as_opentelemetry_has_them() {
        let read = |text: &str| {
            let (pairs, sound) = pairs(text);
            (pairs.iter().map(|(name, value)| format!("{name}:{value}")).collect::<Vec<_>>().join(" "), sound)
        };
        assert_eq!(read("a=b, c = d=e ,"), ("a:b c:d=e".to_owned(), true));
        assert_eq!(read("authorization=Basic%20eDp5,100%=100%"), ("authorization:Basic eDp5 100%:100%".to_owned(), true));
        assert_eq!(read("a=b,nothing,=x"), ("a:b".to_owned(), false));
        assert_eq!(read("a=%ff"), ("a:%ff".to_owned(), true));
    }
}
