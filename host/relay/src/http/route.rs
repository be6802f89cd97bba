//! Which route a path is: ours, or one of upstream's that is served by whoever evaluates.
//!
//! A route's pattern is a metric label, so patterns are a closed list: a client cannot make new ones.

use http::Method;

/// Admin routes of ours. Everything else below `/admin/` belongs to the relay that evaluates (upstream's `POST
/// /admin/v1/retriever/refresh`): a part of its own keeps the two apart for whatever either adds.
pub(crate) const ADMIN: &str = "/admin/v1/flagpost/";

/// Where a path leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// `POST /v1/data/collector`.
    Collector,
    /// `POST /v1/data/exported`.
    Exported,
    /// `/health`: upstream's constant.
    Health,
    /// `/health/live`.
    Live,
    /// `/health/ready`.
    Ready,
    /// `/health/exporters`.
    Exporters,
    /// `/info`.
    Info,
    /// `/metrics`.
    Metrics,
    /// `/openapi.json`.
    OpenApi,
    /// Below [`ADMIN`].
    Admin,
    /// One of upstream's, or below one of its groups.
    Elsewhere(Elsewhere),
    /// Nobody's.
    Unknown,
}

/// A route of upstream's that needs evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Elsewhere {
    pattern: &'static str,
    /// What upstream asks for before it looks further.
    pub(crate) guard: Guard,
}

/// Who may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    /// Everyone.
    None,
    /// A key in a header.
    User,
    /// An admin's key in a header.
    Admin,
    /// A key in the query.
    Stream,
}

/// Upstream's routes (its `cmd/relayproxy/api/routes_*.go`), as the router prints them.
const EXACT: &[(&str, Guard)] = &[
    ("/v1/allflags", Guard::User),
    ("/v1/flag/change", Guard::User),
    ("/v1/flag/configuration", Guard::User),
    ("/ofrep/v1/evaluate/flags", Guard::User),
    ("/openfeature/v0/manifest", Guard::User),
    ("/admin/v1/retriever/refresh", Guard::Admin),
    ("/stream/v1/ws/flag/change", Guard::Stream),
    ("/stream/v1/sse/flag/change", Guard::Stream),
    ("/ws/v1/flag/change", Guard::Stream),
];

/// Upstream's groups: a prefix, the pattern of everything below it.
const GROUPS: &[(&str, &str, Guard)] = &[
    ("/v1/", "/v1/*", Guard::User),
    ("/ofrep/", "/ofrep/v1/*", Guard::User),
    ("/openfeature/", "/openfeature/v0/*", Guard::User),
    ("/admin/", "/admin/v1/*", Guard::Admin),
    ("/stream/", "/stream/v1/*", Guard::Stream),
    ("/ws/", "/ws/v1/*", Guard::Stream),
    ("/swagger", "/swagger/*", Guard::None),
    ("/debug/", "/debug/*", Guard::None),
];

impl Route {
    /// The route of a path.
    #[inline]
    pub(crate) fn of(path: &str) -> Route {
        match path {
            "/v1/data/collector" => Route::Collector,
            "/v1/data/exported" => Route::Exported,
            "/health" => Route::Health,
            "/health/live" => Route::Live,
            "/health/ready" => Route::Ready,
            "/health/exporters" => Route::Exporters,
            "/info" => Route::Info,
            "/metrics" => Route::Metrics,
            "/openapi.json" => Route::OpenApi,
            _ if path.starts_with(ADMIN) => Route::Admin,
            _ => Route::elsewhere(path),
        }
    }

    fn elsewhere(path: &str) -> Route {
        let of = |pattern, guard| Route::Elsewhere(Elsewhere { pattern, guard });
        if let Some(&(pattern, guard)) = EXACT.iter().find(|(exact, _)| *exact == path) {
            return of(pattern, guard);
        }
        let parameter = |text: &str| !text.is_empty() && !text.contains('/');
        if path.strip_prefix("/v1/feature/").and_then(|rest| rest.strip_suffix("/eval")).is_some_and(parameter) {
            return of("/v1/feature/:flagKey/eval", Guard::User);
        }
        if path.strip_prefix("/ofrep/v1/evaluate/flags/").is_some_and(parameter) {
            return of("/ofrep/v1/evaluate/flags/:flagKey", Guard::User);
        }
        match GROUPS.iter().find(|(prefix, ..)| path.starts_with(prefix)) {
            Some(&(_, pattern, guard)) => of(pattern, guard),
            None => Route::Unknown,
        }
    }

    /// The pattern: a metric label.
    pub(crate) fn pattern(self) -> &'static str {
        match self {
            Route::Collector => "/v1/data/collector",
            Route::Exported => "/v1/data/exported",
            Route::Health => "/health",
            Route::Live => "/health/live",
            Route::Ready => "/health/ready",
            Route::Exporters => "/health/exporters",
            Route::Info => "/info",
            Route::Metrics => "/metrics",
            Route::OpenApi => "/openapi.json",
            Route::Admin => "/admin/v1/flagpost/*",
            Route::Elsewhere(elsewhere) => elsewhere.pattern,
            Route::Unknown => "/*",
        }
    }

    /// Whether it is served at `server.monitoringPort` when there is one.
    pub(crate) fn is_monitoring(self) -> bool {
        matches!(self, Route::Health | Route::Live | Route::Ready | Route::Exporters | Route::Info | Route::Metrics)
    }

    /// Whether it is ours, whatever stands behind `upstream.url`.
    pub(crate) fn is_ours(self) -> bool {
        !matches!(self, Route::Elsewhere(_) | Route::Unknown)
    }

    /// What `Allow` says of it, if it is a route with methods.
    pub(crate) fn allow(self) -> Option<&'static str> {
        match self {
            Route::Collector | Route::Exported => Some("OPTIONS, POST"),
            Route::Admin | Route::Elsewhere(_) | Route::Unknown => None,
            _ => Some("OPTIONS, GET, HEAD"),
        }
    }
}

/// A method as a metric label: again a closed list.
pub(crate) fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_pattern_out_of_a_closed_list() {
        let cases = [
            ("/v1/data/collector", "/v1/data/collector", true),
            ("/v1/data/collector/", "/v1/*", false),
            ("/v1/data/exported", "/v1/data/exported", true),
            ("/v1/feature/a-b/eval", "/v1/feature/:flagKey/eval", false),
            ("/v1/feature//eval", "/v1/*", false),
            ("/v1/feature/a/b/eval", "/v1/*", false),
            ("/v1/allflags", "/v1/allflags", false),
            ("/ofrep/v1/evaluate/flags", "/ofrep/v1/evaluate/flags", false),
            ("/ofrep/v1/evaluate/flags/x", "/ofrep/v1/evaluate/flags/:flagKey", false),
            ("/admin/v1/retriever/refresh", "/admin/v1/retriever/refresh", false),
            ("/admin/v1/flagpost/exporters", "/admin/v1/flagpost/*", true),
            ("/admin/v1/flagpost", "/admin/v1/*", false),
            ("/health/exporters", "/health/exporters", true),
            ("/health/", "/*", false),
            ("/info", "/info", true),
            ("/swagger/index.html", "/swagger/*", false),
            ("/", "/*", false),
        ];
        for (path, pattern, ours) in cases {
            assert_eq!((Route::of(path).pattern(), Route::of(path).is_ours()), (pattern, ours), "{path}");
        }
    }

    #[test]
    fn what_is_below_a_group_has_the_groups_guard() {
        let guard = |path| match Route::of(path) {
            Route::Elsewhere(elsewhere) => Some(elsewhere.guard),
            _ => None,
        };
        assert_eq!(guard("/v1/nothing"), Some(Guard::User));
        assert_eq!(guard("/admin/v1/nothing"), Some(Guard::Admin));
        assert_eq!(guard("/stream/v1/sse/flag/change"), Some(Guard::Stream));
        assert_eq!(guard("/swagger/"), Some(Guard::None));
        assert_eq!(guard("/nothing"), None);
    }
}
