//! A plugin's JSON Schema against its `config:`.
//!
//! The schema is the plugin's, so it is as foreign as its code, and it is evaluated by the host. What could hurt is refused before: references
//! that leave the schema (nothing is fetched), references that lead to themselves without going deeper into the value (endless), and schemas
//! whose evaluation would take more than [`MOST_STEPS`] (`allOf` of references doubles with every level). [`Cost`] counts exactly what a plain
//! evaluation of this value would visit. Patterns are matched in linear time.
//!
//! Messages hold no values: the configuration may carry secrets.

use std::collections::HashMap;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, PatternOptions};
use serde_json::{Map, Value};

use crate::contract::Remark;

/// Visits of a schema by a value that one evaluation may take.
const MOST_STEPS: u64 = 1_000_000;

/// References and levels that may stand in one another.
const DEEPEST: usize = 200;

/// Bytes of a compiled pattern.
const MAX_PATTERN: usize = 1 << 20;

/// Complaints that are looked for.
const MOST_REMARKS: usize = 200;

/// What the schema has to say about the configuration. `Err`: the schema is no use, and why.
pub(crate) fn check(schema: &str, config: &Value) -> Result<Vec<Remark>, String> {
    let nothing = Value::Object(Map::new());
    let config = if config.is_null() { &nothing } else { config };
    if schema.trim().is_empty() {
        return Ok(match config.as_object() {
            Some(keys) if keys.is_empty() => Vec::new(),
            Some(keys) => keys.keys().map(|key| remark(key, "the plugin takes no configuration; remove the key")).collect(),
            None => vec![remark("", "the plugin takes no configuration; remove it")],
        });
    }
    let schema: Value = serde_json::from_str(schema).map_err(|why| format!("its config-schema is not JSON: {why}"))?;
    Cost { root: &schema, known: HashMap::new() }.of(&schema, config, 0).and_then(|steps| match steps {
        0..=MOST_STEPS => Ok(()),
        _ => Err("its config-schema is too much work: combinations of references multiply".to_owned()),
    })?;
    let options = jsonschema::options()
        .with_draft(Draft::Draft202012)
        .should_validate_formats(true)
        .with_pattern_options(PatternOptions::regex().size_limit(MAX_PATTERN));
    let validator =
        options.build(&schema).map_err(|why| format!("its config-schema is wrong at `{}`: {}", why.instance_path(), why.masked()))?;
    let mut remarks = Vec::new();
    for error in validator.iter_errors(config).take(MOST_REMARKS) {
        let at = error.instance_path().to_string();
        match error.kind() {
            // Each unexpected key stands on a line of its own.
            ValidationErrorKind::AdditionalProperties { unexpected } | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                for key in unexpected {
                    let key = key.replace('~', "~0").replace('/', "~1");
                    remarks.push(remark(&format!("{at}/{key}"), "the plugin knows no such key"));
                }
            }
            ValidationErrorKind::Required { property } => {
                remarks.push(remark(&at, &format!("the key {property} is missing")));
            }
            _ => remarks.push(remark(&at, &error.masked().to_string())),
        }
    }
    Ok(remarks)
}

fn remark(path: &str, message: &str) -> Remark {
    Remark { path: path.to_owned(), message: message.to_owned() }
}

/// Counts the visits of one evaluation.
struct Cost<'a> {
    root: &'a Value,
    /// By schema and value, as addresses in the two trees. `None`: being counted.
    known: HashMap<(usize, usize), Option<u64>>,
}

/// Keywords with several schemas that are asked about the same value.
const IN_PLACE: [&str; 5] = ["allOf", "anyOf", "oneOf", "dependentSchemas", "dependencies"];

/// Keywords that hold no schema to be evaluated in passing.
const PASSIVE: [&str; 7] = ["$defs", "definitions", "enum", "const", "default", "examples", "required"];

impl<'a> Cost<'a> {
    fn of(&mut self, schema: &'a Value, value: &'a Value, depth: usize) -> Result<u64, String> {
        let Some(keywords) = schema.as_object() else { return Ok(1) };
        if depth > DEEPEST {
            return Err(format!("its config-schema has more than {DEEPEST} levels in one another"));
        }
        let key = (std::ptr::from_ref(schema).addr(), std::ptr::from_ref(value).addr());
        match self.known.get(&key) {
            Some(Some(known)) => return Ok(*known),
            Some(None) => return Err("its config-schema refers to itself without going deeper into the value".to_owned()),
            None => {}
        }
        if self.known.len() as u64 > MOST_STEPS {
            return Ok(MOST_STEPS + 1);
        }
        self.known.insert(key, None);
        let mut steps: u64 = 1;
        for (keyword, inner) in keywords {
            steps = steps.saturating_add(match keyword.as_str() {
                "$ref" => {
                    let target = self.target(inner)?;
                    self.of(target, value, depth + 1)?
                }
                "$dynamicRef" | "$recursiveRef" => {
                    return Err(format!("its config-schema uses `{keyword}`, which is not served; use `$ref`"));
                }
                "not" | "if" | "then" | "else" => self.of(inner, value, depth + 1)?,
                keyword if IN_PLACE.contains(&keyword) => self.sum(&inside(inner), value, depth)?,
                keyword if PASSIVE.contains(&keyword) => 0,
                "properties" => self.properties(inner, value, depth)?,
                // Whatever else holds schemas asks them about the value's children.
                _ => {
                    let schemas = inside(inner);
                    let mut sum: u64 = 0;
                    for child in children(value) {
                        sum = sum.saturating_add(self.sum(&schemas, child, depth)?);
                    }
                    sum
                }
            });
        }
        // What was evaluated is asked again, once for each kind of rest.
        if keywords.keys().any(|keyword| keyword.starts_with("unevaluated")) {
            steps = steps.saturating_mul(4);
        }
        self.known.insert(key, Some(steps));
        Ok(steps)
    }

    fn sum(&mut self, schemas: &[&'a Value], value: &'a Value, depth: usize) -> Result<u64, String> {
        schemas.iter().try_fold(0u64, |sum, schema| Ok(sum.saturating_add(self.of(schema, value, depth + 1)?)))
    }

    fn properties(&mut self, schemas: &'a Value, value: &'a Value, depth: usize) -> Result<u64, String> {
        let (Some(schemas), Some(members)) = (schemas.as_object(), value.as_object()) else { return Ok(0) };
        members
            .iter()
            .filter_map(|(name, child)| Some((schemas.get(name)?, child)))
            .try_fold(0u64, |sum, (schema, child)| Ok(sum.saturating_add(self.of(schema, child, depth + 1)?)))
    }

    fn target(&self, reference: &Value) -> Result<&'a Value, String> {
        let text = reference.as_str().unwrap_or_default();
        let found = text.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
        found.ok_or_else(|| {
            format!(
                "its config-schema refers to `{}`; only places in the schema itself are served (`#/$defs/…`)",
                crate::text::cut(text, 100)
            )
        })
    }
}

/// A keyword's schemas: itself, the items of a list, the values of a map of them.
fn inside(keyword: &Value) -> Vec<&Value> {
    match keyword {
        Value::Array(items) => items.iter().collect(),
        Value::Object(members) => std::iter::once(keyword).chain(members.values().filter(|value| value.is_object())).collect(),
        _ => Vec::new(),
    }
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(members) => members.values().collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    fn found(schema: &Value, config: &Value) -> Vec<(String, String)> {
        check(&schema.to_string(), config).unwrap().into_iter().map(|remark| (remark.path, remark.message)).collect()
    }

    #[test]
    fn every_mistake_is_told_with_its_path_and_without_its_value() {
        let schema = json!({
            "type": "object",
            "properties": {
                "endpoint": { "type": "string", "format": "uri" },
                "hosts": { "type": "array", "items": { "type": "object", "required": ["name"] } },
                "level": { "enum": ["low", "high"] },
                "port": { "type": "integer", "maximum": 65535 },
                "region": { "type": "string", "pattern": "^[a-z]+$" },
            },
            "required": ["endpoint"],
            "additionalProperties": false,
        });
        assert!(found(&schema, &json!({ "endpoint": "https://in.acme.dev", "port": 443 })).is_empty());
        let wrong = json!({
            "hosts": [{ "name": "a" }, { "nam": "s3cret-0" }], "level": "s3cret-1", "port": "s3cret-2", "region": "S3CRET", "endpont": "s3cret-3"
        });
        let found = found(&schema, &wrong);
        let paths: Vec<_> = found.iter().map(|(path, _)| path.as_str()).collect();
        for path in ["", "/hosts/1", "/level", "/port", "/region", "/endpont"] {
            assert!(paths.contains(&path), "{path} is not in {found:?}");
        }
        let text = format!("{found:?}");
        assert!(!text.to_ascii_lowercase().contains("s3cret"), "{text}");
        assert!(text.contains("the key \\\"endpoint\\\" is missing") && text.contains("knows no such key"), "{text}");
        assert!(text.contains("low") && text.contains("integer"), "what was expected: {text}");
    }

    #[test]
    fn no_schema_takes_no_configuration_and_a_missing_configuration_is_an_empty_one() {
        for empty in [json!(null), json!({})] {
            assert_eq!(check("", &empty), Ok(Vec::new()));
        }
        assert_eq!(check(" ", &json!({ "a": 1 })).unwrap(), vec![remark("a", "the plugin takes no configuration; remove the key")]);
        assert_eq!(found(&json!({ "required": ["a"] }), &json!(null)).len(), 1);
    }

    #[test]
    fn a_schema_that_could_hurt_the_host_is_refused_before_it_is_used() {
        let doubling: Map<String, Value> = (0..40)
            .map(|n| {
                (
                    format!("a{n}"),
                    json!({ "allOf": [{ "$ref": format!("#/$defs/a{}", n + 1) }, { "$ref": format!("#/$defs/a{}", n + 1) }] }),
                )
            })
            .chain([("a40".to_owned(), json!({ "type": "object" }))])
            .collect();
        let long: Map<String, Value> = (0..5000)
            .map(|n| (format!("a{n}"), json!({ "$ref": format!("#/$defs/a{}", n + 1) })))
            .chain([("a5000".to_owned(), json!(true))])
            .collect();
        let table = [
            ("nonsense".to_owned(), "is not JSON"),
            ("[".repeat(1000), "is not JSON"),
            (json!({ "type": "objct" }).to_string(), "is wrong at `/type`"),
            (json!({ "pattern": "(" }).to_string(), "is wrong"),
            (json!({ "$ref": "https://evil.example/schema.json" }).to_string(), "refers to `https://evil.example/schema.json`"),
            (json!({ "$ref": "file:///etc/passwd" }).to_string(), "only places in the schema itself"),
            (json!({ "$ref": "#" }).to_string(), "refers to itself"),
            (
                json!({ "allOf": [{ "$ref": "#/$defs/a" }], "$defs": { "a": { "anyOf": [{ "$ref": "#" }] } } }).to_string(),
                "refers to itself",
            ),
            (json!({ "$dynamicRef": "#meta" }).to_string(), "`$dynamicRef`, which is not served"),
            (json!({ "$ref": "#/$defs/a0", "$defs": doubling }).to_string(), "too much work"),
            (json!({ "$ref": "#/$defs/a0", "$defs": long }).to_string(), "more than 200 levels"),
        ];
        for (schema, expected) in table {
            let error = check(&schema, &json!({ "a": 1 })).unwrap_err();
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }

    #[test]
    fn a_schema_may_refer_to_itself_for_what_is_deeper() {
        let tree = json!({ "properties": { "name": { "type": "string" }, "more": { "items": { "$ref": "#" } } }, "required": ["name"] });
        assert!(found(&tree, &json!({ "name": "a", "more": [{ "name": "b", "more": [] }] })).is_empty());
        assert_eq!(found(&tree, &json!({ "name": "a", "more": [{ "name": 1 }] }))[0].0, "/more/0/name");
        let negated = json!({ "not": { "items": { "$ref": "#" }, "minItems": 1 }, "type": "array" });
        assert!(found(&negated, &json!([])).is_empty());
    }
}
