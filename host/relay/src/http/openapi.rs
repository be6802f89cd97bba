//! `/openapi.json`: the description of every route that is served here.

use http::{Response, StatusCode};

use super::Reply;

/// OpenAPI 3.1. Tests hold it against the routes.
pub(crate) const DOCUMENT: &str = include_str!("openapi.json");

pub(crate) fn answer() -> Response<Reply> {
    Reply::json(StatusCode::OK, DOCUMENT)
}
