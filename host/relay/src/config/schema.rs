//! The JSON schema of the configuration, put together from the types of its sections and of the exporters' kinds.
//!
//! [`shape`] is what the program itself reads: where environment variables lead, which values are secrets, what the defaults are.
//! [`document`] is the same for editors: unknown keys are wrong there, and `${NAME}` may stand anywhere.

use std::sync::OnceLock;

use flagpost_exporter::kinds;
use flagpost_settings::schema;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::aliases::{ALIASES, Today};
use super::common::Common;
use super::file::{File, FlagSet};
use super::keys::{INERT, in_flag_sets};
use super::wasm::{self, Wasm};

/// An exporter: one alternative for each kind.
pub(super) fn exporter_schema(_: &mut SchemaGenerator) -> Schema {
    to_schema(json!({ "oneOf": exporter() }))
}

/// A list of exporters.
pub(super) fn exporters_schema(_: &mut SchemaGenerator) -> Schema {
    to_schema(json!({ "type": "array", "items": { "oneOf": exporter() } }))
}

/// A list of flag sets.
pub(super) fn flag_sets_schema(_: &mut SchemaGenerator) -> Schema {
    let mut one = schema::<FlagSet>();
    for (key, why) in INERT.iter().filter(|(key, why)| !key.contains('.') && in_flag_sets(why)) {
        one["properties"][*key] = json!({ "description": format!("Upstream's. No effect here: {why}.") });
    }
    to_schema(json!({ "type": "array", "items": one }))
}

fn to_schema(value: Value) -> Schema {
    Schema::try_from(value).unwrap_or_default()
}

fn exporter() -> Vec<Value> {
    let common = schema::<Common>();
    let one = |name: &str, own: Value, served: bool| {
        let mut properties = common["properties"].as_object().cloned().unwrap_or_default();
        properties.extend(own["properties"].as_object().cloned().unwrap_or_default());
        let about = own["description"].as_str().unwrap_or_default();
        let about = if served { about.to_owned() } else { format!("Not served yet. {about}") };
        properties.insert("kind".to_owned(), json!({ "const": name, "description": about }));
        json!({ "type": "object", "description": about, "properties": properties, "required": ["kind"] })
    };
    let built_in = kinds().iter().map(|info| one(info.name, (info.schema)(), info.served));
    built_in.chain([one(wasm::KIND, schema::<Wasm>(), true)]).collect()
}

/// All keys that are read, deprecated ones and those without effect included.
pub(super) fn shape() -> &'static Value {
    static SHAPE: OnceLock<Value> = OnceLock::new();
    SHAPE.get_or_init(|| {
        let mut root = schema::<File>();
        for (key, today) in ALIASES {
            let (successor, mut alias) = match today {
                Today::Key(section, key) | Today::Items(section, key) => {
                    (format!("{section}.{key}"), root["properties"][*section]["properties"][*key].clone())
                }
                Today::Lambda => ("server.mode".to_owned(), json!({ "type": "boolean" })),
                Today::Nothing(successor, _) => ((*successor).to_owned(), json!({})),
            };
            if let Some(alias) = alias.as_object_mut() {
                alias.remove("default");
            }
            alias["deprecated"] = Value::Bool(true);
            alias["description"] = Value::String(format!("Deprecated: use `{successor}`."));
            root["properties"][*key] = alias;
        }
        for (key, why) in INERT {
            let inert = json!({ "description": format!("Upstream's. No effect here: {why}.") });
            match key.split_once('.') {
                Some((section, key)) => root["properties"][section]["properties"][key] = inert,
                // A deprecated key without effect says more.
                None if root["properties"].get(*key).is_none() => root["properties"][*key] = inert,
                None => {}
            }
        }
        root
    })
}

/// The schema as a document (draft 2020-12), for editors and other tools.
pub fn document() -> Value {
    let mut root = shape().clone();
    refer(&mut root);
    finish(&mut root);
    let mut exporter = json!({ "oneOf": exporter() });
    finish(&mut exporter);
    let mut document = Map::new();
    document.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    document.insert("title".to_owned(), json!("flagpost's configuration"));
    document.extend(root.as_object().cloned().unwrap_or_default());
    document.insert("$defs".to_owned(), json!({ "exporter": exporter }));
    Value::Object(document)
}

/// Puts a reference in the place of every exporter: they are long.
fn refer(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(refer),
        Value::Object(keywords) => {
            let is_exporter =
                keywords.get("oneOf").and_then(|kinds| kinds.get(0)).is_some_and(|kind| kind["properties"].get("kind").is_some());
            if is_exporter {
                keywords.remove("oneOf");
                keywords.insert("$ref".to_owned(), json!("#/$defs/exporter"));
            }
            keywords.values_mut().for_each(refer);
        }
        _ => {}
    }
}

/// Makes a schema strict about keys and lenient about variables, all the way down.
fn finish(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(finish),
        Value::Object(keywords) => {
            if let Some(default) = keywords.remove("x-default") {
                let about = keywords.get("description").and_then(Value::as_str).unwrap_or_default();
                let about = format!("{about}\nDefault: {}.", default.as_str().unwrap_or_default());
                keywords.insert("description".to_owned(), Value::String(about));
            }
            keywords.retain(|keyword, value| keyword != "default" || !value.is_null());
            for (keyword, value) in keywords.iter_mut() {
                match (keyword.as_str(), value) {
                    ("properties", Value::Object(properties)) => properties.values_mut().for_each(finish),
                    ("items" | "anyOf" | "oneOf" | "additionalProperties", value) => finish(value),
                    _ => {}
                }
            }
            if keywords.contains_key("properties") {
                keywords.insert("additionalProperties".to_owned(), Value::Bool(false));
                keywords.insert("patternProperties".to_owned(), json!({ "^[xX]-": {} }));
            }
            lenient(keywords);
        }
        _ => {}
    }
}

/// Types are as forgiving as the program: a number may be text, a single value a list, and any of them may come from a variable.
fn lenient(keywords: &mut Map<String, Value>) {
    const VARIABLE: &str = r"\$\{\w+\}";
    let is = |wanted: &[&str]| match keywords.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).any(|kind| wanted.contains(&kind)),
        Some(Value::String(kind)) => wanted.contains(&kind.as_str()),
        _ => false,
    };
    let more = if is(&["integer", "number"]) {
        json!({ "type": "string", "pattern": format!(r"^\s*[+-]?[0-9][0-9a-fA-FxXoO_]*\s*$|{VARIABLE}") })
    } else if is(&["boolean"]) {
        json!({ "type": "string", "pattern": format!(r"^([tTfF]|[tT]rue|[fF]alse|TRUE|FALSE|0|1)$|{VARIABLE}") })
    } else if is(&["array"]) && keywords.get("items").is_some_and(|items| items.get("$ref").is_none() && items.get("properties").is_none())
    {
        keywords["items"].clone()
    } else if keywords.contains_key("enum") || keywords.contains_key("pattern") {
        json!({ "type": "string", "pattern": VARIABLE })
    } else {
        if is(&["string"]) {
            // Text that looks like a number or a truth value needs no quotes.
            keywords.insert("type".to_owned(), json!(["string", "number", "boolean", "null"]));
        }
        return;
    };
    let mut outer = Map::new();
    for keyword in ["description", "default", "deprecated", "title"] {
        if let Some(value) = keywords.remove(keyword) {
            outer.insert(keyword.to_owned(), value);
        }
    }
    let inner = Value::Object(std::mem::take(keywords));
    outer.insert("anyOf".to_owned(), json!([inner, more]));
    *keywords = outer;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every map with keywords below the schema.
    fn each(schema: &Value, see: &mut impl FnMut(&Map<String, Value>)) {
        match schema {
            Value::Array(items) => items.iter().for_each(|item| each(item, see)),
            Value::Object(keywords) => {
                see(keywords);
                for (keyword, value) in keywords {
                    match value {
                        // Names of keys, and one of them is `properties`, too.
                        Value::Object(named) if keyword == "properties" => named.values().for_each(|value| each(value, see)),
                        // A value, not a schema.
                        _ if keyword == "default" => {}
                        _ => each(value, see),
                    }
                }
            }
            _ => {}
        }
    }

    #[test]
    fn the_document_is_strict_about_keys_and_knows_every_kind() {
        let document = document();
        assert_eq!(document["$schema"], "https://json-schema.org/draft/2020-12/schema");
        let kinds_known: Vec<&str> = document["$defs"]["exporter"]["oneOf"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| one["properties"]["kind"]["const"].as_str())
            .collect();
        let expected: Vec<&str> = kinds().iter().map(|info| info.name).chain([wasm::KIND]).collect();
        assert_eq!(kinds_known, expected);
        let mut sections = 0;
        each(&document, &mut |keywords| {
            if keywords.contains_key("properties") {
                sections += 1;
                assert_eq!(keywords["additionalProperties"], json!(false), "{keywords:?}");
            }
            assert!(!keywords.contains_key("x-default"), "{keywords:?}");
        });
        assert!(sections > 20, "{sections}");
    }

    #[test]
    fn secrets_are_marked_and_have_no_default() {
        let mut secrets = 0;
        each(shape(), &mut |keywords| {
            if keywords.get("format").is_some_and(|format| format == "password") {
                secrets += 1;
                assert!(keywords.get("default").is_none_or(Value::is_null), "{keywords:?}");
            }
        });
        assert!(secrets >= 8, "{secrets}");
    }

    #[test]
    fn upstreams_keys_without_effect_and_deprecated_ones_are_no_mistakes_in_an_editor() {
        let document = document();
        for key in ["retriever", "pollingInterval", "listen", "apiKeys", "hideBanner", "notifier"] {
            assert!(document["properties"].get(key).is_some(), "{key}");
        }
        assert_eq!(document["properties"]["listen"]["deprecated"], true);
        assert!(document["properties"]["flagSets"]["items"]["properties"].get("pollingInterval").is_some());
        assert!(document["properties"]["server"]["properties"].get("awsLambdaAdapter").is_some());
    }
}
