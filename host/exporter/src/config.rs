//! Problems of an exporter's configuration, all at once.

use std::fmt;

use serde_json::{Map, Value};

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    /// The key, relative to the exporter: `headers.X-Api-Key`.
    pub path: String,
    /// What is wrong and what was expected. Never holds the value of a secret.
    pub message: String,
    /// What to do.
    pub help: String,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)?;
        if !self.help.is_empty() {
            write!(f, " ({})", self.help)?;
        }
        Ok(())
    }
}

/// All problems of one exporter's configuration; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// In the order in which they were found.
    pub problems: Vec<ConfigProblem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Takes the keys of an exporter's configuration one by one and collects what is wrong with them.
#[derive(Debug)]
pub(crate) struct Keys {
    keys: Map<String, Value>,
    problems: Vec<ConfigProblem>,
}

impl Keys {
    /// The keys of `config`.
    pub(crate) fn new(config: Value) -> Result<Self, ConfigError> {
        match config {
            Value::Object(keys) => Ok(Keys { keys, problems: Vec::new() }),
            _ => {
                let message = "an exporter's configuration is an object".to_owned();
                Err(ConfigError { problems: vec![ConfigProblem { path: String::new(), message, help: String::new() }] })
            }
        }
    }

    /// Notes a problem.
    pub(crate) fn problem(&mut self, path: impl Into<String>, message: impl Into<String>, help: impl Into<String>) {
        self.problems.push(ConfigProblem { path: path.into(), message: message.into(), help: help.into() });
    }

    /// A text; empty and null are as good as missing, as they are upstream.
    pub(crate) fn text(&mut self, key: &str) -> Option<String> {
        let value = self.keys.remove(key)?;
        self.scalar(key, value).filter(|text| !text.is_empty())
    }

    /// A text that has to be there, `example` of one.
    pub(crate) fn required(&mut self, kind: &str, key: &str, example: &str) -> String {
        let problems = self.problems.len();
        let text = self.text(key);
        if text.is_none() && self.problems.len() == problems {
            self.problem(key, format!("no \"{key}\" property found for kind \"{kind}\""), format!("set `{key}: {example}`"));
        }
        text.unwrap_or_default()
    }

    /// An object of texts.
    pub(crate) fn texts(&mut self, key: &str) -> Vec<(String, String)> {
        let members = self.object(key);
        members.into_iter().filter_map(|(name, value)| Some((name.clone(), self.scalar(&format!("{key}.{name}"), value)?))).collect()
    }

    /// An object of texts or lists of texts.
    pub(crate) fn lists(&mut self, key: &str) -> Vec<(String, Vec<String>)> {
        let members = self.object(key);
        let mut lists = Vec::new();
        for (name, value) in members {
            let path = format!("{key}.{name}");
            let items = match value {
                Value::Array(items) => items,
                other => vec![other],
            };
            lists.push((name, items.into_iter().filter_map(|item| self.scalar(&path, item)).collect()));
        }
        lists
    }

    /// Whatever was not asked for is a problem; all problems at once.
    pub(crate) fn finish(mut self) -> Result<(), ConfigError> {
        for key in std::mem::take(&mut self.keys).into_iter().map(|(key, _)| key) {
            self.problem(key, "unknown key", "remove it");
        }
        if self.problems.is_empty() { Ok(()) } else { Err(ConfigError { problems: self.problems }) }
    }

    fn object(&mut self, key: &str) -> Map<String, Value> {
        match self.keys.remove(key) {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(members)) => members,
            Some(other) => {
                self.problem(key, format!("is {}: expected an object", type_name(&other)), "write one `name: value` per line below it");
                Map::new()
            }
        }
    }

    /// Numbers are taken as text, as upstream does; the value itself is never told, it may be a secret.
    fn scalar(&mut self, path: &str, value: Value) -> Option<String> {
        match value {
            Value::Null => None,
            Value::String(text) => Some(text),
            Value::Number(number) => Some(number.to_string()),
            other => {
                self.problem(path, format!("is {}: expected a text", type_name(&other)), "put it into quotes");
                None
            }
        }
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
