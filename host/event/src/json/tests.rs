#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;

fn canonical(raw: &str) -> String {
    Json::canonical(raw.as_bytes(), 64).unwrap().as_str().to_owned()
}

#[test]
fn values_take_the_form_that_go_prints() {
    let table = [
        (" null ", "null"),
        ("[ 1 , true,false ]", "[1,true,false]"),
        ("{}", "{}"),
        ("[]", "[]"),
        // Keys are sorted by their bytes, the last of equal keys wins.
        (r#"{"b":1,"a":2,"B":3,"é":4}"#, r#"{"B":3,"a":2,"b":1,"é":4}"#),
        (r#"{"a":1,"b":2,"a":{"y":1,"x":2}}"#, r#"{"a":{"x":2,"y":1},"b":2}"#),
        (r#"{"\u0061":1,"a":2}"#, r#"{"a":2}"#),
        // Sorted by the decoded name, though the escaped one would be greater.
        (r#"{"a":1,"<":2,"\u0001":3}"#, r#"{"\u0001":3,"\u003c":2,"a":1}"#),
        // Strings.
        (r#""\u003c\/\u00e9\ud83d\ude00""#, r#""\u003c/é😀""#),
        (r#""<&>""#, r#""\u003c\u0026\u003e""#),
        ("\"\u{2028}\u{2029}\u{202a}\u{7f}\"", "\"\\u2028\\u2029\u{202a}\u{7f}\""),
        (r#""\b\f\n\r\t\u0000\u001f\"\\""#, r#""\b\f\n\r\t\u0000\u001f\"\\""#),
        // Lone surrogates, as Go reads them.
        (r#""\ud83d!\ude00\ud83d\u0041""#, "\"\u{fffd}!\u{fffd}\u{fffd}A\""),
        // Numbers: 64-bit integers stay exact, all else goes through a float.
        ("12345678901234567890", "12345678901234567890"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("123456789012345678901234", "1.2345678901234569e+23"),
        ("18446744073709551616", "18446744073709552000"),
        ("1.0", "1"),
        ("1e2", "100"),
        ("-0", "-0"),
        ("-0.0", "-0"),
        ("1e-400", "0"),
        ("0.1234567890123456789", "0.12345678901234568"),
        ("1E21", "1e+21"),
        ("1e20", "100000000000000000000"),
        ("0.0000001", "1e-7"),
    ];
    for (raw, expected) in table {
        assert_eq!(canonical(raw), expected, "{raw}");
    }
}

#[test]
fn each_bad_byte_is_a_replacement_character() {
    let json = Json::canonical(b"\"a\xff\xe2\x82z\"", 1).unwrap();
    assert_eq!(json.as_str(), "\"a\u{fffd}\u{fffd}\u{fffd}z\"");
}

#[test]
fn text_that_is_not_json_is_refused_in_the_words_of_go() {
    let table: [(&[u8], usize, &str); 24] = [
        (b"", 0, "unexpected EOF"),
        (b"[1", 2, "unexpected EOF"),
        (b"\"a", 2, "unexpected EOF"),
        (b"\x1f\x8b", 1, r"invalid character '\x1f' looking for beginning of value"),
        (b"{,}", 2, "invalid character ',' looking for beginning of object key string"),
        (b"{\"a\":1,}", 8, "invalid character '}' looking for beginning of object key string"),
        (b"{\"a\" 1}", 6, "invalid character '1' after object key"),
        (b"{\"a\":1 1}", 8, "invalid character '1' after object key:value pair"),
        (b"[1 1]", 4, "invalid character '1' after array element"),
        (b"[1,]", 4, "invalid character ']' looking for beginning of value"),
        (b"\"\x01\"", 2, r"invalid character '\x01' in string literal"),
        (b"\"\\x\"", 3, "invalid character 'x' in string escape code"),
        (b"\"\\u12g4\"", 6, r"invalid character 'g' in \u hexadecimal character escape"),
        (b"-a", 2, "invalid character 'a' in numeric literal"),
        (b"1.a", 3, "invalid character 'a' after decimal point in numeric literal"),
        (b"[1e]", 4, "invalid character ']' in exponent of numeric literal"),
        (b"[01]", 3, "invalid character '1' after array element"),
        (b"trux", 4, "invalid character 'x' in literal true (expecting 'e')"),
        (b"'", 1, r"invalid character '\'' looking for beginning of value"),
        (b"\xc3", 1, "invalid character 'Ã' looking for beginning of value"),
        (b"\xad", 1, r"invalid character '\u00ad' looking for beginning of value"),
        (b"1 2", 3, "more text after the JSON value: expected its end"),
        (b"[1e999]", 6, "the number 1e999 is beyond the range of a 64-bit float"),
        (b"[[[[]]]]", 0, "nested deeper than 3 arrays and objects"),
    ];
    for (raw, offset, reason) in table {
        let expected = JsonError { offset, reason: reason.to_owned() };
        assert_eq!(Json::canonical(raw, 3), Err(expected), "{}", raw.escape_ascii());
    }
}

#[test]
fn nesting_is_bounded_whatever_is_allowed() {
    for bracket in ["[", "{\"a\":"] {
        let deep = bracket.repeat(400_000);
        assert!(Json::canonical(deep.as_bytes(), usize::MAX).is_err());
        assert!(Scanner::new(deep.as_bytes()).skip(0).is_err());
    }
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(Json::canonical(nested(3).as_bytes(), 3).is_ok());
    assert!(Json::canonical(nested(Json::MAX_DEPTH).as_bytes(), usize::MAX).is_ok());
    assert!(Json::canonical(nested(Json::MAX_DEPTH + 1).as_bytes(), usize::MAX).is_err());
    assert!(Scanner::new(nested(10_000).as_bytes()).skip(0).is_ok());
    assert!(Scanner::new(nested(10_001).as_bytes()).skip(0).is_err());
}

/// JSON values as serde_json knows them.
fn values() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,8}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::hash_map(".{0,4}", inner, 0..6).prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Text that is close to JSON.
fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        "[\\[\\]{},:\" \\\\]",
        "-?[0-9]{0,3}\\.?[0-9]{0,3}[eE]?[+-]?[0-9]{0,3}",
        "\"(\\\\[ub\"\\\\n]|[a-f0-9<é]){0,6}\"",
        "null|true|false|tru",
    ];
    prop::collection::vec(token, 0..12).prop_map(|tokens| tokens.concat().into_bytes())
}

proptest! {
    #[test]
    fn canonical_text_is_its_own_canonical_form(value in values()) {
        let json = Json::from(value.clone());
        prop_assert_eq!(&Json::canonical(json.as_str().as_bytes(), 64).unwrap(), &json);
        // And however serde_json prints it, the form is the same.
        prop_assert_eq!(&Json::canonical(serde_json::to_string_pretty(&value).unwrap().as_bytes(), 64).unwrap(), &json);
        prop_assert!(serde_json::from_str::<serde_json::Value>(json.as_str()).is_ok());
    }

    #[test]
    fn what_one_parser_takes_the_other_takes(text in nearly_json()) {
        let ours = Json::canonical(&text, 64);
        let theirs = serde_json::from_slice::<serde::de::IgnoredAny>(&text);
        // A number beyond a float's range is sound JSON, and the first thing of a text that we report.
        prop_assume!(!ours.as_ref().is_err_and(|error| error.reason.contains("float")));
        prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?} {:?}", ours, theirs);
        let skipped = { let mut scanner = Scanner::new(&text); scanner.skip(0).is_ok() && scanner.peek().is_none() };
        prop_assert_eq!(skipped, theirs.is_ok());
        if let Ok(json) = ours {
            prop_assert_eq!(Json::canonical(json.as_str().as_bytes(), 64).unwrap(), json);
        }
    }

    #[test]
    fn any_bytes_give_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(json) = Json::canonical(&bytes, 64) {
            prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(json.as_str()).is_ok());
        }
    }

    #[test]
    fn floats_read_back_as_they_were(float in any::<f64>().prop_filter("finite", |float| float.is_finite())) {
        let mut out = Vec::new();
        number::write_float(float, &mut out);
        let text = std::str::from_utf8(&out).unwrap();
        prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), float.to_bits(), "{}", text);
    }
}
