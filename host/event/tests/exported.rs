//! Bodies of upstream's `webhook` exporter: what went in comes out, byte for byte.
#![allow(clippy::unwrap_used, missing_docs)]

use flagpost_event::Json;
use flagpost_event::collect::{CollectLimits, Collected, decode, decode_exported};
use flagpost_event::{FeatureEvent, TrackingEvent};
use proptest::prelude::*;
use serde_json::Value;

fn exported(events: &[String]) -> Collected {
    let body = format!("{{\"meta\":{{\"hostname\":\"relay-0\",\"zone\":\"a\"}},\"events\":[{}]}}", events.join(","));
    decode_exported(body.as_bytes(), &CollectLimits::default()).unwrap()
}

fn lines(bytes: &[u8]) -> Vec<String> {
    std::str::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn final_events_come_out_as_they_went_in() {
    let events = [
        // No source, an empty one, a date in milliseconds, a date before the epoch, no context kind, Go's own float and escapes.
        r#"{"kind":"feature","contextKind":"user","userKey":"u","creationDate":1680246000,"key":"k","variation":"v","value":1e+21,"default":false,"version":"","source":""}"#,
        r#"{"kind":"feature","userKey":"","creationDate":1680246000123,"key":"k","variation":"SdkDefault","value":null,"default":true,"version":"1","source":"SERVER","metadata":{"a":"\u003cb\u003e","hostname":"own"}}"#,
        r#"{"kind":"","userKey":"u","creationDate":-5,"key":"k","variation":"","value":{"a":[1,null,"\u2028"]},"default":false,"version":"","source":"PROVIDER_CACHE"}"#,
        r#"{"kind":"tracking","userKey":"u","creationDate":1680246000,"key":"k","variation":"v","value":1,"default":false,"version":"","source":"SERVER"}"#,
    ];
    let tracking = [
        r#"{"kind":"tracking","contextKind":"user","userKey":"u","creationDate":16802460001,"key":"k","evaluationContext":{"targetingKey":"u"},"trackingEventDetails":null}"#,
        r#"{"kind":"tracking","userKey":"u","creationDate":1,"key":"k","evaluationContext":null,"trackingEventDetails":{"value":12.5}}"#,
    ];
    let all: Vec<String> = events.iter().chain(&tracking).map(|&text| text.to_owned()).collect();
    let collected = exported(&all);
    assert_eq!((collected.ingested, collected.normalised_dates, collected.dropped.total()), (6, 0, 0));
    assert_eq!(lines(&collected.feature.bytes), events);
    assert_eq!(lines(&collected.tracking.bytes), tracking);
}

#[test]
fn the_senders_meta_is_ignored_wherever_it_stands() {
    let event = r#"{"kind":"feature","userKey":"u","creationDate":1,"key":"k","variation":"v","value":1,"default":false,"version":"","source":"SERVER","metadata":{"own":1}}"#;
    for body in [
        format!(r#"{{"meta":{{"hostname":"h"}},"events":[{event}]}}"#),
        format!(r#"{{"events":[{event}],"META":{{"hostname":"h"}}}}"#),
        format!(r#"{{"meta":null,"events":[{event}]}}"#),
        format!(r#"{{"meta":"text","events":[{event}]}}"#),
    ] {
        let collected = decode_exported(body.as_bytes(), &CollectLimits::default()).unwrap();
        assert_eq!(lines(&collected.feature.bytes), [event], "{body}");
    }
}

#[test]
fn limits_and_refusals_are_the_collectors() {
    let limits = CollectLimits { max_events: 1, ..CollectLimits::default() };
    for (body, status) in [("", 400), ("{}", 400), ("{\"events\":null}", 400), ("{\"events\":[", 400), ("{\"events\":[{},{}]}", 413)] {
        assert_eq!(decode_exported(body.as_bytes(), &limits).unwrap_err().status(), status, "{body}");
        assert_eq!(decode(body.as_bytes(), &limits).unwrap_err().status(), status, "{body}");
    }
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no others", |float| float.is_finite()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_upstream_writes_comes_out_again(
        texts in prop::array::uniform7(any::<String>()), date: i64, default: bool, value in json(),
        objects in prop::array::uniform3(prop::collection::btree_map(any::<String>(), json(), 0..3)),
    ) {
        let [kind, context_kind, user_key, key, variation, version, source] = texts;
        let object = |at: usize| Json::from(Value::Object(objects[at].clone().into_iter().collect()));
        let feature = FeatureEvent {
            kind: kind.into(), context_kind: context_kind.clone().into(), user_key: user_key.clone().into(), creation_date: date,
            key: key.clone().into(), variation: variation.into(), value: Json::from(value), default, version: version.into(),
            source: source.into(), metadata: Some(object(0)),
        };
        let tracking = TrackingEvent {
            kind: "tracking".into(), context_kind: context_kind.into(), user_key: user_key.into(), creation_date: date, key: key.into(),
            evaluation_context: object(1), tracking_event_details: object(2),
        };
        let (mut one, mut two) = (Vec::new(), Vec::new());
        feature.write_line(&mut one);
        tracking.write_line(&mut two);
        let text = |line: &[u8]| String::from_utf8(line.strip_suffix(b"\n").unwrap().to_vec()).unwrap();
        let collected = exported(&[text(&one), text(&two)]);
        prop_assert_eq!(&collected.feature.bytes, &one);
        prop_assert_eq!(&collected.tracking.bytes, &two);
    }
}
