//! An event's properties: a JSON object in the order it was made, in which what was set last stands.

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// A JSON object.
#[derive(Debug, Default)]
pub struct Properties<'a>(Vec<(Cow<'a, str>, Property<'a>)>);

/// A value in it.
#[derive(Debug)]
pub enum Property<'a> {
    /// `null`.
    Null,
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Number(i64),
    /// A text.
    Text(&'a str),
    /// A text that was made for it.
    Owned(String),
    /// JSON as it is written.
    Json(&'a RawValue),
}

impl<'a> Properties<'a> {
    /// Sets a property, in place of another of that name: what a service reads itself must not be the user's to choose.
    pub fn set(&mut self, name: impl Into<Cow<'a, str>>, value: Property<'a>) {
        let name = name.into();
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
    }
}

impl Serialize for Properties<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl Serialize for Property<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Property::Null => serializer.serialize_unit(),
            Property::Bool(value) => serializer.serialize_bool(*value),
            Property::Number(value) => serializer.serialize_i64(*value),
            Property::Text(value) => serializer.serialize_str(value),
            Property::Owned(value) => serializer.serialize_str(value),
            Property::Json(value) => value.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Properties, Property};

    #[test]
    fn what_is_set_last_stands_in_the_first_place() {
        let mut properties = Properties::default();
        properties.set("time", Property::Text("the user's"));
        properties.set("b", Property::Null);
        properties.set("time", Property::Number(1));
        assert_eq!(serde_json::to_string(&properties).unwrap(), r#"{"time":1,"b":null}"#);
    }
}
