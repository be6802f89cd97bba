//! Upstream's keys that this program does not serve.

use flagpost_settings::{Entry, Problem};

const EVALUATION: &str = "flags are evaluated by the relay behind `upstream.url`";
const LAMBDA: &str = "the relay does not run as a lambda";
const TRACING: &str = "the relay traces nothing";
const OTEL: &str = "only exporters of kind `opentelemetry` use it; the relay itself is not traced";
/// What to do about a configuration that evaluates flags.
pub(crate) const TWO_WAYS: &str = "set `upstream.url` to a relay that evaluates, or `evaluation: none` to only collect and export events";

/// Upstream's keys (relay proxy configuration, v1.5x) that have no effect here and change nothing for events, and why.
pub(crate) const INERT: &[(&str, &str)] = &[
    ("server.awsLambdaAdapter", LAMBDA),
    ("server.awsApiGatewayBasePath", LAMBDA),
    ("swagger", "there is no Swagger page"),
    ("hideBanner", "there is no banner"),
    ("enablePprof", "that is a Go facility"),
    ("debug", "use `logLevel: debug`"),
    ("enableBulkMetricFlagNames", EVALUATION),
    ("environment", "upstream's relay does not use it either"),
    ("exporterCleanQueueInterval", "events are removed as soon as every exporter is past them"),
    ("openTelemetryOtlpEndpoint", OTEL),
    ("otel", OTEL),
    ("jaeger", TRACING),
    ("version", "the version is the program's own"),
    ("retriever", EVALUATION),
    ("retrievers", EVALUATION),
    ("notifier", EVALUATION),
    ("notifiers", EVALUATION),
    ("fileFormat", EVALUATION),
    ("pollingInterval", EVALUATION),
    ("startWithRetrieverError", EVALUATION),
    ("enablePollingJitter", EVALUATION),
    ("disableNotifierOnInit", EVALUATION),
    ("evaluationContextEnrichment", EVALUATION),
    ("persistentFlagConfigurationFile", EVALUATION),
];

/// Whether a flag set may have it, too: whatever is about evaluation.
pub(crate) fn in_flag_sets(why: &str) -> bool {
    why == EVALUATION || why.starts_with("upstream's relay")
}

/// Whether the key says where flags come from.
pub(crate) fn is_retriever(key: &str) -> bool {
    key.eq_ignore_ascii_case("retriever") || key.eq_ignore_ascii_case("retrievers")
}

/// Whether the key is about OpenTelemetry: exporters of that kind use it.
pub(crate) fn is_otel(key: &str) -> bool {
    INERT.iter().any(|(known, why)| *why == OTEL && known.eq_ignore_ascii_case(key))
}

/// What is said of a key that was not decoded; `path` may hold any case and stand in a flag set.
pub(crate) fn elsewhere(path: &str, entry: &Entry) -> Option<Problem> {
    let below = match path.split_once("].") {
        Some((list, rest)) if list.get(..9).is_some_and(|list| list.eq_ignore_ascii_case("flagsets[")) => Some(rest),
        _ => None,
    };
    let (_, why) =
        INERT.iter().find(|(known, why)| known.eq_ignore_ascii_case(below.unwrap_or(path)) && (below.is_none() || in_flag_sets(why)))?;
    Some(Problem::warning(path, &entry.place, format!("has no effect here: {why}"), ""))
}
