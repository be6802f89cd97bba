//! An answer of Mixpanel's.

use flagpost_analytics::{Answer, by_status, shortened};
use flagpost_sdk::Reply;
use serde::Deserialize;

/// The body of a 400: some were taken.
#[derive(Deserialize)]
struct Partly {
    num_records_imported: usize,
    failed_records: Vec<Failed>,
}

/// One that was not.
#[derive(Deserialize)]
struct Failed {
    index: usize,
    #[serde(default)]
    field: String,
    #[serde(default)]
    message: String,
}

/// What became of the request's events.
pub fn of(reply: &Reply, events: usize) -> Answer {
    if reply.status != 400 {
        return by_status(reply);
    }
    let Ok(partly) = serde_json::from_str::<Partly>(&reply.body) else { return by_status(reply) };
    let mut named: Vec<_> = partly
        .failed_records
        .into_iter()
        .map(|failed| (failed.index, format!("{}: {}", failed.field, shortened(&failed.message))))
        .collect();
    // One event can fail for two fields.
    named.sort();
    named.dedup_by_key(|(index, _)| *index);
    let adds_up = named.len() + partly.num_records_imported >= events && named.last().is_none_or(|(index, _)| *index < events);
    if named.is_empty() || !adds_up {
        let reason = format!("an answer that does not add up for {events} events: HTTP 400: {}", shortened(&reply.body));
        return Answer::Unknown { reason, after_ms: None };
    }
    Answer::Taken(named)
}

#[cfg(test)]
mod tests {
    use flagpost_sdk::Reply;

    #[test]
    fn recorded_answers_mean_what_they_say() {
        for (status, body, meaning) in [
            (200, r#"{"code":200,"num_records_imported":3,"status":"OK"}"#, "Taken([])"),
            (
                400,
                r#"{"code":400,"error":"some data points in the request failed validation","status":"Bad Request","num_records_imported":2,"failed_records":[{"index":1,"insert_id":"13c0b661-f48b-51cd-ba54-97c5999169c0","field":"properties.time","message":"'properties.time' is invalid: must be specified as seconds since epoch"}]}"#,
                r#"Taken([(1, "properties.time: 'properties.time' is invalid: must be specified as seconds since epoch")])"#,
            ),
            (
                400,
                r#"{"code":400,"num_records_imported":1,"failed_records":[{"index":2,"field":"event","message":"x"},{"index":0,"field":"event","message":"x"},{"index":0,"field":"properties.time","message":"y"}]}"#,
                r#"Taken([(0, "event: x"), (2, "event: x")])"#,
            ),
            (400, r#"{"code":400,"num_records_imported":1,"failed_records":[{"index":2,"field":"event","message":"x"}]}"#, "Unknown {"),
            (400, r#"{"code":400,"num_records_imported":2,"failed_records":[{"index":3,"field":"event","message":"x"}]}"#, "Unknown {"),
            (400, r#"{"code":400,"error":"request body is not valid JSON","status":"Bad Request"}"#, "Refused("),
            (401, r#"{"code":401,"error":"Invalid credentials","status":"Unauthorized"}"#, "Misconfigured("),
            (403, r#"{"code":403,"error":"Forbidden","status":"Forbidden"}"#, "Misconfigured("),
            (413, r#"{"code":413,"error":"request exceeds max limit of 2097152 bytes","status":"Request Entity Too Large"}"#, "TooLarge("),
            (
                429,
                r#"{"code":429,"error":"Project exceeded rate limits. Please retry the request with exponential backoff.","status":"Too Many Requests"}"#,
                "Later {",
            ),
            (500, "", "Unknown {"),
        ] {
            let found = format!("{:?}", super::of(&Reply { status, headers: Vec::new(), body: body.to_owned() }, 3));
            assert!(found.starts_with(meaning), "{status} {body}: {found}");
        }
    }
}
