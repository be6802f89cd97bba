//! Templates: a template or an error with a place in the text; and with a template, a text or an error for any event.
#![no_main]

use flagpost_event::{Event, EventKind, Template, TemplateOptions, Zone};
use libfuzzer_sys::fuzz_target;

const FEATURE: &[u8] = br#"{"kind":"feature","contextKind":"user","userKey":"u","creationDate":1617970547,"key":"flag","variation":"A","value":{"a":[1,null,"x",{"b":1e21}]},"default":false,"version":"1","source":"SERVER","metadata":{"a":"x","list":[1,2.5],"none":null}}"#;
const TRACKING: &[u8] =
    br#"{"kind":"tracking","userKey":"u","creationDate":-1,"key":"buy","evaluationContext":null,"trackingEventDetails":{"a":{"b":[true]}}}"#;

fuzz_target!(|text: &str| {
    for (kind, line) in [(EventKind::Feature, FEATURE), (EventKind::Tracking, TRACKING)] {
        for quote in [false, true] {
            match Template::parse(text, kind, &TemplateOptions { zone: Zone::utc(), quote }) {
                Err(error) => assert!(error.line >= 1 && error.line <= text.matches('\n').count() + 1 && error.column >= 1, "{error}"),
                Ok(template) => {
                    let mut out = "before".to_owned();
                    let event = Event::from_line(kind, line).expect("a sound line");
                    let written = template.render(&event, &mut out);
                    assert!(out.starts_with("before") && (written.is_ok() || out == "before"));
                }
            }
        }
    }
});
