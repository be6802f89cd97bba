//! An answer of Amplitude's.

use std::collections::BTreeMap;

use flagpost_analytics::{Answer, Row, by_status, shortened};
use flagpost_sdk::Reply;
use serde::Deserialize;
use serde_json::Value;

/// What Amplitude asks to wait for a throttled user or device, in milliseconds.
const THROTTLED_MS: u32 = 30_000;

/// The body of a refusal. Places count within the request.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    error: String,
    missing_field: Option<String>,
    events_with_invalid_fields: BTreeMap<String, Vec<usize>>,
    events_with_missing_fields: BTreeMap<String, Vec<usize>>,
    events_with_invalid_id_lengths: BTreeMap<String, Vec<usize>>,
    silenced_events: Vec<usize>,
    throttled_events: Vec<usize>,
    exceeded_daily_quota_users: BTreeMap<String, Value>,
    exceeded_daily_quota_devices: BTreeMap<String, Value>,
}

/// What became of the request's events.
pub fn of(reply: &Reply, rows: &[Row]) -> Answer {
    if reply.status != 400 && reply.status != 429 {
        return by_status(reply);
    }
    let Ok(refusal) = serde_json::from_str::<Refusal>(&reply.body) else { return by_status(reply) };
    let answer = if reply.status == 400 { refused(&refusal) } else { throttled(&refusal, reply, rows) };
    match answer {
        // A place that is none says nothing.
        Some(Answer::Without { rejected, throttled, .. })
            if rejected.iter().map(|(at, _)| at).chain(&throttled).any(|&at| at >= rows.len()) =>
        {
            by_status(reply)
        }
        Some(answer) => answer,
        None => by_status(reply),
    }
}

fn refused(refusal: &Refusal) -> Option<Answer> {
    if refusal.error.starts_with("Invalid API key") || refusal.missing_field.as_deref() == Some("api_key") {
        return Some(Answer::Misconfigured(format!("{}: is the secret {} right?", shortened(&refusal.error), crate::KEY)));
    }
    let mut rejected = BTreeMap::new();
    let kinds = [
        ("invalid", &refusal.events_with_invalid_fields),
        ("missing", &refusal.events_with_missing_fields),
        ("too short, see minIdLength", &refusal.events_with_invalid_id_lengths),
    ];
    for (what, fields) in kinds {
        for (field, places) in fields {
            for &at in places {
                rejected.entry(at).or_insert_with(|| format!("{}: {field} is {what}", shortened(&refusal.error)));
            }
        }
    }
    for &at in &refusal.silenced_events {
        rejected.entry(at).or_insert_with(|| "its device is silenced".to_owned());
    }
    (!rejected.is_empty()).then(|| Answer::Without { rejected: rejected.into_iter().collect(), throttled: Vec::new(), after_ms: None })
}

fn throttled(refusal: &Refusal, reply: &Reply, rows: &[Row]) -> Option<Answer> {
    let over = |row: &Row| {
        refusal.exceeded_daily_quota_users.contains_key(&row.who) || refusal.exceeded_daily_quota_devices.contains_key(&row.who)
    };
    let rejected: Vec<_> = rows
        .iter()
        .enumerate()
        .filter(|(_, row)| over(row))
        .map(|(at, _)| (at, "Amplitude's daily quota of this user or device is used up".to_owned()))
        .collect();
    let throttled: Vec<_> = refusal.throttled_events.iter().copied().filter(|at| !rejected.iter().any(|(named, _)| named == at)).collect();
    let after_ms = (!throttled.is_empty()).then(|| reply.retry_after_ms().unwrap_or(THROTTLED_MS));
    (!rejected.is_empty() || !throttled.is_empty()).then_some(Answer::Without { rejected, throttled, after_ms })
}

#[cfg(test)]
mod tests {
    use flagpost_analytics::Row;
    use flagpost_sdk::Reply;

    #[test]
    fn recorded_answers_mean_what_they_say() {
        let rows: Vec<Row> = (0..3).map(|index| Row { index, who: format!("u{index}"), json: String::new() }).collect();
        for (status, body, meaning) in [
            (200, r#"{"code":200,"events_ingested":3,"payload_size_bytes":50,"server_upload_time":1396381378123}"#, "Taken([])"),
            (
                400,
                r#"{"code":400,"error":"Request missing required field","missing_field":"api_key"}"#,
                r#"Misconfigured("Request missing required field: is the secret AMPLITUDE_API_KEY right?")"#,
            ),
            (
                400,
                r#"{"code":400,"error":"Invalid API key: abc"}"#,
                r#"Misconfigured("Invalid API key: abc: is the secret AMPLITUDE_API_KEY right?")"#,
            ),
            (
                400,
                r#"{"code":400,"error":"Invalid field values on some events","events_with_invalid_fields":{"time":[2]},"events_with_missing_fields":{"event_type":[0,2]}}"#,
                r#"Without { rejected: [(0, "Invalid field values on some events: event_type is missing"), (2, "Invalid field values on some events: time is invalid")], throttled: [], after_ms: None }"#,
            ),
            (
                400,
                r#"{"code":400,"error":"Invalid id length for user_id or device_id","events_with_invalid_id_lengths":{"user_id":[0]}}"#,
                r#"Without { rejected: [(0, "Invalid id length for user_id or device_id: user_id is too short, see minIdLength")], throttled: [], after_ms: None }"#,
            ),
            (
                400,
                r#"{"code":400,"error":"x","silenced_devices":["d"],"silenced_events":[1]}"#,
                r#"Without { rejected: [(1, "its device is silenced")], throttled: [], after_ms: None }"#,
            ),
            (
                400,
                r#"{"code":400,"error":"Invalid JSON request body"}"#,
                r#"Refused("HTTP 400: {\"code\":400,\"error\":\"Invalid JSON request body\"}")"#,
            ),
            (
                400,
                r#"{"code":400,"error":"x","silenced_events":[3]}"#,
                r#"Refused("HTTP 400: {\"code\":400,\"error\":\"x\",\"silenced_events\":[3]}")"#,
            ),
            (413, r#"{"code":413,"error":"Payload too large"}"#, r#"TooLarge("HTTP 413: {\"code\":413,\"error\":\"Payload too large\"}")"#),
            (
                429,
                r#"{"code":429,"error":"Too many requests for some devices and users","eps_threshold":30,"throttled_devices":{},"throttled_users":{"u1":32},"throttled_events":[1]}"#,
                "Without { rejected: [], throttled: [1], after_ms: Some(30000) }",
            ),
            (
                429,
                r#"{"code":429,"error":"Exceeded daily quota","exceeded_daily_quota_users":{"u1":500001},"throttled_events":[0,1]}"#,
                r#"Without { rejected: [(1, "Amplitude's daily quota of this user or device is used up")], throttled: [0], after_ms: Some(30000) }"#,
            ),
            (429, "", r#"Later { reason: "HTTP 429: ", after_ms: None }"#),
            (500, "", r#"Unknown { reason: "HTTP 500: ", after_ms: None }"#),
            (503, "", r#"Unknown { reason: "HTTP 503: ", after_ms: None }"#),
        ] {
            let reply = Reply { status, headers: Vec::new(), body: body.to_owned() };
            assert_eq!(format!("{:?}", super::of(&reply, &rows)), meaning, "{status} {body}");
        }
    }
}
