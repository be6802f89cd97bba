//! The collector's decode against upstream's, and its limits.
#![allow(clippy::unwrap_used)]

use flagpost_event::collect::{CollectError, CollectLimits, Collected, DropCause, Drops, Lines, decode};
use proptest::prelude::*;
use serde::Deserialize;

fn texts(lines: &Lines) -> Vec<&str> {
    let texts: Vec<_> = std::str::from_utf8(&lines.bytes).unwrap().split_terminator('\n').collect();
    assert_eq!(texts.len(), lines.count as usize);
    texts
}

fn collect(body: impl AsRef<[u8]>) -> Collected {
    decode(body.as_ref(), &CollectLimits::default()).unwrap()
}

/// A case recorded from upstream's decoding steps: Go 1.26's encoding/json, echo's binder, mapstructure v2.5.0.
#[derive(Deserialize)]
struct Recorded {
    body: String,
    /// What follows `collectEvalData: invalid input data`.
    error: Option<String>,
    #[serde(default)]
    ingested: u64,
    #[serde(default)]
    feature: Vec<String>,
    #[serde(default)]
    tracking: Vec<String>,
    #[serde(default)]
    dropped: Vec<usize>,
}

#[test]
fn every_recorded_case_comes_out_as_upstream_has_it() {
    let cases = include_str!("upstream_collector.jsonl").lines().map(|line| serde_json::from_str::<Recorded>(line).unwrap());
    let mut count = 0;
    for case in cases {
        count += 1;
        let body = &case.body;
        match (decode(body.as_bytes(), &CollectLimits::default()), case.error) {
            (Ok(collected), None) => {
                assert_eq!(collected.ingested, case.ingested, "{body}");
                assert_eq!(texts(&collected.feature), case.feature, "{body}");
                assert_eq!(texts(&collected.tracking), case.tracking, "{body}");
                let dropped: Vec<_> = collected.dropped.details().iter().map(|dropped| dropped.index).collect();
                assert_eq!(dropped, case.dropped, "{body}");
            }
            (Err(error), Some(expected)) => {
                assert_eq!(error.status(), 400);
                assert_eq!(error.message(), format!("collectEvalData: invalid input data {expected}").trim_end(), "{body}");
            }
            (result, expected) => panic!("{body}: {result:?}, upstream: {expected:?}"),
        }
    }
    assert!(count > 120);
}

#[test]
fn what_is_not_utf8_becomes_replacement_characters() {
    let collected = collect(b"{\"events\":[{\"key\":\"a\xff\xe2\x82\",\"value\":[\"\xc3\"]}]}");
    assert!(texts(&collected.feature)[0].contains("\"key\":\"a\u{fffd}\u{fffd}\u{fffd}\",\"variation\":\"\",\"value\":[\"\u{fffd}\"]"));
}

#[test]
fn integers_of_64_bits_stay_exact() {
    let collected = collect(r#"{"events":[{"value":12345678901234567890,"metadata":{"id":-9007199254740993}}]}"#);
    let line = texts(&collected.feature)[0];
    assert!(line.contains(r#""value":12345678901234567890,"#) && line.contains(r#"{"id":-9007199254740993}"#), "{line}");
}

#[test]
fn a_number_beyond_a_float_drops_its_event_alone() {
    let collected = collect(
        r#"{"events":[{"value":1e400},{"value":[{"a":-1e400}]},{"metadata":{"a":1e999}},{"kind":"tracking","evaluationContext":{"a":1e400}},
        {"unknown":1e400,"key":"kept"},{"creationDate":1e400},{"creationDate":-1e400},{"kind":"tracking","creationDate":1e400}]}"#,
    );
    assert_eq!((collected.ingested, collected.feature.count, collected.tracking.count), (8, 1, 0));
    assert_eq!(collected.dropped.count(DropCause::NumberRange), 7);
}

#[test]
fn tracking_events_take_names_in_any_case_the_last_in_byte_order_wins_and_null_changes_nothing() {
    let cases = [
        (r#"{"kind":"tracking","Key":"go","key":"json"}"#, Some("json")),
        (r#"{"key":"json","kind":"tracking","Key":"go"}"#, Some("json")),
        (r#"{"kind":"tracking","KEY":"a","Key":"b"}"#, Some("b")),
        (r#"{"kind":"tracking","kEY":"c","key":"json","kEY":"d"}"#, Some("json")),
        (r#"{"kind":"tracking","key":null,"Key":"go"}"#, Some("go")),
        (r#"{"kind":"tracking","key":"json","Key":5}"#, None),
        (r#"{"kind":"tracking","key":"json","Key":5,"Key":"late"}"#, Some("json")),
        (r#"{"Kind":"feature","kind":"tracking","key":"json"}"#, Some("json")),
    ];
    for (event, expected) in cases {
        let collected = collect(format!("{{\"events\":[{event}]}}"));
        match expected {
            Some(key) => {
                let line = texts(&collected.tracking)[0];
                assert!(line.starts_with(r#"{"kind":"tracking","#) && line.contains(&format!(r#""key":"{key}""#)), "{event}: {line}");
            }
            None => assert_eq!((collected.tracking.count, collected.dropped.count(DropCause::WrongType)), (0, 1), "{event}"),
        }
    }
}

#[test]
fn dates_that_are_no_seconds_are_counted() {
    let collected = collect(
        r#"{"events":[{"creationDate":1680246000123},{"creationDate":1680246000},{"kind":"tracking","creationDate":10000000000},
        {"creationDate":1680246000123,"key":5}]}"#,
    );
    assert_eq!(collected.normalised_dates, 2);
}

#[test]
fn a_dropped_event_is_named_without_its_values() {
    let collected = collect(
        r#"{"events":[{"key":"kept"},{"userKey":{"secret":"x"}},{"creationDate":"secret"},{"kind":"tracking","creationDate":1.5}]}"#,
    );
    let details: Vec<_> = collected.dropped.details().iter().map(|d| (d.index, d.cause.as_str(), d.detail.as_str())).collect();
    assert_eq!(
        details,
        [
            (1, "wrong_type", "`userKey` is an object: expected a string or null"),
            (2, "wrong_type", "`creationDate` is a string: expected a number or null"),
            (3, "wrong_type", "`creationDate` is a number: expected an integer of 64 bits"),
        ]
    );
}

#[test]
fn all_drops_are_counted_and_few_are_told() {
    let body = format!("{{\"events\":[{}]}}", vec!["{\"key\":1}"; 1000].join(","));
    let collected = collect(&body);
    assert_eq!((collected.dropped.total(), collected.ingested), (1000, 1000));
    assert_eq!(collected.dropped.details().len(), Drops::MAX_DETAILS);
}

#[test]
fn meta_is_the_same_before_and_after_the_events() {
    let events = r#""events":[{"key":"a"},{"key":"b","metadata":{"own":"\n"}},{"kind":"tracking","key":"t"},{"key":5},{"key":"c"}]"#;
    for meta in ["null", "{}", r#"{"b":1,"a":"<"}"#] {
        let before = collect(format!("{{\"meta\":{meta},{events}}}"));
        let after = collect(format!("{{{events},\"meta\":{meta}}}"));
        assert_eq!((&before.feature, &before.tracking, &before.dropped), (&after.feature, &after.tracking, &after.dropped));
        // Of several the last one counts, wherever it stands.
        let replaced = collect(format!("{{\"meta\":{{\"old\":1}},{events},\"META\":{{\"older\":1}},\"meta\":{meta}}}"));
        assert_eq!(before.feature, replaced.feature);
    }
}

fn refused(body: &str, limits: CollectLimits) -> CollectError {
    decode(body.as_bytes(), &limits).unwrap_err()
}

#[test]
fn requests_over_a_limit_are_refused_with_413() {
    let limits = CollectLimits { max_events: 3, max_meta_bytes: 20, max_encoded_bytes: 1000, ..CollectLimits::default() };
    let many = r#"{"events":[{},{},{},{}]}"#;
    let meta = r#"{"events":[],"meta":{"a":"0123456789012345"}}"#;
    let long = format!(r#"{{"events":[{{"key":"{}"}},{{"key":"{}"}}]}}"#, "x".repeat(450), "x".repeat(450));
    for (body, word) in [(many, "more than 3 events"), (meta, "meta is over 20 bytes"), (long.as_str(), "more than 1000 bytes")] {
        let error = refused(body, limits);
        assert_eq!(error.status(), 413, "{body}");
        assert!(error.message().contains(word), "{error}");
    }
    assert!(decode(br#"{"events":[{},{},{}],"meta":{"a":"012345678901"}}"#, &limits).is_ok());
}

#[test]
fn meta_cannot_multiply_a_request_beyond_the_limit() {
    let meta = format!("\"meta\":{{\"a\":\"{}\"}}", "x".repeat(1000));
    let events = format!("\"events\":[{}]", vec!["{}"; 10_000].join(","));
    let limits = CollectLimits { max_encoded_bytes: 1 << 20, ..CollectLimits::default() };
    for body in [format!("{{{meta},{events}}}"), format!("{{{events},{meta}}}")] {
        assert_eq!(refused(&body, limits).status(), 413);
        assert!(decode(body.as_bytes(), &CollectLimits::default()).is_ok());
    }
}

#[test]
fn one_event_over_its_limit_is_dropped_alone() {
    let limits = CollectLimits { max_event_bytes: 340, ..CollectLimits::default() };
    let long = "x".repeat(300);
    let meta = format!("{{\"a\":\"{}\"}}", "x".repeat(150));
    let events = format!(
        r#""events":[{{"key":"a"}},{{"key":"{long}"}},{{"value":["{long}"]}},{{"unknown":["{long}"],"key":"b"}},{{"kind":"tracking","key":"{long}"}},
        {{"key":"{}"}}]"#,
        "x".repeat(100)
    );
    let plain = decode(format!("{{{events}}}").as_bytes(), &limits).unwrap();
    assert_eq!((plain.feature.count, plain.tracking.count, plain.dropped.count(DropCause::TooLarge)), (3, 0, 3));
    for body in [format!("{{\"meta\":{meta},{events}}}"), format!("{{{events},\"meta\":{meta}}}")] {
        let collected = decode(body.as_bytes(), &limits).unwrap();
        assert_eq!((collected.feature.count, collected.dropped.count(DropCause::TooLarge)), (2, 4));
        assert_eq!(collected.dropped.details().iter().map(|d| d.index).max(), Some(5));
        assert!(texts(&collected.feature).iter().all(|line| line.len() < 340));
    }
}

#[test]
fn nesting_drops_an_event_or_refuses_the_request() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let collected = collect(format!(
        r#"{{"events":[{{"value":{}}},{{"value":{}}},{{"unknown":{},"userKey":"kept"}}]}}"#,
        nested(64),
        nested(65),
        nested(5000)
    ));
    assert_eq!((collected.feature.count, collected.dropped.count(DropCause::TooDeep)), (2, 1));
    let limits = CollectLimits::default();
    assert!(refused(&format!("{{\"meta\":{{\"a\":{}}},\"events\":[]}}", nested(64)), limits).message().contains("nested deeper than 64"));
    for hostile in ["[".repeat(400_000), "{\"events\":".to_owned() + &"[".repeat(400_000), "{\"a\":".repeat(100_000), nested(200_000)] {
        assert_eq!(refused(&hostile, limits).status(), 400);
    }
    assert!(refused(&format!("{{\"x\":{}}}", nested(200_000)), limits).message().contains("exceeded max depth"));
}

/// Bodies that are close to requests.
fn nearly_requests() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        Just("{\"events\":[".to_owned()),
        Just("\"meta\":{".to_owned()),
        Just("]}".to_owned()),
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just(",".to_owned()),
        "\"(kind|key|value|metadata|creationDate|evaluationContext|x)\":(\"tracking\"|\"\\\\ud83d\"|-?[0-9]{1,12}|1e[0-9]{1,3}|\\[\\]|\\{\\}|null|true)",
    ];
    prop::collection::vec(token, 0..14).prop_map(|tokens| tokens.concat().into_bytes())
}

proptest! {
    #[test]
    fn decoding_never_panics_and_accounts_for_every_event(body in nearly_requests(), noise in prop::collection::vec(any::<u8>(), 0..80)) {
        for body in [body, noise] {
            if let Ok(collected) = decode(&body, &CollectLimits::default()) {
                let kept = texts(&collected.feature).len() + texts(&collected.tracking).len();
                prop_assert_eq!(collected.ingested, kept as u64 + collected.dropped.total());
            }
        }
    }
}
