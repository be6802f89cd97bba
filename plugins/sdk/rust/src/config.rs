//! A plugin's `config:` as a type, and its JSON Schema.
//!
//! A declarative macro instead of a derive: neither syn in the build nor schemars in the component, whose size is what every start pays for.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::bare::flagpost::plugin::config as wire;
use crate::{Diagnostic, ExportError, misconfigured, secrets};

/// A configuration: made by [`config!`](crate::config!).
pub trait Config: DeserializeOwned {
    /// Its JSON Schema.
    fn schema() -> Value;
}

/// A plugin without configuration.
impl Config for () {
    fn schema() -> Value {
        json!({ "type": "object", "additionalProperties": false })
    }
}

/// A value in a configuration.
pub trait Schema {
    /// Whether the key may be left out.
    const OPTIONAL: bool = false;

    /// Its JSON Schema.
    fn schema() -> Value;
}

macro_rules! schemas {
    ($($type:ty: $schema:tt;)*) => {
        $(impl Schema for $type {
            fn schema() -> Value {
                json!($schema)
            }
        })*
    };
}

schemas! {
    String: { "type": "string" };
    bool: { "type": "boolean" };
    u16: { "type": "integer", "minimum": 0, "maximum": 65535 };
    u32: { "type": "integer", "minimum": 0, "maximum": 4294967295_u32 };
    u64: { "type": "integer", "minimum": 0 };
    i64: { "type": "integer" };
    f64: { "type": "number" };
    Value: {};
}

impl<T: Schema> Schema for Option<T> {
    const OPTIONAL: bool = true;

    fn schema() -> Value {
        T::schema()
    }
}

impl<T: Schema> Schema for Vec<T> {
    fn schema() -> Value {
        json!({ "type": "array", "items": T::schema() })
    }
}

impl<T: Schema> Schema for BTreeMap<String, T> {
    fn schema() -> Value {
        json!({ "type": "object", "additionalProperties": T::schema() })
    }
}

/// The configuration of a plugin of two functions, which gets it unchecked. The error is what `export` should return.
pub fn read<T: Config>() -> Result<T, ExportError> {
    serde_json::from_str(&wire::get()).map_err(|why| misconfigured(format!("config: {why}")))
}

/// A credential: the exporter's secret of that name (a placeholder, if the relay keeps it to itself), or else what stands in the configuration
/// at `key`. The error says what to write.
pub fn credential(name: &str, key: &str, configured: Option<&str>) -> Result<String, ExportError> {
    secrets::get(name).or_else(|| configured.map(str::to_owned)).ok_or_else(|| {
        let secret = format!("secrets: {{ {name}: {{ env: {name}, hosts: [ \"https://HOST\" ] }} }}");
        misconfigured(format!("there is no credential: write `{secret}` into the exporter, or `{key}` into its `config`"))
    })
}

/// A key that an API wants in the body, so that the plugin must see it: the exporter's secret of that name, granted with `as: reveal`, or else what stands in
/// the configuration at `key`. The error says what to write.
pub fn revealed(name: &str, key: &str, configured: Option<&str>) -> Result<String, ExportError> {
    secrets::get(name).or_else(|| configured.map(str::to_owned)).ok_or_else(|| {
        let secret = format!("secrets: {{ {name}: {{ env: {name}, as: reveal }} }}");
        misconfigured(format!("there is no key: write `{secret}` into the exporter, or `{key}` into its `config`"))
    })
}

/// Checks that a configured text is an http or https address, and gives it without a slash at its end.
pub fn address(path: &str, url: &str) -> Result<String, Vec<Diagnostic>> {
    if url.starts_with("https://") || url.starts_with("http://") {
        return Ok(url.trim_end_matches('/').to_owned());
    }
    Err(complaint(path, "expected an address that begins with https:// or http://"))
}

/// One complaint about the configuration.
pub fn complaint(path: &str, message: impl Into<String>) -> Vec<Diagnostic> {
    vec![Diagnostic { path: path.to_owned(), message: message.into() }]
}

/// Declares a plugin's configuration: a struct whose comments are the schema's descriptions. Keys are written in camelCase in YAML; `Option`
/// may be left out; `= value` is a default.
///
/// ```ignore
/// flagpost_sdk::config! {
///     /// Where events go.
///     pub struct Settings {
///         /// The API's address.
///         pub endpoint: String,
///         /// Sent as a bearer token.
///         pub key: Option<String>,
///         /// Rows per request.
///         pub rows: u32 = 500,
///     }
/// }
/// ```
#[macro_export]
macro_rules! config {
    (
        $(#[doc = $about:literal])*
        $vis:vis struct $name:ident {
            $($(#[doc = $doc:literal])* $field_vis:vis $field:ident: $type:ty $(= $default:expr)?,)*
        }
    ) => {
        $(#[doc = $about])*
        #[derive($crate::macros::serde::Deserialize)]
        #[serde(crate = "flagpost_sdk::macros::serde", rename_all = "camelCase", from = "__Raw")]
        $vis struct $name {
            $($(#[doc = $doc])* $field_vis $field: $type,)*
        }

        #[derive($crate::macros::serde::Deserialize)]
        #[serde(crate = "flagpost_sdk::macros::serde", rename_all = "camelCase")]
        struct __Raw {
            $($field: $crate::config!(@raw $type $(, $default)?),)*
        }

        impl ::core::convert::From<__Raw> for $name {
            fn from(raw: __Raw) -> Self {
                $name { $($field: $crate::config!(@value raw.$field $(, $default)?),)* }
            }
        }

        impl $crate::Config for $name {
            fn schema() -> $crate::macros::serde_json::Value {
                let mut properties = $crate::macros::serde_json::Map::new();
                let mut required = ::std::vec::Vec::<::std::string::String>::new();
                $({
                    let name = $crate::config!(@camel stringify!($field));
                    let mut schema = <$type as $crate::Schema>::schema();
                    let about = [$($doc.trim()),*].join(" ");
                    if !about.is_empty() {
                        schema["description"] = about.into();
                    }
                    #[allow(unused_mut, unused_assignments)]
                    let mut optional = <$type as $crate::Schema>::OPTIONAL;
                    $(
                        optional = true;
                        let default: $type = $default;
                        schema["default"] = $crate::macros::serde_json::json!(default);
                    )?
                    if !optional {
                        required.push(name.clone());
                    }
                    properties.insert(name, schema);
                })*
                $crate::macros::serde_json::json!({
                    "type": "object", "properties": properties, "required": required, "additionalProperties": false,
                })
            }
        }
    };
    (@raw $type:ty) => { $type };
    (@raw $type:ty, $default:expr) => { ::core::option::Option<$type> };
    (@value $value:expr) => { $value };
    (@value $value:expr, $default:expr) => { $value.unwrap_or_else(|| $default) };
    (@camel $name:expr) => {{
        let mut out = ::std::string::String::new();
        let mut upper = false;
        for c in $name.chars() {
            match (c, upper) {
                ('_', _) => upper = true,
                (c, true) => {
                    out.push(c.to_ascii_uppercase());
                    upper = false;
                }
                (c, false) => out.push(c),
            }
        }
        out
    }};
}

/// What [`schema_file!`](crate::schema_file!) asks.
#[doc(hidden)]
pub fn assert_schema_file(schema: &Value, path: &str) {
    let text = serde_json::to_string_pretty(schema).unwrap_or_default() + "\n";
    if std::env::var_os("UPDATE").is_some() {
        assert!(std::fs::write(path, &text).is_ok(), "{path} cannot be written");
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(found == text, "{path} is not the schema any more; `UPDATE=1 cargo test` writes it:\n{text}");
}

/// A test that `config.schema.json`, beside the plugin's `Cargo.toml`, is the schema of a configuration.
#[macro_export]
macro_rules! schema_file {
    ($config:ty) => {
        #[cfg(test)]
        #[test]
        fn the_schema_in_the_directory_is_this_one() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config.schema.json");
            $crate::macros::assert_schema_file(&<$config as $crate::Config>::schema(), path);
        }
    };
}
