//! A flag file and just enough of GO Feature Flag's evaluation for it: fixed variations and rules of the form `attribute eq "text"`.
//!
//! Flags here are plain on purpose: clients that evaluate themselves, with GO Feature Flag's own engine, must come to the same results.

use serde_json::{Map, Value, json};

/// A flag file, as `POST /v1/flag/configuration` serves it.
#[derive(Clone, Debug)]
pub struct Flags(Map<String, Value>);

/// What a flag is for somebody.
#[derive(Clone, Debug)]
pub(super) struct Resolved {
    pub(super) variation: String,
    pub(super) value: Value,
    pub(super) reason: &'static str,
    pub(super) version: String,
    pub(super) tracked: bool,
    pub(super) metadata: Value,
}

impl Flags {
    /// From the text of a flag file in JSON.
    pub fn parse(text: &str) -> Flags {
        let flags: Map<String, Value> = serde_json::from_str(text).expect("a flag file is an object");
        for (name, flag) in &flags {
            assert!(flag["variations"].is_object() && flag["defaultRule"]["variation"].is_string(), "{name}: too much for these tests");
        }
        Flags(flags)
    }

    /// The value of a flag's variation.
    pub fn value(&self, name: &str, variation: &str) -> Value {
        let value = self.0.get(name).and_then(|flag| flag["variations"].get(variation));
        value.unwrap_or_else(|| panic!("flag {name} has no variation {variation}")).clone()
    }

    /// Only those; all of them when there are no names.
    pub(super) fn only(&self, names: &[String]) -> Map<String, Value> {
        let wanted = |name: &String| names.is_empty() || names.contains(name);
        self.0.iter().filter(|(name, _)| wanted(name)).map(|(name, flag)| (name.clone(), flag.clone())).collect()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    /// Gives a flag another default, as its owner would in the flag file.
    pub(super) fn set_default(&mut self, name: &str, variation: &str) -> (Value, Value) {
        let flag = self.0.get_mut(name).unwrap_or_else(|| panic!("no flag {name}"));
        let before = flag.clone();
        flag["defaultRule"]["variation"] = json!(variation);
        (before, flag.clone())
    }

    /// A flag's variation for a context; `None`: there is no such flag.
    pub(super) fn resolve(&self, name: &str, context: &Map<String, Value>) -> Option<Resolved> {
        let flag = self.0.get(name)?;
        let rules = flag["targeting"].as_array().map(Vec::as_slice).unwrap_or_default();
        let matched = rules.iter().find(|rule| matches(rule["query"].as_str().unwrap(), context));
        let reason = match matched {
            Some(_) => "TARGETING_MATCH",
            None if rules.is_empty() => "STATIC",
            None => "DEFAULT",
        };
        let variation = matched.unwrap_or(&flag["defaultRule"])["variation"].as_str().unwrap();
        Some(Resolved {
            variation: variation.to_owned(),
            value: flag["variations"][variation].clone(),
            reason,
            version: flag["version"].as_str().unwrap_or_default().to_owned(),
            tracked: flag["trackEvents"].as_bool().unwrap_or(true),
            metadata: flag["metadata"].clone(),
        })
    }
}

/// `attribute eq "text"`; the text is compared without regard to case, as there.
fn matches(query: &str, context: &Map<String, Value>) -> bool {
    let (attribute, text) = query.split_once(" eq ").unwrap_or_else(|| panic!("too much for these tests: {query}"));
    let text = text.trim_matches('"').to_lowercase();
    context.get(attribute).and_then(Value::as_str).is_some_and(|found| found.to_lowercase() == text)
}
