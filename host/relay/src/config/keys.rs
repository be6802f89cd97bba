//! Keys that are not decoded: upstream's that this program does not serve, private ones, and unknown ones with the nearest known key.

use super::node::same_key;
use super::problem::Problem;

/// A key that upstream knows.
pub(crate) enum Elsewhere {
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

/// What is known about a key that was not decoded; `path` may hold indices and any case.
pub(crate) fn elsewhere(path: &str) -> Option<&'static Elsewhere> {
    let path = path.to_ascii_lowercase();
    ELSEWHERE.iter().find(|(known, _)| *known == path).map(|(_, what)| what)
}

/// Keys under `x-` are the operator's own, for anchors and notes.
pub(crate) fn is_private(key: &str) -> bool {
    key.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("x-"))
}

/// The known name that `key` spells, in any case; the exact one first.
pub(crate) fn find<'k>(known: &[&'k str], key: &str) -> Option<&'k str> {
    known.iter().find(|name| **name == key).or_else(|| known.iter().find(|name| same_key(name, key))).copied()
}

/// The complaint about a key that nobody knows.
pub(crate) fn unknown(path: &str, key: &str, line: u32, known: &[&str]) -> Problem {
    let fix = match did_you_mean(key, known) {
        fix if fix.is_empty() => format!("known here: {}", list(known)),
        fix => fix,
    };
    Problem::error(path, line, "unknown key", fix)
}

/// `did you mean …?` when a known name is near; else nothing.
pub(crate) fn did_you_mean(text: &str, known: &[&str]) -> String {
    let lower = text.to_ascii_lowercase();
    let near = known.iter().map(|name| (strsim::damerau_levenshtein(&name.to_ascii_lowercase(), &lower), *name)).min();
    match near {
        Some((distance, name)) if distance <= 1 + name.len().max(text.len()) / 4 => format!("did you mean `{name}`?"),
        _ => String::new(),
    }
}

/// `` `a`, `b`, `c` ``.
pub(crate) fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_known_key_is_named_only_when_it_is_near() {
        let known = ["flushInterval", "maxEventInMemory", "name"];
        let cases = [
            ("flushInterva", "did you mean `flushInterval`?"),
            ("flush_interval", "did you mean `flushInterval`?"),
            ("maxEventsInMemory", "did you mean `maxEventInMemory`?"),
            ("nmae", "did you mean `name`?"),
            ("bucket", ""),
        ];
        for (key, expected) in cases {
            assert_eq!(did_you_mean(key, &known), expected, "{key}");
        }
    }
}
