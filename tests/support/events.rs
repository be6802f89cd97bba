//! Events with numbers: written as the relay writes them, so that files can be compared byte by byte.

use std::ops::Range;

use serde_json::Value;

/// Event `number` in canonical form, without newline. Its number is in `userKey`; the forms differ.
pub fn event(number: u64) -> String {
    let tail = match number % 5 {
        0 => String::new(),
        1 => r#","metadata":{"openfeature":true,"provider":"python"}"#.to_owned(),
        2 => format!(r#","metadata":{{"n":{number},"name":"Zoë 🚀"}}"#),
        3 => r#","metadata":{"html":"\u003ca\u0026b\u003e"}"#.to_owned(),
        _ => format!(r#","metadata":{{"pad":"{}"}}"#, "x".repeat((number % 97) as usize)),
    };
    let value = match number % 4 {
        0 => "true".to_owned(),
        1 => format!("\"v{number}\""),
        2 => format!("{}.5", number % 1_000),
        _ => format!(r#"{{"a":[1,null],"b":"{number}"}}"#),
    };
    let context = if number.is_multiple_of(3) { "anonymousUser" } else { "user" };
    format!(
        r#"{{"kind":"feature","contextKind":"{context}","userKey":"u-{number}","creationDate":{},"key":"flag-{}","variation":"on","value":{value},"default":false,"version":"1","source":"SERVER"{tail}}}"#,
        1_700_000_000 + number % 100_000,
        number % 7,
    )
}

/// An event that the targets of the tests refuse: its variation says so.
pub fn poison(number: u64) -> String {
    event(number).replace(r#""variation":"on""#, r#""variation":"poison""#)
}

/// Events in canonical form.
pub fn events(numbers: Range<u64>) -> Vec<String> {
    numbers.map(event).collect()
}

/// A tracking event.
pub fn tracking(number: u64) -> String {
    format!(
        r#"{{"kind":"tracking","contextKind":"user","userKey":"t-{number}","creationDate":1700000000,"key":"checkout","evaluationContext":{{"a":1}},"trackingEventDetails":{{"value":{number}}}}}"#
    )
}

/// The events, sorted.
pub fn sorted(mut events: Vec<String>) -> Vec<String> {
    events.sort();
    events
}

/// The collector's request with these events.
pub fn body<S: AsRef<str>>(events: &[S]) -> String {
    let events: Vec<&str> = events.iter().map(AsRef::as_ref).collect();
    format!("{{\"events\":[{}]}}", events.join(","))
}

/// The number of an event.
pub fn event_number(event: &Value) -> u64 {
    let key = event["userKey"].as_str().unwrap_or_else(|| panic!("not an event of these tests: {event}"));
    key.strip_prefix("u-").and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("not an event of these tests: {event}"))
}
