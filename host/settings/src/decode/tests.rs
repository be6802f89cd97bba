#![allow(clippy::unwrap_used)]
use super::*;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Section {
    number: i64,
    small: u8,
    flag: bool,
    text: String,
    list: Vec<String>,
    inner: Vec<Inner>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Inner {
    name: String,
}

fn read(value: Value) -> (Section, Vec<String>) {
    let mut problems = Problems::default();
    let section = decode(&Node::from(value), "", &mut problems);
    (section, problems.finish().0.iter().map(ToString::to_string).collect())
}

#[test]
fn types_are_as_forgiving_as_upstreams() {
    let numbers = [
        (json!("12"), Some(12)),
        (json!(" -3 "), Some(-3)),
        (json!("0x1F"), Some(31)),
        (json!("0b101"), Some(5)),
        (json!("0o17"), Some(15)),
        (json!("017"), Some(15)),
        (json!("1_000"), Some(1000)),
        (json!("0"), Some(0)),
        (json!(1.9), Some(1)),
        (json!(-1.9), Some(-1)),
        (json!(true), Some(1)),
        (json!(""), Some(0)),
        (json!(null), Some(0)),
        (json!("08"), None),
        (json!("+-1"), None),
        (json!("_1"), None),
        (json!("1.5"), None),
        (json!("x"), None),
        (json!(1e300), None),
        (json!([1]), None),
    ];
    for (value, expected) in numbers {
        let (section, problems) = read(json!({ "number": value.clone() }));
        assert_eq!((section.number, problems.is_empty()), (expected.unwrap_or(0), expected.is_some()), "{value}: {problems:?}");
    }
    let flags = [
        (json!(true), Some(true)),
        (json!(2), Some(true)),
        (json!(0), Some(false)),
        (json!("T"), Some(true)),
        (json!("1"), Some(true)),
        (json!("FALSE"), Some(false)),
        (json!(""), Some(false)),
        (json!("yes"), None),
        (json!(1.5), None),
    ];
    for (value, expected) in flags {
        let (section, problems) = read(json!({ "flag": value.clone() }));
        assert_eq!((section.flag, problems.is_empty()), (expected.unwrap_or(false), expected.is_some()), "{value}: {problems:?}");
    }
    let lists = [(json!("a"), vec!["a"]), (json!(["a", 2]), vec!["a", "2"]), (json!({}), vec![]), (json!(7), vec!["7"])];
    for (value, expected) in lists {
        assert_eq!(read(json!({ "list": value.clone() })).0.list, expected, "{value}");
    }
    assert_eq!(read(json!({"inner": {"name": "a"}})).0.inner, [Inner { name: "a".to_owned() }], "a map for a list of one");
    assert_eq!(read(json!({"text": 1.5})).0.text, "1.5");
}

#[test]
fn every_mistake_is_told_and_the_rest_is_read() {
    let (section, problems) = read(json!({
        "number": "many", "small": 256, "flag": [], "TEXT": "a", "inner": [{"nmae": 1}, 7, {"name": {}}, {"name": "b"}], "x-own": 1, "els": 1
    }));
    assert_eq!(
        problems,
        [
            "flag: expected `true` or `false`, found a list",
            "inner[1]: expected a map of keys, found `7`; indent its keys below it",
            "inner[2].name: expected text, found a map",
            "number: expected a whole number, found `many`",
            "small: expected a whole number from 0 to 255, found `256`",
            "els: unknown key; known here: `number`, `small`, `flag`, `text`, `list`, `inner`",
            "inner[0].nmae: unknown key; did you mean `name`?",
        ]
    );
    assert_eq!(section.text, "a");
    let names: Vec<&str> = section.inner.iter().map(|inner| inner.name.as_str()).collect();
    assert_eq!(names, ["", "", "b"]);
}
