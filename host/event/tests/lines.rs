//! Events and their lines.
#![allow(clippy::unwrap_used)]

use std::borrow::Cow;

use flagpost_event::collect::{CollectLimits, decode};
use flagpost_event::{Event, EventKind, FeatureEvent, Json, TrackingEvent};
use proptest::prelude::*;

fn feature() -> FeatureEvent<'static> {
    FeatureEvent {
        kind: "feature".into(),
        context_kind: "anonymousUser".into(),
        user_key: "ABCD".into(),
        creation_date: 1_617_970_547,
        key: "random-key".into(),
        variation: "Default".into(),
        value: Json::from(serde_json::json!("YO")),
        default: false,
        version: "".into(),
        source: "SERVER".into(),
        metadata: None,
    }
}

fn line(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_feature_event_is_printed_as_upstream_prints_it() {
    let event = feature();
    assert_eq!(
        line(|out| event.write_line(out)),
        "{\"kind\":\"feature\",\"contextKind\":\"anonymousUser\",\"userKey\":\"ABCD\",\"creationDate\":1617970547,\"key\":\"random-key\",\
         \"variation\":\"Default\",\"value\":\"YO\",\"default\":false,\"version\":\"\",\"source\":\"SERVER\"}\n"
    );
}

#[test]
fn only_context_kind_and_metadata_are_left_out_when_empty() {
    for metadata in [None, Some(Json::NULL), Some(Json::from(serde_json::json!({})))] {
        let event = FeatureEvent {
            kind: "".into(),
            context_kind: "".into(),
            user_key: "".into(),
            creation_date: 0,
            key: "".into(),
            variation: "".into(),
            value: Json::NULL,
            source: "".into(),
            metadata,
            ..feature()
        };
        assert_eq!(
            line(|out| event.write_line(out)),
            "{\"kind\":\"\",\"userKey\":\"\",\"creationDate\":0,\"key\":\"\",\"variation\":\"\",\"value\":null,\"default\":false,\
             \"version\":\"\",\"source\":\"\"}\n"
        );
    }
}

#[test]
fn a_tracking_event_is_printed_as_upstream_prints_it() {
    let event = TrackingEvent {
        kind: "tracking".into(),
        context_kind: "user".into(),
        user_key: "u1".into(),
        creation_date: -1,
        key: "a<b".into(),
        evaluation_context: Json::from(serde_json::json!({"targetingKey": "u1", "Age": 1.0})),
        tracking_event_details: Json::NULL,
    };
    assert_eq!(
        line(|out| event.write_line(out)),
        "{\"kind\":\"tracking\",\"contextKind\":\"user\",\"userKey\":\"u1\",\"creationDate\":-1,\"key\":\"a\\u003cb\",\
         \"evaluationContext\":{\"Age\":1,\"targetingKey\":\"u1\"},\"trackingEventDetails\":null}\n"
    );
}

#[test]
fn reading_borrows_what_needs_no_decoding() {
    let text = line(|out| feature().write_line(out));
    let event = FeatureEvent::from_line(text.as_bytes()).unwrap();
    assert!(matches!(event.user_key, Cow::Borrowed(_)));
    assert_eq!(event, feature());
}

#[test]
fn other_lines_are_refused_with_the_place() {
    let table: [(&[u8], &str); 6] = [
        (b"", "unexpected EOF"),
        (b"[]", "expected an object"),
        (b"{\"key\":1}", "expected a string"),
        (b"{\"creationDate\":1.5}", "expected an integer of 64 bits"),
        (b"{} {}", "expected the line's end"),
        (b"{\"key\":\"\xff\"}", "not UTF-8"),
    ];
    for (bad, reason) in table {
        for kind in EventKind::ALL {
            let error = Event::from_line(kind, bad).unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains(kind.as_str()), "{error}");
        }
    }
}

fn object() -> impl Strategy<Value = Json<'static>> {
    prop::collection::btree_map(".{0,4}", prop_oneof![any::<f64>().prop_map(serde_json::Value::from), ".{0,6}".prop_map(Into::into)], 1..5)
        .prop_map(|map| Json::from(serde_json::Value::Object(map.into_iter().collect())))
}

prop_compose! {
    fn any_feature()(
        kind in ".{0,5}", context_kind in ".{0,5}", user_key in ".{0,9}", creation_date in any::<i64>(), key in ".{0,9}",
        variation in ".{0,9}", value in object(), default in any::<bool>(), version in ".{0,5}", source in ".{1,5}",
        metadata in prop::option::of(object()),
    ) -> FeatureEvent<'static> {
        FeatureEvent {
            kind: kind.into(), context_kind: context_kind.into(), user_key: user_key.into(), creation_date, key: key.into(),
            variation: variation.into(), value, default, version: version.into(), source: source.into(), metadata,
        }
    }
}

prop_compose! {
    fn any_tracking()(
        context_kind in ".{0,5}", user_key in ".{0,9}", creation_date in any::<i64>(), key in ".{0,9}",
        evaluation_context in prop_oneof![Just(Json::NULL), object()], tracking_event_details in prop_oneof![Just(Json::NULL), object()],
    ) -> TrackingEvent<'static> {
        TrackingEvent {
            kind: "tracking".into(), context_kind: context_kind.into(), user_key: user_key.into(), creation_date, key: key.into(),
            evaluation_context, tracking_event_details,
        }
    }
}

proptest! {
    #[test]
    fn an_event_reads_back_as_it_was_written(feature in any_feature(), tracking in any_tracking()) {
        let text = line(|out| feature.write_line(out));
        prop_assert_eq!(text.matches('\n').count(), 1);
        prop_assert_eq!(FeatureEvent::from_line(text.as_bytes()).unwrap(), feature);
        let text = line(|out| tracking.write_line(out));
        prop_assert_eq!(TrackingEvent::from_line(text.as_bytes()).unwrap(), tracking);
    }

    #[test]
    fn the_collector_takes_a_line_over_unchanged(mut feature in any_feature(), mut tracking in any_tracking()) {
        feature.creation_date %= 10_000_000_000;
        tracking.creation_date %= 10_000_000_000;
        prop_assume!(feature.kind != "tracking");
        let (first, second) = (line(|out| feature.write_line(out)), line(|out| tracking.write_line(out)));
        let body = format!("{{\"events\":[{first},{second}]}}");
        let collected = decode(body.as_bytes(), &CollectLimits::default()).unwrap();
        prop_assert_eq!(std::str::from_utf8(&collected.feature.bytes).unwrap(), first);
        prop_assert_eq!(std::str::from_utf8(&collected.tracking.bytes).unwrap(), second);
    }

    #[test]
    fn any_line_gives_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..64), text in "\\{(\"(key|value|default)\":(1|\"a\"|\\{|\\}|null|,)){0,3}\\}?") {
        for kind in EventKind::ALL {
            for line in [&bytes[..], text.as_bytes()] {
                if let Ok(event) = Event::from_line(kind, line) {
                    prop_assert_eq!(event.stream_kind(), kind);
                }
            }
        }
    }
}
