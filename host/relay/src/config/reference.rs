//! The reference page of the configuration, written from its types: `docs/configuration.md`.

use std::fmt::Write as _;

use flagpost_exporter::kinds;
use flagpost_settings::{fields, schema};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::aliases::{ALIASES, Today};
use super::common::{Common, Retry};
use super::file::{AuthorizedKeys, Buffer, Collector, File, FlagSet, Plugins, Server, Tls, Upstream};
use super::keys::INERT;
use super::wasm::{self, Limits, Wasm};

const INTRODUCTION: &str = r#"# Configuration reference

<!-- Written by `flagpost schema --markdown` from the program's own types; a test compares the two. Do not edit. -->

**File.** `--config FILE`, else the first of `goff-proxy.{yaml,toml,json,yml}` in `./`, `/goff/` and `/etc/opt/goff/`. `.toml` is TOML, `.json` is
JSON, anything else is YAML. Keys match in any case. An unknown key is an error that names the nearest known one; keys that begin with `x-` are your own. Text
that is a number will do for a number, and a single value for a list. A key without a value, or with an empty text, has its default.
`flagpost validate --config FILE` says all that is wrong at once and starts nothing; `--show-source` lists every value with the place it comes from; `--json` is for
machines. `flagpost schema` prints a JSON Schema: with `# yaml-language-server: $schema=flagpost.schema.json` as a file's first line, editors check and complete it.

**Units.** *size*: bytes, or `512KiB`, `64MiB`, `4GiB`, `10MB`. *duration*: `500ms`, `30s`, `1m30s`, `24h`. *milliseconds*: a whole number as upstream has it, or a
duration. *secret*: text that no log, error or metric ever shows.

**Variables in values.** `${NAME}` in a value is replaced by that environment variable; `$${` stands for the two characters themselves. A variable that is not set is
an error. It can never change the structure of the file: it is put into texts that have been read already.

**Variables as keys.** An environment variable overrides the file: its name is the key's path in upper case with `_` between the parts.

| variable | what it sets |
|---|---|
| `SERVER_PORT=8080` | `server.port` |
| `EXPORTER_OUTPUTDIR=/out` | `exporter.outputDir` |
| `EXPORTERS_0_ENDPOINTURL=https://…` | that key of the first of `exporters`; an index at the end of the list adds one |
| `EXPORTERS_1_KAFKA_CONFIG_NET_SASL_USER=relay` | nested keys |
| `EXPORTERS_0_META_TEAM=checkout`, `EXPORTERS_0_HEADERS_X-API-KEY=…` | members of maps: the file's own spelling where it has the member, else lower case |
| `FLAGSETS_0_EXPORTERS_1_KIND=log`, `FLAGSETS_0_APIKEYS=k1, k2` | flag sets in the same way |
| `AUTHORIZEDKEYS_ADMIN=k1,k2`, `APIKEYS=…`, `…KAFKA_ADDRESSES=…` | lists: split at commas; blanks around the parts count, except below an index |

With `envVariablePrefix` only names that begin with it count. Without one, a variable counts only if it begins with a known key: `PATH` or `HOME` mean nothing here. One
that begins with a known key and leads nowhere is a warning. Kubernetes sets variables like `SERVER_PORT=tcp://…` for a service called `server`: they are recognised and not
used, with a warning.
"#;

/// The page in Markdown.
pub fn reference() -> String {
    let mut page = INTRODUCTION.to_owned();
    let sections = ["server", "upstream", "plugins", "buffer", "collector", "authorizedKeys", "flagSets", "exporter", "exporters"];
    section::<File>(&mut page, "## Top level", "", &sections);
    section::<Server>(&mut page, "## server", "server.", &["tls"]);
    section::<Tls>(&mut page, "### server.tls", "server.tls.", &[]);
    section::<Upstream>(&mut page, "## upstream", "upstream.", &[]);
    section::<Plugins>(&mut page, "## plugins", "plugins.", &[]);
    section::<Buffer>(&mut page, "## buffer", "buffer.", &[]);
    section::<Collector>(&mut page, "## collector", "collector.", &[]);
    section::<AuthorizedKeys>(&mut page, "## authorizedKeys", "authorizedKeys.", &[]);
    section::<FlagSet>(&mut page, "## flagSets", "flagSets[].", &["exporter", "exporters"]);
    page.push_str("\n## exporters\n\nA list; `exporter` is a single one. Each has the keys of its kind and these:\n");
    rows(&mut page, fields::<Common>(), &schema::<Common>(), "", &["retry"]);
    section::<Retry>(&mut page, "### retry", "retry.", &[]);
    for info in kinds() {
        let schema = (info.schema)();
        let about = schema["description"].as_str().unwrap_or_default();
        let served = if info.served { "" } else { " **Not served yet.**" };
        // Writing to a String cannot fail.
        write!(page, "\n### kind: {}\n\n{}{served}\n", info.name, one_line(about)).ok();
        rows(&mut page, (info.keys)(), &schema, "", &[]);
    }
    section::<Wasm>(&mut page, &format!("### kind: {}", wasm::KIND), "", &["limits"]);
    section::<Limits>(&mut page, "#### limits", "limits.", &[]);
    page.push_str("\n## Deprecated keys\n\nUpstream's; they work where there is something to serve, each with a warning.\n\n| key | today |\n|---|---|\n");
    for (key, today) in ALIASES {
        let today = match today {
            Today::Key(section, key) => format!("`{section}.{key}`"),
            Today::Items(section, key) => format!("more of `{section}.{key}`"),
            Today::Lambda => "`server.mode: lambda`, which is refused".to_owned(),
            Today::Nothing(successor, why) => format!("`{successor}`; no effect here: {why}"),
        };
        writeln!(page, "| `{key}` | {today} |").ok();
    }
    page.push_str("\n## Keys of upstream without effect\n\nEach is taken with one warning.\n\n| key | why |\n|---|---|\n");
    for (key, why) in INERT {
        writeln!(page, "| `{key}` | {why} |").ok();
    }
    page
}

fn section<T: DeserializeOwned + JsonSchema>(page: &mut String, title: &str, prefix: &str, sections: &[&str]) {
    let schema = schema::<T>();
    let about = if prefix.is_empty() && title.starts_with("## ") {
        String::new()
    } else {
        one_line(schema["description"].as_str().unwrap_or_default())
    };
    write!(page, "\n{title}\n").ok();
    if !about.is_empty() {
        write!(page, "\n{about}\n").ok();
    }
    rows(page, fields::<T>(), &schema, prefix, sections);
}

fn rows(page: &mut String, keys: &[&str], schema: &Value, prefix: &str, sections: &[&str]) {
    page.push_str("\n| key | type | default | meaning |\n|---|---|---|---|\n");
    for key in keys {
        row(page, key, &schema["properties"][key], prefix, sections.contains(key));
    }
}

/// A key's row; below it those of the keys in it, unless it has a section of its own.
fn row(page: &mut String, key: &str, of: &Value, prefix: &str, is_section: bool) {
    let inner = of["properties"].as_object().filter(|_| !is_section);
    let (kind, default) = if is_section || inner.is_some() {
        ("section".to_owned(), String::new())
    } else {
        (type_of(of), default_of(of).replace('|', "\\|"))
    };
    let about = one_line(of["description"].as_str().unwrap_or_default()).replace('|', "\\|");
    writeln!(page, "| `{prefix}{key}` | {kind} | {default} | {about} |").ok();
    let prefix = format!("{prefix}{key}.");
    for (key, of) in inner.into_iter().flatten() {
        row(page, key, of, &prefix, false);
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What may stand there, for readers.
fn type_of(of: &Value) -> String {
    if let Some(title) = of["title"].as_str() {
        return title.to_owned();
    }
    if let Some(alternatives) = of["anyOf"].as_array() {
        let one = alternatives.iter().find(|one| one["type"] != "null");
        return one.map(type_of).unwrap_or_default();
    }
    let words: Vec<String> = ["enum", "oneOf"]
        .iter()
        .filter_map(|keyword| of[*keyword].as_array())
        .flatten()
        .filter_map(|one| one.as_str().or_else(|| one["const"].as_str()))
        .map(|word| format!("`{word}`"))
        .collect();
    if !words.is_empty() {
        return words.join(", ");
    }
    let kind = match &of["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or_default(),
        kind => kind.as_str().unwrap_or_default(),
    };
    match kind {
        "string" => "text".to_owned(),
        "integer" => "number".to_owned(),
        "boolean" => "`true`, `false`".to_owned(),
        "array" => format!("list of {}", type_of(&of["items"])),
        "object" if of.get("properties").is_some() => {
            let names: Vec<String> = of["properties"].as_object().into_iter().flatten().map(|(name, _)| format!("`{name}`")).collect();
            format!("map of {}", names.join(", "))
        }
        "object" => match type_of(&of["additionalProperties"]) {
            members if members.is_empty() => "map".to_owned(),
            members => format!("map of {members}"),
        },
        _ => "anything".to_owned(),
    }
}

fn default_of(of: &Value) -> String {
    if let Some(text) = of["x-default"].as_str() {
        return text.to_owned();
    }
    match &of["default"] {
        Value::Null => String::new(),
        Value::String(text) if text.is_empty() => String::new(),
        Value::String(text) => format!("`{}`", text.replace('\n', "\\n")),
        Value::Array(items) if items.is_empty() => String::new(),
        Value::Object(_) => String::new(),
        other => format!("`{other}`"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_page_in_the_repository_is_what_the_types_say() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == reference(), "write it anew: flagpost schema --markdown > docs/configuration.md");
    }

    #[test]
    fn every_key_has_its_row_and_every_row_its_meaning() {
        fn keys(shape: &Value, found: &mut Vec<String>) {
            match shape {
                Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
                Value::Object(keywords) => {
                    for (keyword, value) in keywords {
                        match value {
                            // Names of keys, and one of them is `properties`, too.
                            Value::Object(named) if keyword == "properties" => {
                                found.extend(named.keys().cloned());
                                named.values().for_each(|value| keys(value, found));
                            }
                            // A value, not a schema.
                            _ if keyword == "default" => {}
                            _ => keys(value, found),
                        }
                    }
                }
                _ => {}
            }
        }
        let mut found = Vec::new();
        keys(super::super::schema::shape(), &mut found);
        let page = reference();
        assert!(found.len() > 100, "{}", found.len());
        for key in found {
            assert!(page.contains(&format!("`{key}`")) || page.contains(&format!(".{key}`")), "{key}");
        }
        let empty: Vec<&str> = page.lines().filter(|line| line.starts_with("| `") && line.ends_with("|  |")).collect();
        assert!(empty.is_empty(), "{empty:#?}");
    }
}
