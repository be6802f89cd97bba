#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::{FeatureEvent, Json, TrackingEvent};

fn options(quote: bool) -> TemplateOptions {
    TemplateOptions { zone: Zone::utc(), quote }
}

const LINE: &str = r#"{"kind":"feature","userKey":"u\"1;","creationDate":0,"key":"flag","variation":"A","value":{"a":[1,null,2.5]},"default":true,"version":"","source":"SERVER","metadata":{"n":12345678,"nothing":null,"text":"x"}}"#;

fn feature(text: &str, quote: bool) -> Result<String, RenderError> {
    let template = Template::parse(text, EventKind::Feature, &options(quote)).unwrap();
    let mut out = String::new();
    template.render(&Event::from_line(EventKind::Feature, LINE.as_bytes()).unwrap(), &mut out).map(|()| out)
}

#[test]
fn what_no_event_could_be_written_with_is_found_at_start_with_its_place() {
    let table = [
        ("{{ .Nope }}", 1, 4, "no field `.Nope`: expected one of .Kind"),
        ("ok\n  {{ .key }}", 2, 6, "no field `.key`"),
        ("é {{ .Nope }}", 1, 6, "no field"),
        ("{{ .TrackingDetails }}", 1, 4, "feature events have no field `.TrackingDetails`"),
        ("{{ with .Key }}{{ $.Nope }}{{ end }}", 1, 19, "no field `.Nope`"),
        ("{{ $e := . }}{{ $e.Nope }}", 1, 17, "no field `.Nope`"),
        ("{{ define \"x\" }}{{ .Nope }}{{ end }}{{ template \"x\" . }}", 1, 20, "no field `.Nope`"),
        ("{{ .Key.x }}", 1, 4, "can't evaluate field x in type string"),
        ("{{ nope 1 }}", 1, 4, "function \"nope\" not defined"),
        ("{{ len }}", 1, 4, "wrong number of args for len: want 1 got 0"),
        ("{{ .Key | len .Key }}", 1, 11, "want 1 got 2"),
        ("{{ printf }}", 1, 4, "want at least 1 got 0"),
        ("{{ slice .Key 1 2 3 4 }}", 1, 4, "want 1 to 4 got 5"),
        ("{{ printf 1 }}", 1, 4, "wrong type for argument 1 of printf: int"),
        ("{{ len .CreationDate }}", 1, 4, "wrong type for argument 1 of len: int"),
        ("{{ eq .Key 1 }}", 1, 4, "incompatible types for comparison: string and int"),
        ("{{ lt .Default true }}", 1, 4, "wrong type for argument 1 of lt: bool"),
        ("{{ range .Key }}{{ end }}", 1, 10, "range can't iterate over a value of type string"),
        ("{{ range $i, $e := 3 }}{{ end }}", 1, 10, "one variable, not two"),
        ("{{ .Key 1 }}", 1, 4, "can't give arguments"),
        ("{{ . }}", 1, 4, "the whole event cannot be printed"),
        ("{{ print $ }}", 1, 4, "wrong type for argument 1 of print: event"),
        ("{{ $x }}", 1, 4, "undefined variable \"$x\""),
        ("{{ $x = 1 }}", 1, 4, "undefined variable $x"),
        ("{{ template \"x\" }}", 1, 4, "template \"x\" not defined"),
        ("{{ if .Key }}", 1, 4, "if without {{end}}"),
        ("a{{ end }}b", 1, 2, "unexpected {{end}}"),
        ("a\n{{ .Key", 2, 1, "unclosed action"),
        ("{{ break }}", 1, 4, "{{break}} outside {{range}}"),
    ];
    for (text, line, column, message) in table {
        let error = Template::parse(text, EventKind::Feature, &options(false)).unwrap_err();
        assert_eq!((error.line, error.column), (line, column), "{text}: {error}");
        assert!(error.message.contains(message), "{text}: {error}");
    }
    let error = Template::parse("{{ .Value }}", EventKind::Tracking, &options(false)).unwrap_err();
    assert!(error.to_string().starts_with("line 1, column 4: tracking events have no field `.Value`"), "{error}");
}

#[test]
fn a_template_for_both_kinds_asks_for_the_kind_first() {
    let text = "{{ if eq .Kind \"tracking\" }}{{ .TrackingDetails.n }}{{ else }}{{ .Value.a }}{{ end }}";
    assert_eq!(feature(text, false).unwrap(), "[1 <nil> 2.5]");
    let track =
        br#"{"kind":"tracking","userKey":"u","creationDate":0,"key":"buy","evaluationContext":null,"trackingEventDetails":{"n":7}}"#;
    let template = Template::parse(text, EventKind::Tracking, &options(false)).unwrap();
    let mut out = String::new();
    template.render(&Event::from_line(EventKind::Tracking, track).unwrap(), &mut out).unwrap();
    assert_eq!(out, "7");
    // A feature event that calls itself a tracking event, as clients may: it is refused, not written wrong.
    let line = LINE.replace("\"kind\":\"feature\"", "\"kind\":\"tracking\"");
    let template = Template::parse(text, EventKind::Feature, &options(false)).unwrap();
    let error = template.render(&Event::from_line(EventKind::Feature, line.as_bytes()).unwrap(), &mut out).unwrap_err();
    assert_eq!(error.reason, "the event has no field .TrackingDetails");
    assert_eq!(out, "7");
}

#[test]
fn what_depends_on_the_event_fails_that_event() {
    for text in
        ["{{ index .Value.a 9 }}", "{{ .Metadata.text.x }}", "{{ .Metadata.nothing.x }}", "{{ len .Metadata.n }}", "{{ lt .Value 1.0 }}"]
    {
        assert!(feature(text, false).is_err(), "{text}");
    }
}

#[test]
fn our_functions_write_json_and_csv() {
    for (text, quote, expected) in [
        ("{{ json .Value }}|{{ .Metadata | json }}", false, r#"{"a":[1,null,2.5]}|{"n":12345678,"nothing":null,"text":"x"}"#),
        ("{{ json .Metadata.none }} {{ json .UserKey }} {{ json .CreationDate }}", false, r#"null "u\"1;" 0"#),
        ("{{ csv .UserKey }};{{ csv .Default }};{{ csv .Metadata.none }}", false, r#""u""1;";"true";"<no value>""#),
        ("{{ .UserKey }};{{ .Metadata.n }};{{ $x := 1 }}{{ if .Default }}{{ .Key }}{{ end }}", true, r#""u""1;";"1.2345678e+07";"flag""#),
    ] {
        assert_eq!(feature(text, quote).unwrap(), expected, "{text}");
    }
}

#[test]
fn a_template_cannot_stop_the_relay() {
    for (text, reason) in [
        ("{{ range 2000000 }}{{ end }}", "rounds"),
        ("{{ define \"x\" }}{{ template \"x\" }}{{ end }}{{ template \"x\" }}", "call each other"),
        ("{{ range 20 }}{{ printf \"%1000000d\" 1 }}{{ end }}", "bytes of text"),
    ] {
        let error = feature(text, false).unwrap_err();
        assert!(error.reason.contains(reason), "{text}: {error}");
    }
    let deep = "{{ if 1 }}".repeat(101) + &"{{ end }}".repeat(101);
    assert!(Template::parse(&deep, EventKind::Feature, &options(false)).unwrap_err().message.contains("deep"));
    let deep = format!("{{{{ {}1{} }}}}", "(".repeat(5000), ")".repeat(5000));
    assert!(Template::parse(&deep, EventKind::Feature, &options(false)).is_err());
}

/// Pieces that templates are made of, so that random texts get past the first byte.
fn pieces() -> impl Strategy<Value = String> {
    let words = [
        "{{",
        "}}",
        "{{-",
        "-}}",
        " ",
        " ",
        "\n",
        ".",
        ".Key",
        ".Value",
        ".Metadata",
        ".Metadata.a",
        "$",
        "$x",
        "$x := ",
        "$x = ",
        "|",
        "(",
        ")",
        "if ",
        "else ",
        "end ",
        "range ",
        "with ",
        "define \"a\" ",
        "template \"a\" ",
        "block \"a\" ",
        "break",
        "continue",
        "printf \"%5.2v\" ",
        "print ",
        "len ",
        "index ",
        "slice ",
        "eq ",
        "lt ",
        "and ",
        "or ",
        "not ",
        "json ",
        "csv ",
        "html ",
        "1",
        "-1",
        "1.5",
        "\"text\"",
        "`raw`",
        "'c'",
        "nil",
        "true",
        ",",
        "/* c */",
        "é",
        "\0",
        "\\",
    ];
    proptest::collection::vec(proptest::sample::select(words.to_vec()), 0..24).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn any_text_is_a_template_or_an_error(text in pieces(), other in ".{0,40}", value in any::<f64>(), name in ".{0,8}") {
        for text in [&text, &other, &format!("{{{{ {text} }}}}")] {
            for kind in EventKind::ALL {
                let Ok(template) = Template::parse(text, kind, &options(true)) else { continue };
                let object = Json::from(serde_json::json!({ "a": [value, { "b": null }, name.clone()], "c": name }));
                let mut line = Vec::new();
                match kind {
                    EventKind::Feature => FeatureEvent {
                        kind: "feature".into(), context_kind: "".into(), user_key: name.as_str().into(), creation_date: i64::MIN, key: "k".into(),
                        variation: "v".into(), value: object.clone(), default: false, version: "".into(), source: "".into(), metadata: Some(object),
                    }.write_line(&mut line),
                    EventKind::Tracking => TrackingEvent {
                        kind: "tracking".into(), context_kind: "".into(), user_key: "".into(), creation_date: i64::MAX, key: name.as_str().into(),
                        evaluation_context: Json::NULL, tracking_event_details: object,
                    }.write_line(&mut line),
                }
                let mut out = "before".to_owned();
                let result = template.render(&Event::from_line(kind, &line).unwrap(), &mut out);
                prop_assert!(out.starts_with("before"));
                prop_assert!(result.is_ok() || out == "before");
            }
        }
    }
}
