//! Upstream's keys that this program does not serve.

use flagpost_settings::{Entry, Problem};

/// A key that upstream knows.
enum Elsewhere {
    /// It has no effect here, and that changes nothing for events: a warning that says why.
    Inert(&'static str),
    /// Starting without it would make another program of this one: what is wrong, and what to do.
    Refused(&'static str, &'static str),
}

use Elsewhere::{Inert, Refused};

const EVALUATION: &str = "flags are evaluated by the relay behind `upstream.url`";
/// What to do about a configuration that evaluates flags.
pub(crate) const TWO_WAYS: &str = "set `upstream.url` to a relay that evaluates, or `evaluation: none` to only collect and export events";

/// Upstream's keys (relay proxy configuration, v1.5x) that are not served, in lower case, list indices left out.
const ELSEWHERE: &[(&str, Elsewhere)] = &[
    ("server.monitoringport", Inert("health and metrics are served on `server.port`")),
    ("server.unixsocketpath", Inert("the relay always serves HTTP")),
    ("server.awslambdaadapter", Inert("the relay does not run as a lambda")),
    ("server.awsapigatewaybasepath", Inert("the relay does not run as a lambda")),
    ("listen", Refused("upstream's deprecated key is not served", "use `server.port`")),
    ("host", Refused("upstream's deprecated key is not served", "use `server.host`")),
    ("monitoringport", Inert("health and metrics are served on `server.port`")),
    ("enableswagger", Inert("there is no Swagger page")),
    ("swagger", Inert("there is no Swagger page")),
    ("startasawslambda", Inert("the relay does not run as a lambda")),
    ("awslambdaadapter", Inert("the relay does not run as a lambda")),
    ("awsapigatewaybasepath", Inert("the relay does not run as a lambda")),
    (
        "apikeys",
        Refused(
            "API keys are not served yet: the collector would be open to everyone",
            "keep the keys in a proxy in front, and remove this key",
        ),
    ),
    (
        "authorizedkeys",
        Refused(
            "API keys are not served yet: the collector would be open to everyone",
            "keep the keys in a proxy in front, and remove this key",
        ),
    ),
    ("flagsets", Refused("flag sets are not served yet", "list the exporters under `exporters`, for the flag set `default`")),
    ("hidebanner", Inert("there is no banner")),
    ("enablepprof", Inert("that is a Go facility")),
    ("debug", Inert("use `logLevel: debug`")),
    ("disableversionheader", Inert("no version header is sent")),
    ("enablebulkmetricflagnames", Inert(EVALUATION)),
    ("retriever", Inert(EVALUATION)),
    ("retrievers", Inert(EVALUATION)),
    ("notifier", Inert(EVALUATION)),
    ("notifiers", Inert(EVALUATION)),
    ("fileformat", Inert(EVALUATION)),
    ("pollinginterval", Inert(EVALUATION)),
    ("startwithretrievererror", Inert(EVALUATION)),
    ("enablepollingjitter", Inert(EVALUATION)),
    ("disablenotifieroninit", Inert(EVALUATION)),
    ("evaluationcontextenrichment", Inert(EVALUATION)),
    ("persistentflagconfigurationfile", Inert(EVALUATION)),
    ("environment", Inert("upstream's relay does not use it either")),
    ("exportercleanqueueinterval", Inert("events are removed as soon as every exporter is past them")),
    ("opentelemetryotlpendpoint", Inert("the relay traces nothing")),
    ("otel", Inert("the relay traces nothing")),
    ("jaeger", Inert("the relay traces nothing")),
    ("envvariableprefix", Inert("environment variables are read only where `${NAME}` stands")),
    ("version", Inert("the version is the program's own")),
];

/// What is said of a key that was not decoded; `path` may hold indices and any case.
pub(crate) fn elsewhere(path: &str, entry: &Entry) -> Option<Problem> {
    let lower = path.to_ascii_lowercase();
    let (_, known) = ELSEWHERE.iter().find(|(known, _)| *known == lower)?;
    Some(match known {
        Inert(why) => Problem::warning(path, &entry.place, format!("has no effect here: {why}"), ""),
        Refused(message, fix) => Problem::error(path, &entry.place, *message, *fix),
    })
}
