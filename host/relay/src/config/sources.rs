//! What a configuration is read with beside its file.

use std::collections::BTreeMap;
use std::fmt;

use flagpost_exporter::BuildContext;

/// Environment variables: a parameter, so that tests have their own world. Their values may be secrets and are not shown.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    stands_in: bool,
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

    /// The same for commands that send no secret anywhere: one that is not set is no mistake, and something made up takes its place.
    pub(crate) fn with_stand_ins(self) -> Self {
        Environment { stands_in: true, ..self }
    }

    /// The variable that holds a secret.
    pub(crate) fn secret(&self, name: &str) -> Option<String> {
        let made_up = || self.stands_in.then(|| format!("made-up:for-{name}"));
        self.get(name).map(str::to_owned).or_else(made_up)
    }

    /// All variables, in the order of their names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Environment { variables: variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect(), stands_in: false }
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
    /// This process's, for commands that send no secret anywhere: what is not set is made up.
    pub(crate) fn without_secrets() -> Self {
        let system = Sources::system();
        Sources { env: system.env.with_stand_ins(), ..system }
    }

    /// This process's environment and machine.
    pub fn system() -> Self {
        Sources { env: Environment::system(), build: BuildContext::system() }
    }
}
