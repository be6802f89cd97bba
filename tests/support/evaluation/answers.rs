//! The routes of GO Feature Flag's relay that its clients evaluate through: its bodies, statuses and headers.

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use http_body_util::Full;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::flags::Flags;

/// When the flag file was read last; the format is Go's `time.RFC1123`.
const LAST_MODIFIED: &str = "Sat, 21 Nov 2026 08:00:00 UTC";

/// Answers a request for evaluation; `None`: there is no such route.
pub(super) fn answer(flags: &Flags, method: &str, path: &str, headers: &HeaderMap, body: &[u8]) -> Option<Response<Full<Bytes>>> {
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    Some(match (method, path) {
        ("GET", "/info") => reply(StatusCode::OK, &json!({ "cacheRefresh": "2026-11-21T08:00:00Z" })),
        ("POST", "/v1/flag/configuration") => {
            let names: Vec<String> = serde_json::from_value(asked["flags"].clone()).unwrap_or_default();
            let mut response = tagged(&json!({ "flags": flags.only(&names), "evaluationContextEnrichment": {} }), headers);
            response.headers_mut().insert(header::LAST_MODIFIED, LAST_MODIFIED.parse().unwrap());
            response
        }
        ("GET", "/v1/flag/change") => {
            // There it is FNV-1a of everything; clients look at the ETag only.
            let hash = hex::encode(Sha256::digest(Value::from(flags.only(&[])).to_string()));
            tagged(&json!({ "hash": u32::from_str_radix(&hash[..8], 16).unwrap(), "flags": {} }), headers)
        }
        ("POST", "/v1/allflags") => match old_context(&asked) {
            Some(context) => reply(StatusCode::OK, &all(flags, &context)),
            None => reply(StatusCode::BAD_REQUEST, &json!({ "message": "assertRequest: impossible to find user in request" })),
        },
        ("POST", "/ofrep/v1/evaluate/flags") => match asked["context"].as_object() {
            Some(context) => {
                let each = flags.names().map(|name| ofrep(flags, name, context).unwrap());
                tagged(&json!({ "flags": each.collect::<Vec<_>>() }), headers)
            }
            None => reply(StatusCode::BAD_REQUEST, &json!({ "errorCode": "INVALID_CONTEXT" })),
        },
        ("POST", path) => {
            if let Some(name) = path.strip_prefix("/ofrep/v1/evaluate/flags/") {
                match asked["context"].as_object().map(|context| ofrep(flags, name, context)) {
                    Some(Some(found)) => reply(StatusCode::OK, &found),
                    Some(None) => {
                        let details = format!("Error while evaluating the flag: {name}");
                        reply(StatusCode::NOT_FOUND, &json!({ "errorCode": "FLAG_NOT_FOUND", "errorDetails": details, "key": name }))
                    }
                    None => reply(StatusCode::BAD_REQUEST, &json!({ "errorCode": "INVALID_CONTEXT", "key": name })),
                }
            } else {
                let name = path.strip_prefix("/v1/feature/")?.strip_suffix("/eval")?;
                match old_context(&asked) {
                    Some(context) => reply(StatusCode::OK, &single(flags, name, &context, &asked["defaultValue"])),
                    None => reply(StatusCode::BAD_REQUEST, &json!({ "message": "assertRequest: impossible to find user in request" })),
                }
            }
        }
        _ => return None,
    })
}

/// What a changed flag looks like to those who listen on a WebSocket.
pub(super) fn change(name: &str, (before, after): &(Value, Value)) -> String {
    json!({ "deleted": {}, "added": {}, "updated": { name: { "old_value": before, "new_value": after } } }).to_string()
}

/// An answer as Go's encoder and framework give it: a newline at the end.
pub(super) fn reply(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let body = Full::from(format!("{body}\n"));
    Response::builder().status(status).header(header::CONTENT_TYPE, "application/json").body(body).unwrap()
}

/// The same with a strong `ETag`, or 304 to who has it already.
fn tagged(body: &Value, headers: &HeaderMap) -> Response<Full<Bytes>> {
    let mut response = reply(StatusCode::OK, body);
    let text = format!("{body}\n");
    // There it is SHA-1; nobody can tell.
    let tag = format!("\"{}-{}\"", text.len(), hex::encode(&Sha256::digest(text.as_bytes())[..20]));
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    if known {
        response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    response.headers_mut().insert(header::ETAG, tag.parse().unwrap());
    response
}

/// The context of the routes from before OFREP, in both of its forms.
fn old_context(asked: &Value) -> Option<Map<String, Value>> {
    let given = [&asked["evaluationContext"], &asked["user"]].into_iter().find_map(Value::as_object)?;
    let mut context = given.get("custom").and_then(Value::as_object).cloned().unwrap_or_default();
    context.insert("targetingKey".to_owned(), given.get("key")?.clone());
    Some(context)
}

fn single(flags: &Flags, name: &str, context: &Map<String, Value>, default: &Value) -> Value {
    let Some(found) = flags.resolve(name, context) else {
        return json!({
            "trackEvents": true, "variationType": "SdkDefault", "failed": true, "version": "", "reason": "ERROR",
            "errorCode": "FLAG_NOT_FOUND", "value": default, "cacheable": false,
        });
    };
    let mut answer = json!({
        "trackEvents": found.tracked, "variationType": found.variation, "failed": false, "version": found.version,
        "reason": found.reason, "errorCode": "", "value": found.value, "cacheable": true,
    });
    if !found.metadata.is_null() {
        answer["metadata"] = found.metadata;
    }
    answer
}

fn all(flags: &Flags, context: &Map<String, Value>) -> Value {
    let each = flags.names().map(|name| {
        let found = flags.resolve(name, context).unwrap();
        let mut answer = json!({
            "value": found.value, "timestamp": 1_795_000_000, "variationType": found.variation, "trackEvents": found.tracked,
            "errorCode": "", "reason": found.reason,
        });
        if !found.metadata.is_null() {
            answer["metadata"] = found.metadata;
        }
        (name.clone(), answer)
    });
    json!({ "flags": each.collect::<Map<_, _>>(), "valid": true })
}

fn ofrep(flags: &Flags, name: &str, context: &Map<String, Value>) -> Option<Value> {
    let found = flags.resolve(name, context)?;
    let mut metadata = found.metadata.as_object().cloned().unwrap_or_default();
    metadata.insert("gofeatureflag_cacheable".to_owned(), json!(true));
    Some(json!({ "key": name, "value": found.value, "reason": found.reason, "variant": found.variation, "metadata": metadata }))
}
