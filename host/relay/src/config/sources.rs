//! What a configuration is read with beside its file.

use std::collections::BTreeMap;
use std::fmt;

use flagpost_exporter::BuildContext;

/// Environment variables: a parameter, so that tests have their own world. Their values may be secrets and are not shown.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
}

impl Environment {
    /// This process's variables. Those that are not UTF-8 are left out: they can mean nothing here.
    pub fn system() -> Self {
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect()
    }

    /// One variable's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// All variables, in the order of their names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Environment { variables: variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect() }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

/// What a configuration is read with: parameters, so that tests have their own world.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The environment: `${NAME}` in the file, and variables that are keys (`SERVER_PORT`).
    pub env: Environment,
    /// What built-in exporters are built with.
    pub build: BuildContext,
}

impl Sources {
    /// This process's environment and machine.
    pub fn system() -> Self {
        Sources { env: Environment::system(), build: BuildContext::system() }
    }
}
