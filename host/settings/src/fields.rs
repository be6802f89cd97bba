//! What a struct says about itself: its keys and its JSON schema.

use std::cell::Cell;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde_json::Value;

/// The struct's keys as they are written, in the order of their declaration. Empty for anything but a struct.
pub fn fields<T: for<'de> Deserialize<'de>>() -> &'static [&'static str] {
    let known = Cell::new(&[] as &[&str]);
    // Derived code tells its fields before it asks for the first value; more is not needed.
    drop(T::deserialize(Probe(&known)));
    known.get()
}

/// The JSON schema (draft 2020-12), without references and without the keywords of a whole document.
pub fn schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    for keyword in ["$schema", "title"] {
        schema.remove(keyword);
    }
    schema.to_value()
}

struct Probe<'a>(&'a Cell<&'static [&'static str]>);

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("only fields are asked for"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.0.set(fields);
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq tuple
        tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A section.
    #[derive(serde::Deserialize, JsonSchema)]
    #[serde(default, rename_all = "camelCase")]
    struct Section {
        /// How many.
        how_many: u32,
        inner: Inner,
    }

    #[derive(Default, serde::Deserialize, serde::Serialize, JsonSchema)]
    #[serde(default)]
    struct Inner {
        /// Its name.
        name: Option<String>,
    }

    impl Default for Section {
        fn default() -> Self {
            Section { how_many: 7, inner: Inner::default() }
        }
    }

    #[test]
    fn a_struct_tells_its_keys_its_documentation_and_its_defaults() {
        assert_eq!(fields::<Section>(), ["howMany", "inner"]);
        assert!(fields::<String>().is_empty());
        let schema = schema::<Section>();
        assert_eq!(schema["description"], "A section.");
        assert_eq!(schema["properties"]["howMany"]["default"], json!(7));
        assert_eq!(schema["properties"]["howMany"]["description"], "How many.");
        assert_eq!(schema["properties"]["inner"]["properties"]["name"]["description"], "Its name.");
    }
}
