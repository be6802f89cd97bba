//! Bodies of the collector: every event is accounted for, every line reads back, and decoding lines again changes nothing. Bodies of another
//! relay's exporter: a line that was written once comes out as it is, always.
#![no_main]

use flagpost_event::collect::{CollectLimits, Lines, decode, decode_exported};
use flagpost_event::{Event, EventKind};
use libfuzzer_sys::fuzz_target;

fn check(lines: &Lines, kind: EventKind, limits: &CollectLimits) {
    let texts: Vec<_> = lines.bytes.split_inclusive(|&byte| byte == b'\n').collect();
    assert_eq!(texts.len(), lines.count as usize);
    for text in texts {
        let event = Event::from_line(kind, text).expect("a line reads back");
        let mut again = Vec::new();
        event.write_line(&mut again);
        assert_eq!(again, text);
        // `Kind` fills the field and is not what tells tracking events apart: such a line, sent again, is another event.
        if matches!(&event, Event::Feature(event) if event.kind == "tracking") {
            continue;
        }
        let body = [b"{\"events\":[", text, b"]}"].concat();
        let collected = decode(&body, limits).expect("a line is an event");
        let same = if kind == EventKind::Feature { collected.feature } else { collected.tracking };
        assert_eq!(same.bytes, text);
    }
}

fuzz_target!(|body: &[u8]| {
    let limits = CollectLimits { max_events: 100, max_meta_bytes: 200, max_encoded_bytes: 10_000, max_event_bytes: 500, max_depth: 5 };
    if let Ok(collected) = decode(body, &limits) {
        let kept = u64::from(collected.feature.count) + u64::from(collected.tracking.count);
        assert_eq!(collected.ingested, kept + collected.dropped.total());
        assert!(collected.feature.bytes.len() + collected.tracking.bytes.len() <= limits.max_encoded_bytes);
        check(&collected.feature, EventKind::Feature, &limits);
        check(&collected.tracking, EventKind::Tracking, &limits);
    }
    if let Ok(collected) = decode_exported(body, &limits) {
        let kept = u64::from(collected.feature.count) + u64::from(collected.tracking.count);
        assert_eq!((collected.ingested, collected.normalised_dates), (kept + collected.dropped.total(), 0));
        for lines in [&collected.feature, &collected.tracking] {
            for line in lines.bytes.split_inclusive(|&byte| byte == b'\n') {
                let body = [b"{\"events\":[", line, b"]}"].concat();
                let again = decode_exported(&body, &limits).expect("a line is an event");
                assert_eq!([again.feature.bytes, again.tracking.bytes].concat(), line);
            }
        }
    }
});
